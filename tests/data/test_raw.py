from pathlib import Path

import numpy as np
import pytest

from mgmp_jax.data.raw import read_raw

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 5, 6, 3), np.uint8)


def test_arrays_are_images_or_rows(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", IMAGES)
    np.save(tmp_path / "rows.npy", IMAGES.reshape(3, -1).astype(np.float32))
    assert read_raw(tmp_path / "images.npy").modality == "images"
    assert read_raw(str(tmp_path / "rows.npy")).modality == "rows"


def test_texts_are_one_a_line(tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_bytes("\ufeffein Wort\r\n\r\nzwei Wörter\n".encode())
    assert read_raw(tmp_path / "texts.txt").inputs == ("ein Wort", "zwei Wörter")
    (tmp_path / "texts.txt").write_text("one\u2028text\ntwo\n", encoding="utf-8")
    assert read_raw(tmp_path / "texts.txt").inputs == ("one\u2028text", "two")
    (tmp_path / "texts.txt").write_text("one\n", encoding="utf-16")
    with pytest.raises(ValueError, match=r"texts.txt is no text in UTF-8 .*; convert it"):
        read_raw(tmp_path / "texts.txt")


def test_a_folder_of_pictures_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="pip install 'mgmp_jax[data]'")
    (tmp_path / "b").mkdir()
    for name, pixels in zip(("b/1.png", "a.PNG", "c.bmp"), IMAGES, strict=True):
        image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / "notes.md").write_text("no picture")
    found = read_raw(tmp_path).inputs
    assert np.array_equal(found, IMAGES[[1, 0, 2]])
    image.fromarray(IMAGES[0][:3]).save(tmp_path / "d.png")
    with pytest.raises(ValueError, match=r"d.png is 6x3 pixels, .*a.PNG 6x5; bring all to one"):
        read_raw(tmp_path)
    image.fromarray(np.full((5, 6), 40_000, np.uint16)).save(tmp_path / "d.png")
    with pytest.raises(ValueError, match=r"d.png is no readable picture: mode I.*8 bits a channel"):
        read_raw(tmp_path)
    (tmp_path / "d.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(ValueError, match=r"d.png is no readable picture"):
        read_raw(tmp_path)


def test_what_is_none_of_these_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file or folder"):
        read_raw(tmp_path / "x.npy")
    with pytest.raises(FileNotFoundError, match=r"no pictures in"):
        read_raw(tmp_path)
    (tmp_path / "x.pkl").touch()
    with pytest.raises(ValueError, match=r"must be an .npy of images or rows, a folder"):
        read_raw(tmp_path / "x.pkl")
