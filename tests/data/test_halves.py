import jax.numpy as jnp
import numpy as np
import pytest

from mgmp_jax.data.halves import halves


def test_every_image_is_once_the_left_and_once_the_right_one() -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 4, 6, 3), dtype=np.uint8)
    joined = halves(images, seed=3)
    np.testing.assert_array_equal(joined[:, :, :3], images[:, :, :3])
    rights = [np.flatnonzero((images[:, :, 3:] == one[:, 3:]).all((1, 2, 3))) for one in joined]
    assert sorted(int(j) for (j,) in rights) == list(range(7))
    assert all(int(j) != i for i, (j,) in enumerate(rights))
    assert joined.dtype == np.uint8
    np.testing.assert_array_equal(joined, halves(images, seed=3))
    assert (joined != halves(images, seed=4)).any()


def test_images_come_in_arrays_of_jax_and_lists() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 4, 6, 3), dtype=np.uint8)
    for given in (jnp.asarray(images), list(images)):
        np.testing.assert_array_equal(halves(given), halves(images))


def test_what_is_no_image_is_refused() -> None:
    for wrong, message in (
        (np.zeros((5, 9), np.uint8), "images must be uint8"),
        (np.zeros((5, 3, 8, 8), np.uint8), "channels come first"),
        (np.zeros((5, 8, 8, 3), np.float32), "got float32"),
        ([[1, 2], [3]], "unequal length"),
    ):
        with pytest.raises(ValueError, match=message):
            halves(wrong)
    with pytest.raises(ValueError, match="at least two images, got 1"):
        halves(np.zeros((1, 4, 4, 3), np.uint8))
