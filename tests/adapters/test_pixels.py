import numpy as np
import pytest

from mgmp_jax.adapters.pixels import Pixels

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 8, 6, 3), np.uint8)


def test_pixels_are_scaled_normalised_and_laid_out() -> None:
    x = Pixels((0.1, 0.2, 0.3), (0.5,), channels_first=True)(IMAGES)
    assert x.shape == (3, 3, 8, 6) and x.dtype == np.float32
    expected = (IMAGES[1, 2, 3, 2] / 255 - 0.3) / 0.5
    assert x[1, 2, 2, 3] == pytest.approx(expected, rel=1e-6)


def test_images_are_resized_as_pytorch_resizes_them() -> None:
    torch = pytest.importorskip("torch", reason="pip install torch")
    for size in ((16, 16), (5, 4), (8, 6)):
        x = torch.from_numpy(IMAGES.transpose(0, 3, 1, 2).astype(np.float32) / 255)
        expected = torch.nn.functional.interpolate(x, size, mode="bilinear").numpy()
        found = Pixels(size=size, channels_first=True)(IMAGES)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_impossible_numbers_are_refused() -> None:
    for wrong in ({"mean": (0.1, 0.2)}, {"std": (0.0,)}, {"size": (0, 3)}):
        with pytest.raises(ValueError, match=r"must be"):
            Pixels(**wrong)
