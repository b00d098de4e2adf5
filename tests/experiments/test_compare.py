"""What reads a cohort: _cohort.py, _scoring.py, compare.py and the commands that go on from it."""

import dataclasses
import json
from pathlib import Path

import _cohort
import _recorded
import _rows
import _scoring
import compare
import late
import numpy as np
import pytest
import queries
import robustness
import siblings
import students
from configs import cohort as config
from conftest import TINY_COHORT

from mgmp_jax.methods.attribution import centred_scores, combine
from mgmp_jax.queries import QuerySet
from mgmp_jax.responses import Responses
from mgmp_jax.store import ModelStore
from mgmp_jax.store import store as store_module


def test_every_kind_has_ten_suspects_on_five_tasks(small) -> None:
    for kind in config.KINDS:
        suspects = [small.suspects[i] for i in small.of_kind(kind)]
        assert len({suspect.spec.address for suspect in suspects}) == len(suspects) >= 10
        tasks = {suspect.spec.subset for suspect in suspects}
        assert tasks == ({None} if kind == "independent" else {0, 1, 2, 4, 7})
    assert len(small.siblings) == 9


def test_the_number_of_siblings_can_be_chosen(small) -> None:
    many = _cohort.make_cohort(config.Args(preset="small", siblings=19))
    assert len(many.siblings) == 19 and many.siblings[:9] == small.siblings
    more = set(many.specs) - set(small.specs)
    assert len(more) == 10 * 11 + 4 * 5 and set(small.specs) - set(many.specs) == set(
        small.negatives
    )
    with pytest.raises(ValueError, match="--siblings must be from 3 to 99, got 2"):
        _cohort.make_cohort(config.Args(preset="small", siblings=2))


def test_suspects_are_what_their_kind_says(small) -> None:
    source = small.row.source
    for suspect in small.suspects:
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


def test_no_negative_comes_from_a_candidate_and_no_task_is_in_the_pool(small) -> None:
    candidates = {small.row.source, *small.siblings}
    pool = {pair.homologous.subset for pair in small.row.pool}
    for suspect in small.suspects:
        assert suspect.spec.subset not in pool
        assert suspect.kind in ("homologous", "independent") or suspect.spec.start not in candidates
    assert not {spec.start for spec in small.tuned_controls} & candidates
    own = [pair.homologous for pair in small.row.pool]
    assert {spec.start for spec in small.negatives} == set(small.siblings[-2:])
    made = [dataclasses.replace(spec, start=small.row.source) for spec in small.negatives]
    assert made == own * 2  # but for their start they are the pool's homologous models
    families = [[spec.start for spec in one] for one in (small.rehearsal, small.families)]
    assert all({one.count(model) for model in small.candidates} == {5} for one in families)
    assert not {spec.subset for spec in small.rehearsal} & {s.subset for s in small.families}


def plainly(way, candidates, suspects, controls, answers) -> np.ndarray:
    name, background = way
    models = [[answers[spec] for spec in specs] for specs in (candidates, suspects, controls)]
    stacked = np.stack([model.values for model in models[0]])
    statistics = [_scoring.SINGLE[part] for part in _scoring.JOINED[name]]
    scores = centred_scores(stacked, *models[1:], statistics, background)
    return combine(scores[:, None]) if len(statistics) == 1 else scores


def test_scores_are_those_of_the_plain_definition(small, answers) -> None:
    suspects, candidates = small.families[:4], small.candidates[:4]
    found = _scoring.all_scores(small, answers, suspects, _scoring.ALL, candidates)
    assert list(found) == _scoring.ALL
    for way, scores in found.items():
        expected = plainly(way, candidates, suspects, small.controls, answers)
        np.testing.assert_allclose(scores, expected, atol=1e-4, err_msg=str(way))


