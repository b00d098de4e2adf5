"""A slice of the campaign against damaged files, and that it would find what it looks for."""

import collections
from pathlib import Path

import numpy as np
import pytest

from tests.faults import campaign, mutations
from tests.faults.targets import RESPONSES, TARGETS, Target, fingerprint


@pytest.mark.slow
def test_a_slice_of_the_campaign_finds_nothing_bad() -> None:
    there = [name for name, target in TARGETS.items() if target.is_there]
    bad, counts = [], collections.Counter()
    for number, what, way, came, error in campaign.run(there, seed=2, seconds=10):
        counts[came] += 1
        if came in campaign.BAD:
            bad.append(f"{number} {what} {way}: {came}\n{error}")
    assert not bad, "\n".join(bad)
    assert counts[campaign.REFUSED] > 20


def refuse_without_a_name(folder: Path) -> None:
    raise ValueError("damaged")


@pytest.mark.parametrize(
    ("way", "read", "came"),
    [
        (mutations.truncate, lambda folder: {}["values"], campaign.FOREIGN),
        (mutations.truncate, refuse_without_a_name, campaign.UNNAMED),
        (mutations.flip_bits, lambda folder: 1, campaign.OTHER),
        (mutations.flip_bits, lambda folder: [0] * 2**60, campaign.MEMORY_TAKEN),
        (mutations.truncate, TARGETS["responses"].read, campaign.REFUSED),
        (lambda *_: None, TARGETS["responses"].read, campaign.UNCHANGED),
    ],
)
def test_outcomes_are_told_apart(tmp_path: Path, way, read, came: str) -> None:
    path = tmp_path / "r.npz"
    RESPONSES.save(path)
    way(path, np.random.default_rng(0), [path])
    target = Target(TARGETS["responses"].make, read, sealed=True)
    found, _ = campaign.outcome(target, tmp_path, path, fingerprint(RESPONSES))
    assert found == came


@pytest.mark.parametrize("way", [*mutations.OFTEN, *mutations.SELDOM])
def test_every_way_damages(tmp_path: Path, way) -> None:
    path, other = tmp_path / "a.json", tmp_path / "other"
    path.write_text('{"a": [1, 2], "b": {"c": "text"}}')
    other.write_bytes(bytes(range(200)))
    before = path.read_bytes()
    way(path, np.random.default_rng(3), [other])
    assert not path.is_file() or path.read_bytes() != before


def test_a_hang_is_ended(tmp_path: Path, monkeypatch) -> None:
    import signal
    import time

    monkeypatch.setattr(campaign, "HANGS", 1)
    before = signal.signal(signal.SIGALRM, campaign._raise_hang)
    try:
        target = Target(lambda folder: None, lambda folder: time.sleep(30))
        assert campaign.outcome(target, tmp_path, tmp_path / "x", "")[0] == campaign.HANG
    finally:
        signal.signal(signal.SIGALRM, before)
