"""What is kept of a training, where the disk is full."""

from pathlib import Path

import pytest

from mgmp_jax.training.run_folder import RunFolder


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full, which is always full")
def test_a_full_disk_names_the_metrics(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    message = r"No space left.*; what was there before stays, run this again.*metrics\.jsonl"
    with pytest.raises(OSError, match=message):  # a line may have been begun
        folder.keep({"epoch": 1}, None)
