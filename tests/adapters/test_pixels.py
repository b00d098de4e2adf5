import numpy as np
import pytest

from mgmp_jax.adapters.pixels import Pixels, prepare

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 9, 14, 3), np.uint8)


def test_by_default_pixels_are_scaled_and_channels_come_first() -> None:
    found = Pixels()(IMAGES)
    assert found.dtype == np.float32 and found.flags.c_contiguous
    np.testing.assert_allclose(found, IMAGES.transpose(0, 3, 1, 2) / 255, rtol=1e-6)


def test_pixels_are_normalised_by_channel() -> None:
    mean, std = (0.4, 0.5, 0.6), (0.1, 0.2, 0.3)
    found = Pixels(mean, std, channels_first=False)(IMAGES)
    np.testing.assert_allclose(found, (IMAGES / 255 - mean) / std, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [(5, 7), (18, 20), (9, 5), (32, 4), (1, 1)])
def test_resizing_is_that_of_torch_with_antialias(size: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch", reason="pip install 'mgmp_jax[torch]'")
    expected = torch.nn.functional.interpolate(
        torch.tensor(IMAGES).permute(0, 3, 1, 2).float() / 255,
        size,
        mode="bilinear",
        antialias=True,
    )
    np.testing.assert_allclose(Pixels(size=size)(IMAGES), expected.numpy(), atol=1e-5)


def test_resizing_is_that_of_pillow_but_for_its_rounding() -> None:
    image = pytest.importorskip("PIL.Image", reason="pip install pillow")
    small = image.fromarray(IMAGES[0]).resize((6, 4), image.Resampling.BILINEAR)
    found = Pixels(size=(4, 6), channels_first=False)(IMAGES[:1])[0]
    np.testing.assert_allclose(255 * found, np.asarray(small, np.float32), atol=1.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mean": (1.0, 2.0)}, r"mean"),
        ({"std": 0.0}, r"std above 0"),
        ({"std": (1.0, 1.0, -1.0)}, r"std above 0"),
        ({"mean": float("nan")}, r"mean must be finite"),
        (
            {"mean": (123.7, 116.3, 103.5)},
            r"hardly above 1: divide those of pixels from 0 to 255 by 255",
        ),
        ({"size": 64}, r"size must be height and width|tuple"),
        ({"size": (0, 4)}, r"size must be height and width"),
    ],
)
def test_arguments_are_checked(arguments: dict, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        Pixels(**arguments)


def test_texts_need_a_tokenizer_and_rows_nothing() -> None:
    with pytest.raises(ValueError, match=r"the queries are texts.*tokenize="):
        prepare(["a"], Pixels(), None)
    assert prepare(["a", "bb"], Pixels(), lambda texts: [len(t) for t in texts]) == [1, 2]
    rows = np.ones((2, 4), np.float32)
    assert prepare(rows, Pixels(), None) is rows
