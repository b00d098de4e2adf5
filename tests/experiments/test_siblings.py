"""experiments/siblings.py: who is tested with how many siblings. test_compare.py runs the whole."""

import dataclasses

import _columns
import _scoring
import numpy as np
import pytest
import siblings
from configs.cohort import DEFAULT_TEST


def test_as_many_descendants_again_differ_by_their_seeds_only(small) -> None:
    more = siblings.with_more_descendants(small)
    assert more.suspects[: len(small.suspects)] == small.suspects
    added = more.suspects[len(small.suspects) :]
    known = [s for s in small.suspects if s.kind == "homologous"]
    assert len(added) == len(known) == 10
    for one, other in zip(added, known, strict=True):
        assert one.kind == "homologous" and one.spec.start == small.row.source
        assert one.spec.seed != other.spec.seed
        assert dataclasses.replace(one.spec, seed=other.spec.seed) == other.spec
    specs = [suspect.spec for suspect in more.suspects]
    assert len({spec.address for spec in specs}) == len(specs)
    assert not {s.spec for s in added} & set(small.specs)


def test_queries_are_doubled_as_far_as_there_are_images(small) -> None:
    assert siblings.with_more_queries(small).row.num_queries == 5000
    few = dataclasses.replace(small, row=dataclasses.replace(small.row, num_queries=9000))
    assert siblings.with_more_queries(few).row.num_queries == 10_000


def test_numbers_end_with_all_there_are() -> None:
    assert siblings.numbers_of_siblings(99) == [9, 19, 49, 99]
    assert siblings.numbers_of_siblings(19) == [9, 19]
    assert siblings.numbers_of_siblings(4) == [4]


def test_only_models_that_are_asked_are_needed(small) -> None:
    needed = siblings.needed(small)
    assert len(needed) == len(set(needed)) == 10 + 5 + 42
    assert not {*small.rehearsal, *small.families, *small.negatives} & set(needed)


@pytest.fixture
def found(small, answers, monkeypatch: pytest.MonkeyPatch) -> dict:
    monkeypatch.setattr(siblings, "FEWER", (4,))
    return siblings.by_numbers(small, answers)


def test_suspects_are_tested_with_some_siblings_and_with_all(found) -> None:
    assert {n: list(by_siblings) for n, by_siblings in found.items()} == {
        n: ["4", "9"] for n in ("150", "300")
    }
    for by_siblings in found.values():
        for m, ways in by_siblings.items():
            assert list(ways) == ["both fits, others", "both fits, none"]
            groups = ways[", ".join(DEFAULT_TEST)]
            assert {one["candidates"] for one in groups.values()} == {int(m) + 1}
            assert sum(one["models"] for one in groups.values()) == 51 - int(m)
            assert groups["independent"]["models"] == 11 - int(m)
            for name in ("head kept", "new head"):
                ours = groups[f"homologous, {name}"]
                assert ours["first"] == ours["models"] == 5
                assert ours["p_exact"] == pytest.approx([1 / (int(m) + 1)] * 5)


def test_half_of_the_queries_are_the_first_half(small, answers, found) -> None:
    suspects = tuple(s for s in small.suspects if s.spec not in small.siblings)
    cohort = dataclasses.replace(small, suspects=suspects)
    for n in (150, 300):
        some = {spec: r.take(np.arange(n), "some") for spec, r in answers.items()}
        expected = _scoring.suspects_results(cohort, _scoring.attribute(DEFAULT_TEST, cohort, some))
        assert found[str(n)]["9"][", ".join(DEFAULT_TEST)] == expected
    assert found["150"]["9"] != found["300"]["9"]


def test_others_put_the_source_first_by_chance(found) -> None:
    for by_siblings in found.values():
        for m, ways in by_siblings.items():
            for groups in ways.values():
                p = [one["p_exact"] for name, one in groups.items() if "homologous" not in name]
                assert np.mean(np.concatenate(p) <= 1 / (int(m) + 1)) < 2 / int(m)


def test_a_cell_counts_small_p_of_descendants_of_others_and_of_independent_models() -> None:
    groups = {
        "homologous, head kept": {"p_exact": [0.01, 0.04, 0.2]},
        "scratch": {"p_exact": [0.5, 0.1]},
        "homologous, new head": {"p_exact": [0.01]},
        "cousin descendant, new head": {"p_exact": [0.02]},
        "independent": {"p_exact": [0.9, 0.01]},
    }
    ways = {"both fits, others": groups, "both fits, none": {}}
    by_queries = {"unseen images": {"2500": {"19": ways, "99": ways}}}
    assert _columns.siblings({"by_queries": by_queries}, "both fits, others") == {
        "unseen images: descendants": {"2500, 19": "3, 3 of 4", "2500, 99": "3, 3, 2 of 4"},
        "unseen images: others": {"2500, 19": "2, 1 of 3", "2500, 99": "2, 1, 0 of 3"},
        "unseen images: independent": {"2500, 19": "1, 1 of 2", "2500, 99": "1, 1, 1 of 2"},
    }


def test_few_siblings_are_asked_for_what_they_can_give() -> None:
    groups = {"homologous, head kept": {"p_exact": [0.25, 0.25, 0.5]}}
    by_queries = {"unseen images": {"1000": {"3": {"both fits, none": groups}}}}
    columns = _columns.siblings({"by_queries": by_queries}, "both fits, none")
    assert columns == {"unseen images: descendants": {"1000, 3": "2 of 3"}}
