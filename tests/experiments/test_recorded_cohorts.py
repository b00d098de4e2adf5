"""experiments/recorded.py, the files that it reads and the methods that it compares."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import _cohort
import _methods as methods
import _recorded
import numpy as np
import pytest
import recorded
from configs import cohort as config

from mgmp_jax import files
from mgmp_jax.answers import answers_to
from mgmp_jax.queries import TRAINING, UNSEEN, QuerySet
from mgmp_jax.references import ReferenceSet
from mgmp_jax.responses import Responses

QUICK = ("linear CKA", "provenance tester, among siblings", "sibling test, unseen images")


@pytest.fixture(scope="module")
def folder(small, answers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recorded cohort of random answers, in which descendants repeat a part of their source."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 300, 4, 4, 3), dtype=np.uint8)
    names = (_cohort.TRAINING, _cohort.UNSEEN)
    queries = {name: QuerySet.images(part) for name, part in zip(names, images, strict=True)}

    def responses(spec, asked, epoch) -> Responses:
        learnt = answers[spec].values * (1 if epoch is None else 0.5 + 0.1 * epoch)
        return Responses(learnt + 0.01 * rng.normal(size=(300, 10)), "logits", asked)

    material = SimpleNamespace(queries=queries, labels=answers[small.row.source].values.argmax(1))
    folder = tmp_path_factory.mktemp("recorded")
    store = SimpleNamespace(responses=responses)
    _recorded.write(folder / "resnet18.npz", small, store, material)  # type: ignore[arg-type]
    return folder


def test_a_recorded_cohort_is_what_was_written(small, answers, folder: Path) -> None:
    found = _recorded.read(folder / "resnet18.npz")
    references = found.known.references
    assert len(references.siblings) == 9 and len(references.pool) == 5
    assert found.known.parents == {spec.start.address for spec in small.negatives}
    assert len(found.known.descendants) == 5
    for pair in small.row.pool:
        specs = [spec for spec in small.negatives if spec.subset == pair.homologous.subset]
        named = [answers_to(one, TRAINING).model for one in found.known.descendants[pair.task]]
        epochs = specs[0].recipe.kept_epochs
        assert named == [f"{spec.address} epoch {epoch}" for spec in specs for epoch in epochs]
    kept = small.row.pool[0].homologous.recipe.kept_epochs
    assert all(len(pair.homologous) == len(kept) > 1 for pair in references.pool)
    specs = [s for s in small.suspects if s.spec not in small.siblings]
    assert list(found.kinds) == [suspect.kind for suspect in specs]
    for suspect, theirs in zip(specs, found.suspects, strict=True):
        for name in (TRAINING, UNSEEN):
            assert answers_to(theirs, name).model.startswith("suspect ")
            values = answers_to(theirs, name).values
            np.testing.assert_allclose(values, answers[suspect.spec].values, atol=0.1)
    assert answers_to(references.source, TRAINING).model == small.row.source.address


def test_methods_are_compared_on_recorded_answers(folder: Path, tmp_path: Path) -> None:
    results = recorded.main(recorded.Args(recorded=folder, only=QUICK, out=tmp_path))
    found = results["cohorts"]["resnet18"]["methods"]
    assert set(found) == set(QUICK)
    for method in found.values():
        assert set(method["against"]) == set(config.KINDS) - {"homologous"}
        assert len(method["scores"]) == len(results["cohorts"]["resnet18"]["suspects"])
    assert found["sibling test, unseen images"]["against"]["sibling descendant"]["auc"] > 0.95
    assert list(tmp_path.glob("recorded-*/results.json"))


def test_what_cannot_be_compared_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown method 'guess'; choose of linear CKA, "):
        recorded.main(recorded.Args(recorded=folder, only=("guess",), out=tmp_path))
    with pytest.raises(FileNotFoundError, match="no recorded cohort in"):
        recorded.main(recorded.Args(recorded=tmp_path, out=tmp_path))
    files.write_arrays(tmp_path / "other.npz", {"values": np.zeros(3)}, {"format": "other"})
    with pytest.raises(
        ValueError, match=r"is no readable recorded cohort .* its format is 'other'"
    ):
        recorded.main(recorded.Args(recorded=tmp_path, out=tmp_path))


def of_logits(values: np.ndarray, unseen: np.ndarray | None = None) -> dict[str, Responses]:
    both = {TRAINING: values, UNSEEN: values if unseen is None else unseen}
    return {name: Responses(one, "logits", name) for name, one in both.items()}


@pytest.mark.parametrize("name", methods.METHODS)
def test_every_method_reads_what_is_recorded(folder: Path, monkeypatch, name: str) -> None:
    for setting in ("EXTENDED", "PAPER_WITHOUT_GENERATOR"):
        monkeypatch.setattr(methods, setting, getattr(methods, setting).replace(epochs=1))
    cohort = _recorded.read(folder / "resnet18.npz")
    source, pool, siblings = (
        getattr(cohort.known.references, part) for part in ("source", "pool", "siblings")
    )
    few = ReferenceSet(source, pool, siblings[-6:])  # a background for 300 queries
    score = methods.METHODS[name](cohort.known._replace(references=few))
    assert np.isfinite(score(cohort.suspects[0]))


@pytest.mark.parametrize(
    "damage",
    [
        lambda arrays, about: arrays.pop("labels"),
        lambda arrays, about: arrays.pop("unseen"),
        lambda arrays, about: arrays.update(training=arrays["training"][1:]),
        lambda arrays, about: arrays.update(labels=arrays["labels"].astype(np.float32)),
        lambda arrays, about: arrays.update(labels=arrays["labels"][1:]),
        lambda arrays, about: arrays.update(training=np.full_like(arrays["training"], np.inf)),
        lambda arrays, about: about.pop("models"),
        lambda arrays, about: about.update(models=3),
        lambda arrays, about: about.update(queries=["training", "unseen"]),
        lambda arrays, about: about.update(queries={"training": 3}),
        lambda arrays, about: about["models"][0].update(part="siblings"),
        lambda arrays, about: about["models"][1].update(part="source"),
        lambda arrays, about: about["models"][-1].pop("kind"),
        lambda arrays, about: about["models"][-1].update(kind="friend"),
        lambda arrays, about: about["models"][12].update(task=["a"]),
        lambda arrays, about: [model.update(kind="scratch") for model in about["models"]],
    ],
)
def test_damaged_cohorts_are_refused_by_name(folder: Path, tmp_path: Path, damage) -> None:
    arrays, about = files.read_arrays(folder / "resnet18.npz")
    damage(arrays, about)
    files.write_arrays(tmp_path / "resnet18.npz", arrays, about)
    with pytest.raises(ValueError, match=r"resnet18\.npz is no readable recorded cohort"):
        _recorded.read(tmp_path / "resnet18.npz")


def test_a_method_that_cannot_be_fitted_is_named_with_its_reason(
    folder: Path, tmp_path: Path, monkeypatch
) -> None:
    def refuse(known: _recorded.Known) -> Any:
        raise ValueError("too few queries")

    monkeypatch.setitem(methods.METHODS, "NMI", refuse)
    results = recorded.main(recorded.Args(recorded=folder, only=("NMI", "SAC"), out=tmp_path))
    cohort = results["cohorts"]["resnet18"]
    assert cohort["unread"] == {"NMI": "too few queries"} and set(cohort["methods"]) == {"SAC"}
    monkeypatch.setitem(methods.METHODS, "NMI", lambda known: lambda suspect: np.nan)
    with pytest.raises(ValueError, match=r"NMI gave suspects of .* the scores"):
        recorded.main(recorded.Args(recorded=folder, only=("NMI",), out=tmp_path))


def known(source: dict[str, Responses], siblings: Sequence[Any] = ()) -> _recorded.Known:
    references = ReferenceSet(source, siblings=siblings)
    return _recorded.Known(references, frozenset(), {}, np.zeros(1000, np.int32))


def test_the_last_siblings_are_in_no_background_where_their_descendants_are_learnt_from(
    folder: Path,
) -> None:
    before = _recorded.read(folder / "resnet18.npz").known
    after = methods.with_descendants(before).references
    assert len(after.siblings) == 7 and len(before.references.siblings) == 9
    named = {answers_to(one, UNSEEN).model for one in after.siblings}
    assert not named & before.parents
    for one, other in zip(before.references.pool, after.pool, strict=True):
        assert len(other.non_homologous) == 3 * len(one.non_homologous)
        assert other.non_homologous[-1] is one.non_homologous[-1]
    few = methods.with_siblings(3, before).references
    assert few.siblings == before.references.siblings[:3] and len(few.pool) == 5
    last = methods.with_last_checkpoints(before).references
    assert all(len(pair.homologous) == len(pair.non_homologous) == 1 for pair in last.pool)
    with pytest.raises(ValueError, match="no descendants of siblings were recorded"):
        methods.with_descendants(before._replace(parents=frozenset()))


def test_dataset_inference_finds_who_is_surer_of_training_images() -> None:
    rng = np.random.default_rng(0)
    source, member, stranger, narrow = rng.normal(size=(4, 2, 2000, 10))
    for model in (source, member, narrow):
        model[0] += 2 * np.eye(10)[model[0].argmax(axis=1)]
    score = methods.dataset_inference(known(of_logits(*source)))
    assert score(of_logits(*member)) > 10
    assert score(of_logits(*narrow[:, :, :4])) > 10
    assert abs(score(of_logits(*stranger))) < 4


def test_equal_answers_are_counted_whatever_the_classes_are_called() -> None:
    ours = np.random.default_rng(0).integers(0, 10, 1000)
    renamed = (3 * ours + 1) % 10
    assert methods.share_of_equal(renamed, ours) == 1
    assert methods.share_of_equal(renamed // 2, ours) == pytest.approx(0.5, abs=0.05)
    unrelated = np.random.default_rng(1).integers(0, 10, 1000)
    assert methods.share_of_equal(unrelated, ours) == pytest.approx(0.1, abs=0.04)


def test_the_provenance_tester_says_how_far_the_source_is_ahead() -> None:
    rng = np.random.default_rng(0)
    source, *others = rng.normal(size=(4, 1000, 10))
    siblings = [of_logits(one) for one in others]
    tester = methods.METHODS["provenance tester, among siblings"]
    score = tester(known(of_logits(source), siblings))
    shares = [
        methods.share_of_equal(source.argmax(axis=1), one.argmax(axis=1))
        for one in (source, *others)
    ]
    pooled = (1 + max(shares[1:])) / 2
    expected = (1 - max(shares[1:])) / np.sqrt(2 * pooled * (1 - pooled) / 1000)
    assert score(of_logits(source[:, ::-1])) == pytest.approx(expected)
    assert score(siblings[0]) < -20
