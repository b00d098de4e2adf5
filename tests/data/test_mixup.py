import numpy as np
import pytest

from mgmp_jax.data.mixup import mixup


def test_every_image_is_averaged_with_one_other() -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 4, 4, 3), dtype=np.uint8)
    mixed = mixup(images, seed=3)
    partners = [
        [j for j in range(7) if np.array_equal((images[i].astype(int) + images[j]) // 2, mixed[i])]
        for i in range(7)
    ]
    assert all(len(of_image) == 1 and of_image != [i] for i, of_image in enumerate(partners))
    assert sorted(j for (j,) in partners) == list(range(7))
    assert mixed.dtype == np.uint8
    np.testing.assert_array_equal(mixed, mixup(images, seed=3))
    assert (mixed != mixup(images, seed=4)).any()


@pytest.mark.parametrize(
    "wrong", [np.zeros((3, 4, 4, 3)), np.zeros((1, 4, 4, 3), np.uint8), np.zeros((5, 9), np.uint8)]
)
def test_what_is_no_image_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"give (uint8|at least two) images"):
        mixup(wrong)
