import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mgmp_jax.data.augment import augment

IMAGES = jax.random.normal(jax.random.key(0), (6, 8, 8, 3))


@pytest.mark.parametrize("how", ["crop", "crop-flip"])
def test_every_image_is_a_crop_of_itself_or_its_mirror(how: str) -> None:
    out = np.asarray(augment(IMAGES, jax.random.key(1), how, pad=2))
    kinds = set()
    for image, result in zip(np.asarray(IMAGES), out, strict=True):
        found = [
            (mirrored, i, j)
            for mirrored in (False, True)
            for i in range(5)
            for j in range(5)
            if np.array_equal(
                np.pad(
                    image[:, ::-1] if mirrored else image, ((2, 2), (2, 2), (0, 0)), mode="reflect"
                )[i : i + 8, j : j + 8],
                result,
            )
        ]
        assert len(found) == 1
        kinds.add(found[0])
    assert len(kinds) > 2
    assert how == "crop-flip" or not any(mirrored for mirrored, *_ in kinds)


def test_none_changes_nothing_and_a_key_decides() -> None:
    assert augment(IMAGES, jax.random.key(1), "none") is IMAGES
    one, same, other = (augment(IMAGES, jax.random.key(k), "crop-flip") for k in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_only_images_are_augmented() -> None:
    for other in (jnp.ones((3, 5), jnp.int32), jnp.ones((3, 5))):
        assert augment(other, jax.random.key(1), "none") is other
        with pytest.raises(ValueError, match=r"'crop' augments images only, got \(3, 5\)"):
            augment(other, jax.random.key(1), "crop")