@pytest.fixture
def few_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few ways of the sibling test; those of all are compared with their definition above."""
    few = [("both fits", "none"), ("both fits", "others"), ("linear CKA", "none")]
    monkeypatch.setattr(_scoring, "ALL", few)
    monkeypatch.setattr(_scoring, "POWER", {"queries": (64,), "siblings": (3,)})


def test_descendants_are_attributed_to_their_own_source_only(small, answers, few_ways) -> None:
    chosen, tried = _scoring.choose(small, answers)
    assert [t["statistic"] for t in tried] == [", ".join(way) for way in _scoring.ALL]
    attributions = _scoring.attribute(chosen, small, answers)
    for group, result in _scoring.suspects_results(small, attributions).items():
        assert result["candidates"] == (9 if group.endswith("a sibling itself") else 10)
        if group.startswith("homologous"):
            assert result["first"] == result["models"] == 5
        else:
            assert result["first"] <= max(2, result["models"] * 0.3)
    independent = attributions[small.of_kind("independent")[-1]]
    assert len(independent) == 9  # it is a sibling itself, so no candidate
    families = _scoring.families_results(small, answers, [chosen])[", ".join(chosen)]
    assert sum(one["first"] for one in families.values()) >= 48
    level = _scoring.level(chosen, small, answers)
    assert level["pairs"] == 50 * 9 and level["t_tail_5"] < 0.1
    power = _scoring.mean_power(chosen, small, answers)
    assert [(r["queries"], r["siblings"]) for r in power] == [
        (n, m) for n in (64, 300) for m in (3, 9)
    ]
    assert power[-1]["first"] == sum(one["first"] for one in families.values()) / 50


def test_the_statistic_is_chosen_without_knowing_the_source(small, answers, few_ways) -> None:
    sibling, *_ = small.siblings
    parts = {small.row.source: sibling, sibling: small.row.source}

    def swapped(spec):
        if spec.start is None:
            return parts.get(spec, spec)
        other = parts.get(spec.start, spec.start)
        heads = {s.subset: s.head for s in small.rehearsal if s.start == other}
        assert spec.head == heads[spec.subset]
        return dataclasses.replace(spec, start=other)

    exchanged = answers | {
        spec: answers[swapped(spec)] for spec in (*small.candidates, *small.rehearsal)
    }
    (chosen, tried), (again, of_swapped) = (_scoring.choose(small, a) for a in (answers, exchanged))
    assert chosen == again
    for one, other in zip(tried, of_swapped, strict=True):
        p = [sorted(t["descendants"]["p_exact"]) for t in (one, other)]
        assert p[0] == p[1]
        assert one["median_t_p"] == pytest.approx(other["median_t_p"], rel=0.05)


def test_answers_are_changed_to_responses_of_the_kind_that_they_are() -> None:
    import jax

    logits = Responses(np.random.default_rng(0).normal(size=(50, 10)), "logits", "q")
    kinds = {}
    for name in robustness.ANSWERS:
        changed = robustness.answer_otherwise(name, logits, jax.random.key(0))
        assert changed.queries == "q" and len(changed) == 50
        kinds[name] = changed.kind
    assert kinds["label only"] == "labels" and kinds["top 3"] == "top-k"
    assert kinds["temperature 4"] == "probabilities" and kinds["noise 1"] == "logits"
    top = robustness.answer_otherwise("top 3", logits, None)
    assert ((top.values > 0).sum(axis=1) == 3).all()


def test_a_variant_that_cannot_be_fitted_is_named_with_its_reason(
    small, monkeypatch, tmp_path: Path
) -> None:
    def fit_or_load(self, folder, variant, name, **more):
        if name == "extended":
            raise ValueError("the background is too wide")
        return name

    monkeypatch.setattr(_rows.Answering, "fit_or_load", fit_or_load)
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    answering = _rows.Answering(ModelStore(tmp_path), small.row, QuerySet.images(images))
    fitted, unfit = _cohort._fit_all(small, answering, tmp_path)
    assert unfit == {"MGMP extended": "the background is too wide"}
    assert {"MGMP paper", "MGMP extended, with siblings"} <= set(fitted) and len(fitted) == 7


def test_suspects_are_trained_otherwise_as_their_names_say(small, tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    suspects = robustness.trained_otherwise(small, store, robustness.Args(preset="small"))
    layers = len(store.module(small.row.source).layers)
    source, other = small.row.source, small.row.source.sibling(201)
    strange = suspects.pop("another architecture")
    assert [s.spec for s in strange[:5]] == [s.spec for s in small.suspects if s in strange]
    assert [(s.kind, s.spec.arch, s.spec.start) for s in strange[5:]] == [
        ("scratch", "alexnet", None)
    ] * 5
    specs = {name: [suspect.spec for suspect in one] for name, one in suspects.items()}
    for name, of_name in specs.items():
        starts = [spec.teacher or spec.start for spec in of_name]
        half = len(of_name) // 2
        assert starts == [source] * half + [other] * half
        kinds = [suspect.kind for suspect in suspects[name]]
        assert kinds == ["homologous"] * half + ["sibling descendant"] * half
        assert {spec.subset for spec in of_name[:half]} == {spec.subset for spec in of_name[half:]}
        assert half == (3 if name in ("distilled", "extracted from labels") else 5)
    for number in (2, 20, 100):
        assert {store.module(s).num_outputs for s in specs[f"{number} classes"]} == {number}
    per_class = {
        spec.num_examples // number for number in (2, 20) for spec in specs[f"{number} classes"]
    }
    assert per_class == {150}  # CIFAR-100 has 500 of each
    few = [store.classes(spec) for spec in specs["2 classes"][:5]]
    whole = [store.classes(spec) for spec in specs["last layer only"][:5]]
    assert all(set(pair) < set(ten) for pair, ten in zip(few, whole, strict=True))
    assert all(
        spec.recipe.frozen == layers - 1 and spec.head == "reinit"
        for spec in specs["last layer only"]
    )
    assert all(spec.subset is None for spec in specs["100 classes"])
    usual = small.suspects[0].spec.recipe
    for spec in specs["long, high learning rate"]:
        assert spec.recipe.epochs == 4 * usual.epochs
        assert spec.recipe.learning_rate > usual.learning_rate
    answers = [specs[name][0].answers for name in ("distilled", "extracted from labels")]
    assert answers == ["probabilities", "labels"]
    assert all(spec.skip == source.num_examples for spec in specs["distilled"])


def test_queries_are_made_of_whole_images() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    mixed, shuffled = queries.mean_of_two(images), queries.shuffled(images, rng)
    means = (images[:, None].astype(int) + images) // 2
    others = [
        np.flatnonzero((image == one).all((1, 2, 3)))
        for image, one in zip(means, mixed, strict=True)
    ]
    assert sorted(int(other) for (other,) in others) == list(range(6))
    assert all(int(other) != i for i, (other,) in enumerate(others))
    corners = [(i, j) for i in range(0, 32, 8) for j in range(0, 32, 8)]
    for pair in zip(images, shuffled, strict=True):
        parts = [sorted(x[i : i + 8, j : j + 8].tobytes() for i, j in corners) for x in pair]
        assert parts[0] == parts[1]
        assert (pair[0] != pair[1]).any()


@pytest.mark.slow
def test_a_whole_comparison_and_the_same_again(tmp_path: Path, monkeypatch, few_epochs) -> None:
    monkeypatch.setitem(config.PRESETS, "demo", TINY_COHORT)
    few = {"unseen images", "mixed images", "halves of two"}
    for module, name, less in (
        (compare, "NUM_QUERIES", (16,)),
        (compare, "DRAWS", 1),
        (_scoring, "POWER", {"queries": (), "siblings": ()}),
        (_scoring, "ALL", [way for way in _scoring.ALL if way[0] == "both fits"]),
        (
            queries,
            "CHANGES",
            {name: queries.CHANGES[name] for name in queries.CHANGES if name in few},
        ),
        (robustness, "WEIGHTS", {"int8": robustness.WEIGHTS["int8"]}),
        (
            robustness,
            "ANSWERS",
            {name: robustness.ANSWERS[name] for name in ("label only",)},
        ),
    ):
        monkeypatch.setattr(module, name, less)
    everything = robustness.trained_otherwise

    def few_otherwise(*given) -> dict:
        return {name: everything(*given)[name] for name in ("100 classes",)}

    monkeypatch.setattr(robustness, "trained_otherwise", few_otherwise)
    chosen = {"pool_subsets": (3, 6), "eval_subsets": (1,), "out": tmp_path}
    args = compare.Args(arch="alexnet", preset="demo", **chosen)
    results = compare.main(args)
    by_siblings = {f"sibling test, {one}" for one in config.QUERIES}
    assert {"linear CKA", "MGMP extended", *by_siblings, "‖Δw‖"} <= set(results["methods"])
    kinds = set(config.KINDS) - {"homologous"}
    for method in results["methods"].values():
        assert set(method["against"]) == kinds
    for one in results["sibling_test"].values():
        assert one["by_tuned_controls"]["groups"].items() != one["suspects"].items()
        assert set(one["suspects"]) < set(one["by_tuned_controls"]["groups"])
    known = results["methods"]["MGMP extended, with siblings"]
    assert known["scores"].count(None) == 3  # siblings are no suspects of it
    assert known["against"]["independent"]["negatives"] == 2
    recorded = _recorded.read(next(tmp_path.glob("compare-*/recorded.npz")))
    assert set(recorded.kinds) == set(config.KINDS) and len(recorded.known.parents) == 1
    kinds = queries.main(args)["kinds"]
    assert [kind["queries"] for kind in kinds.values()] == [333] * (len(few) + 3)
    assert kinds["halves of two"] != kinds["unseen images"]
    changed = robustness.main(args)["transformations"]
    assert set(changed) == {"none", "100 classes", "int8", "label only", "embedding only"}
    assert changed["int8"]["methods"]["‖Δw‖"] != changed["none"]["methods"]["‖Δw‖"]
    bare = changed["embedding only"]
    assert "linear CKA" in bare["methods"] and "‖Δw‖" not in bare["methods"]
    assert "MGMP paper" not in bare["methods"]
    assert "cannot be converted to log-probabilities" in bare["unread"]["MGMP paper"]
    assert all(
        set(one["sibling_test"]) == set(robustness.ATTRIBUTED_BY) for one in changed.values()
    )
    assert list(tmp_path.glob("robustness-*/robustness.png"))
    make = students.make_students

    def few_students(*given) -> dict:
        kind = "labels, own images"  # of which there are few glyphs
        return {kind: [dataclasses.replace(spec, skip=0) for spec in make(*given)[kind]]}

    monkeypatch.setattr(students, "make_students", few_students)
    (traced,) = students.main(args)["kinds"].values()
    assert set(traced["places"]) == set(config.QUERIES) and len(traced["agreement"]) == 4
    all_of_them, _ = traced["by_condition"].values()  # all siblings teach
    default = ", ".join(config.DEFAULT_TEST)
    for which, found in traced["places"].items():
        assert all_of_them[which] == found[f"sibling test: {default}"]
    (tested, *_) = siblings.main(args)["by_queries"].values()
    assert {n: list(by_siblings) for n, by_siblings in tested.items()} == {
        "225": ["3"],
        "450": ["3"],
    }
    for groups in tested["450"]["3"].values():
        assert groups["homologous, head kept"]["models"] == 2
        assert groups["independent"]["candidates"] == 4
    forks = late.main(args)
    assert list(forks["shared"]) == ["0", "1"] and forks["candidates"] == 4
    for fork in forks["shared"].values():
        for found in fork["by_queries"].values():
            (kept,) = found.values()  # of one task, one descendant each
            assert list(found) == ["descendant, head kept"]
            assert kept["models"] == kept["candidates"] == 4
        assert 0 <= fork["agreement"] <= 1
    monkeypatch.setattr(store_module, "train_group", lambda *_: pytest.fail("trained twice"))
    assert compare.main(args) == json.loads(json.dumps(results))
