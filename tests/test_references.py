import numpy as np
import pytest

from mgmp_jax.queries import QuerySet
from mgmp_jax.references import Pair, ReferenceSet
from mgmp_jax.responses import Responses


def model(seed: int, queries: str = "q", n: int = 40) -> Responses:
    values = np.random.default_rng(seed).normal(size=(n, 3))
    return Responses(values, "logits", queries, f"model {seed}")


def pool(*seeds: int) -> list[Pair]:
    return [Pair(f"task {s}", [model(s)], [model(100 + s)]) for s in seeds]


def test_every_model_has_a_place() -> None:
    references = ReferenceSet(model(0), pool(1, 2), [model(3), model(4)], [model(5)], [model(6)])
    assert references.digests[model(102).digest] == "pool 'task 2' non_homologous[0]"
    assert references.digests[model(4).digest] == "siblings[1]"
    assert len(references.digests) == 9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"siblings": [model(9), model(9)]}, r"siblings\[0\] and siblings\[1\] give equal answers"),
        ({"siblings": [model(0)]}, r"source and siblings\[0\] give equal answers"),
        ({"controls": [model(1)]}, r"pool 'task 1' homologous\[0\] and controls\[0\] give equal"),
        ({"calibration": [model(101)]}, r"non_homologous\[0\] and calibration\[0\] give equal"),
        ({"pool": pool(1, 1)}, "two pairs of the pool are of the task 'task 1'"),
        ({"controls": [model(7, "other")]}, r"source and controls\[0\]: .* different query sets"),
        ({"controls": [model(7, n=30)]}, "answered 40 queries and model 7 30"),
        ({"controls": [np.ones((40, 3))]}, r"controls\[0\] must be Responses.* got ndarray"),
        ({"controls": model(7)}, "controls must be a list; got Responses"),
        (
            {"controls": [Responses(np.ones((40, 3)), "logits", "q")]},
            r"controls\[0\] .* answers every query alike",
        ),
        ({"queries": QuerySet.rows(np.ones((40, 1)))}, "taken on other queries than those given"),
        ({"source": {"a": model(0)}}, "but pool .* is Responses; give a mapping"),
    ],
)
def test_what_does_not_fit_is_said(arguments: dict, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=f"{message}|Type-check error"):
        ReferenceSet(**{"source": model(0), "pool": pool(1, 2), **arguments})


def test_models_that_are_secretly_one_are_found_in_spite_of_rounding() -> None:
    copy = Responses(model(1).values * (1 + 1e-6), "logits", "q", "copy")
    with pytest.raises(ValueError, match="give equal answers: they are one model"):
        ReferenceSet(model(0), siblings=[model(1), copy])


@pytest.mark.parametrize("side", ["homologous", "non_homologous"])
def test_a_pair_has_two_sides(side: str) -> None:
    sides = {"homologous": [model(1)], "non_homologous": [model(2)]}
    for wrong in ([], model(1)):
        with pytest.raises((ValueError, TypeError), match=f"{side} of the pair|Type-check error"):
            Pair("flowers", **{**sides, side: wrong})


def test_several_query_sets_are_told_apart_by_name() -> None:
    def both(seed: int) -> dict[str, Responses]:
        return {"training": model(seed), "unseen": model(seed + 50, "other")}

    references = ReferenceSet(both(0), siblings=[both(1), both(2)])
    on = references.on("unseen")
    assert on.source.queries == "other"
    np.testing.assert_array_equal(on.siblings[1].values, model(52).values)
    with pytest.raises(ValueError, match="no model answered a query set called 'images'"):
        references.on("images")
    with pytest.raises(ValueError, match="none called 'unseen'; take its responses on that one"):
        ReferenceSet(both(0), siblings=[both(1), {"training": model(2)}])
