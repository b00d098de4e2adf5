from pathlib import Path

import numpy as np
import pytest

from mgmp_jax.answers import answers_to, load_answers, save_answers
from mgmp_jax.responses import Responses


def some(queries: str, kind: str = "logits") -> Responses:
    values = np.abs(np.random.default_rng(len(queries)).normal(size=(5, 3))) / 10
    return Responses(values, kind, queries, "m")


def test_answers_to_several_query_sets_are_kept_in_one_file(tmp_path: Path) -> None:
    answers = {"training": some("a"), "unseen": some("bb", "probabilities")}
    save_answers(tmp_path / "m.npz", answers)
    found = load_answers(tmp_path / "m.npz")
    assert list(found) == ["training", "unseen"]
    for name, responses in answers.items():
        assert found[name].about == responses.about
        assert found[name].digest == responses.digest
    assert answers_to(found, "unseen").kind == "probabilities"


def test_answers_to_one_query_set_are_a_responses_file(tmp_path: Path) -> None:
    save_answers(tmp_path / "m.npz", some("a"))
    assert load_answers(tmp_path / "m.npz").digest == some("a").digest
    assert Responses.load(tmp_path / "m.npz").digest == some("a").digest


def test_what_is_no_file_of_answers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no answers at"):
        load_answers(tmp_path / "m.npz")
    save_answers(tmp_path / "m.npz", {"training": some("a")})
    whole = (tmp_path / "m.npz").read_bytes()
    for place in range(0, len(whole), 97):
        changed = bytearray(whole)
        changed[place] ^= 1
        (tmp_path / "m.npz").write_bytes(changed)
        try:
            found = load_answers(tmp_path / "m.npz")
        except ValueError:
            continue
        assert found["training"].digest == some("a").digest  # in what a zip says twice
