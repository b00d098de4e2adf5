"""experiments/_cohort.py, _attribution.py, compare.py, queries.py and robustness.py."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "experiments"))
import _attribution as attribution  # noqa: E402
import _cohort  # noqa: E402
import compare  # noqa: E402
import queries  # noqa: E402
import robustness  # noqa: E402
from configs import cohort as config  # noqa: E402
from configs import queries as kinds_of_queries  # noqa: E402
from configs import robustness as changes  # noqa: E402

from mgmp_jax.responses import Responses  # noqa: E402
from mgmp_jax.store import ModelStore  # noqa: E402

SMALL = _cohort.make_cohort(config.Args(preset="small"))


def test_every_kind_has_ten_suspects_on_five_tasks() -> None:
    for kind in config.KINDS:
        suspects = [SMALL.suspects[i] for i in SMALL.of_kind(kind)]
        assert len({suspect.spec.address for suspect in suspects}) == len(suspects) >= 10
        tasks = {suspect.spec.subset for suspect in suspects}
        assert tasks == ({None} if kind == "independent" else {0, 1, 2, 4, 7})
    assert len(SMALL.siblings) == 9


def test_the_number_of_siblings_can_be_chosen() -> None:
    many = _cohort.make_cohort(config.Args(preset="small", siblings=19))
    assert len(many.siblings) == 19 and many.siblings[:9] == SMALL.siblings
    assert set(SMALL.specs) < set(many.specs) and len(many.specs) == len(SMALL.specs) + 10 * 11
    with pytest.raises(ValueError, match="--siblings must be from 3 to 99, got 2"):
        _cohort.make_cohort(config.Args(preset="small", siblings=2))


def test_suspects_are_what_their_kind_says() -> None:
    source = SMALL.row.source
    for suspect in SMALL.suspects:
        start = suspect.spec.start
        if suspect.kind == "homologous":
            assert start == source
        elif suspect.kind == "scratch":
            assert start is None and suspect.spec.subset is not None
        elif suspect.kind == "sibling descendant":
            assert start == source.sibling(start.seed) != source
        elif suspect.kind == "cousin descendant":
            assert start.skip == source.num_examples
        else:
            assert suspect.spec == source.sibling(suspect.spec.seed) != source


def test_no_negative_comes_from_a_candidate_and_no_task_is_in_the_pool() -> None:
    candidates = {SMALL.row.source, *SMALL.siblings}
    pool = {pair.homologous.subset for pair in SMALL.row.pool}
    for suspect in SMALL.suspects:
        assert suspect.spec.subset not in pool
        assert suspect.kind in ("homologous", "independent") or suspect.spec.start not in candidates
    families = [[spec.start for spec in of] for of in (SMALL.rehearsal, SMALL.families)]
    assert all({of.count(model) for model in SMALL.candidates} == {5} for of in families)
    assert not {spec.subset for spec in SMALL.rehearsal} & {s.subset for s in SMALL.families}


def answers_of(model: _cohort.Cohort) -> dict:
    """Random answers, in which every descendant repeats a part of what it started from."""
    rng = np.random.default_rng(0)
    known = rng.normal(size=(300, 10))
    answers: dict = {}

    def answer(spec):
        if spec not in answers:
            start = 0 if spec.start is None else answer(spec.start)
            learnt = known if spec.subset is None else known @ rng.normal(size=(10, 10))
            answers[spec] = (learnt + start + rng.normal(size=(300, 10))).astype(np.float32)
        return answers[spec]

    for spec in model.specs:
        answer(spec)
    return {spec: Responses(values, "logits", "q") for spec, values in answers.items()}


def test_descendants_are_traced_to_their_own_source_only() -> None:
    answers = answers_of(SMALL)
    chosen, tried = attribution.choose_statistic(SMALL, answers)
    assert [t["statistic"] for t in tried] == [str(variant) for variant in attribution.ALL]
    attributions = attribution.attribute(chosen, SMALL, answers)
    found = attribution.sibling_results(SMALL, attributions)
    for group, result in found.items():
        assert result["candidates"] == (9 if group.endswith("a sibling itself") else 10)
        if group.startswith("homologous"):
            assert result["first"] == result["models"] == 5
        else:
            assert result["first"] <= max(2, result["models"] * 0.3)
    independent = attributions[SMALL.of_kind("independent")[-1]]
    assert len(independent) == 9  # it is a sibling itself, so no candidate
    families = attribution.family_results(SMALL, answers)[str(chosen)]
    assert sum(of["first"] for of in families.values()) >= 48
    by_all = attribution.attribute_by_all(SMALL, answers, SMALL.families)
    for variant in (chosen, attribution.Statistic("all three", "mean")):
        expected = attribution.attribute_families(variant, SMALL, answers, SMALL.families)
        np.testing.assert_allclose(by_all[variant], expected, atol=1e-6)
    level = attribution.level(chosen, SMALL, answers)
    assert level["pairs"] == 50 * 9 and level["t_tail_5"] < 0.1


def test_the_statistic_is_chosen_without_knowing_the_source() -> None:
    answers, (sibling, *_) = answers_of(SMALL), SMALL.siblings
    parts = {SMALL.row.source: sibling, sibling: SMALL.row.source}

    def swapped(spec):
        if spec.start is None:
            return parts.get(spec, spec)
        other = parts.get(spec.start, spec.start)
        heads = {s.subset: s.head for s in SMALL.rehearsal if s.start == other}
        assert spec.head == heads[spec.subset]
        return dataclasses.replace(spec, start=other)

    exchanged = answers | {
        spec: answers[swapped(spec)] for spec in (*SMALL.candidates, *SMALL.rehearsal)
    }
    (chosen, tried), (again, of_swapped) = (
        attribution.choose_statistic(SMALL, a) for a in (answers, exchanged)
    )
    assert chosen == again
    for one, other in zip(tried, of_swapped, strict=True):
        p = [sorted(t["descendants"]["p_exact"]) for t in (one, other)]
        assert p[0] == p[1]
        assert one["median_t_p"] == pytest.approx(other["median_t_p"], rel=0.05)


def test_suspects_are_trained_otherwise_as_their_names_say(tmp_path: Path) -> None:
    pool = ModelStore(tmp_path / "models")
    specs = robustness.trained_otherwise(SMALL, config.Args(preset="small"), pool)
    layers = len(pool.module(SMALL.row.source).layers)
    source, other = SMALL.row.source, robustness.another(SMALL)
    for name, of_name in specs.items():
        starts = [spec.teacher or spec.start for spec in of_name]
        half = len(of_name) // 2
        assert starts == [source] * half + [other] * half
        assert {spec.subset for spec in of_name[:half]} == {spec.subset for spec in of_name[half:]}
        assert half == (3 if name in ("distilled", "extracted from labels") else 5)
    assert all(
        spec.recipe.frozen == layers - 1 and spec.head == "reinit"
        for spec in specs["last layer only"]
    )
    assert all(spec.subset is None for spec in specs["100 classes"])
    usual = SMALL.suspects[0].spec.recipe
    for spec in specs["long, high learning rate"]:
        assert spec.recipe.epochs == 4 * usual.epochs
        assert spec.recipe.learning_rate > usual.learning_rate
    answers = [specs[name][0].answers for name in ("distilled", "extracted from labels")]
    assert answers == ["probabilities", "labels"]
    assert all(spec.skip == source.num_examples for spec in specs["distilled"])


def test_queries_are_made_of_whole_images() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    mixed, shuffled = kinds_of_queries.mean_of_two(images), kinds_of_queries.shuffled(images, rng)
    means = (images[:, None].astype(int) + images) // 2
    others = [
        np.flatnonzero((of == one).all((1, 2, 3))) for of, one in zip(means, mixed, strict=True)
    ]
    assert sorted(int(other) for (other,) in others) == list(range(6))
    assert all(int(other) != i for i, (other,) in enumerate(others))
    corners = [(i, j) for i in range(0, 32, 8) for j in range(0, 32, 8)]
    for pair in zip(images, shuffled, strict=True):
        parts = [sorted(x[i : i + 8, j : j + 8].tobytes() for i, j in corners) for x in pair]
        assert parts[0] == parts[1]
        assert (pair[0] != pair[1]).any()


@pytest.mark.slow
def test_a_whole_comparison_and_the_same_again(tmp_path: Path, monkeypatch) -> None:
    demo = config.PRESETS["demo"]
    tiny = dataclasses.replace(
        demo,
        widths={"alexnet": 2},
        source_images=440,
        target_images=30,
        source=dataclasses.replace(demo.source, epochs=1, batch_size=20),
        target=dataclasses.replace(demo.target, epochs=1, batch_size=10, checkpoints=1),
        num_siblings=3,
        num_queries=440,
        mgmp={"epochs": 1, "batch_size": 20},
    )
    monkeypatch.setitem(config.PRESETS, "demo", tiny)
    monkeypatch.setattr(compare, "NUM_QUERIES", (16,))
    args = compare.Args(
        arch="alexnet", preset="demo", pool_subsets=(3, 6), eval_subsets=(1,), out=tmp_path
    )
    results = compare.main(args)
    assert results["run"]["models_trained_before"] == 0
    by_siblings = {f"sibling test, {of}" for of in _cohort.QUERIES}
    assert {"linear CKA", "MGMP extended", *by_siblings, "‖Δw‖"} <= set(results["methods"])
    kinds = set(config.KINDS) - {"homologous"}
    for method in results["methods"].values():
        assert set(method["against"]) == kinds
    known = results["methods"][_cohort.WITH_SIBLINGS]
    assert known["scores"].count(None) == 3  # siblings are no suspects of it
    assert known["against"]["independent"]["negatives"] == 2
    kinds = queries.main(args)["kinds"]
    assert [kind["queries"] for kind in kinds.values()] == [333] * (
        len(kinds_of_queries.CHANGES) + 3
    )
    assert kinds["halves of two"] != kinds["unseen images"]
    changed = robustness.main(args)["transformations"]
    expected = {"none", "distilled", "100 classes", *changes.WEIGHTS, *changes.ANSWERS}
    assert expected <= set(changed)
    assert changed["int8"]["methods"]["‖Δw‖"] != changed["none"]["methods"]["‖Δw‖"]
    assert "‖Δw‖" not in changed["ranks"]["methods"]
    assert all(set(of["sibling_test"]) == set(changes.ATTRIBUTED_BY) for of in changed.values())
    assert list(tmp_path.glob("robustness-*/robustness.png"))
    monkeypatch.setattr(ModelStore, "_train_group", lambda *_: pytest.fail("trained twice"))
    assert compare.main(args) == json.loads(json.dumps(results))
    for file in tmp_path.glob("*/results.json"):
        file.unlink()
    again = compare.main(args)
    assert again["methods"] == results["methods"]
