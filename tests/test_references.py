import numpy as np
import pytest

from mgmp_jax.queries import QuerySet
from mgmp_jax.references import Pair, ReferenceSet, same_answers
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
        ({"controls": {"a": model(7)}}, "controls must be a list; got dict"),
        ({"siblings": None}, "siblings must be a list; got NoneType"),
        ({"pool": pool(1)[0]}, "pool must be a list; got Pair"),
        ({"pool": [model(1)]}, r"pool\[0\] must be a Pair .* got Responses"),
        ({"source": {}, "pool": []}, "at least one query set; got none"),
        ({"source": np.ones((40, 3))}, "source must be Responses; got ndarray"),
        ({"source": Responses(np.ones((40, 3)), "logits", "q")}, "source .* every query alike"),
        ({"queries": np.ones((40, 1))}, "queries must be a QuerySet, got ndarray"),
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
    for wrong in ([], model(1), {"a": model(1)}, None):
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
    with pytest.raises(ValueError, match=r"source and siblings\[0\] give equal answers"):
        ReferenceSet(both(0), siblings=[{**both(1), "unseen": model(50, "other")}])


def test_an_only_query_set_has_every_name() -> None:
    references = ReferenceSet(model(0), pool(1, 2), [model(3)], [model(4)], [model(5)])
    assert references.names == (None,)
    on = references.on("unseen")
    assert on.source is references.source
    assert [pair.task for pair in on.pool] == ["task 1", "task 2"]
    assert (len(on.siblings), len(on.controls)) == (1, 1)


def test_the_query_sets_themselves_go_with_their_names() -> None:
    training, unseen = QuerySet.rows(np.ones((40, 1))), QuerySet.rows(np.zeros((40, 1)))
    source = {"training": model(0, training.digest), "unseen": model(1, unseen.digest)}
    references = ReferenceSet(source, queries={"training": training, "unseen": unseen})
    assert references.on("training").queries is training
    assert references.on("unseen").queries is unseen
    assert ReferenceSet(source, queries={"training": training}).on("unseen").queries is None
    with pytest.raises(ValueError, match="taken on other queries than those given"):
        ReferenceSet(source, queries={"training": unseen})


def test_answers_are_the_same_only_in_kind_shape_and_number() -> None:
    one = model(1)
    assert same_answers(one, model(1))
    assert not same_answers(one, model(2))
    assert not same_answers(one, Responses(one.values, "embedding", "q"))
    assert not same_answers(one, Responses(one.values[:, :2], "logits", "q"))
    elsewhere = one.values.copy()
    elsewhere[1, 0] += 1
    assert not same_answers(one, Responses(elsewhere, "logits", "q"))


def test_converted_answers_of_one_model_are_the_same() -> None:
    one = model(1)
    for kind in ("log-probabilities", "probabilities"):
        assert same_answers(one, one.to(kind)) and same_answers(one.to(kind), one)
        assert not same_answers(one, model(2).to(kind))
    assert same_answers(one.to("log-probabilities"), one.to("probabilities"))
    assert not same_answers(one, one.to("labels"))  # two good models may give equal labels
    sure, surer = (
        Responses(size * np.eye(4)[np.arange(40) % 4], "logits", "q") for size in (30, 40)
    )
    assert not same_answers(sure, surer.to("probabilities"))
    with pytest.raises(ValueError, match=r"pool 'a' .* and controls\[0\] give equal answers"):
        ReferenceSet(
            model(0), [Pair("a", [one], [model(2)])], controls=[model(2).to("probabilities")]
        )


def test_fill_values_do_not_make_models_one() -> None:
    models = [model(seed) for seed in range(3)]
    masked = [np.c_[one.values, np.full(len(one), -1e9)] for one in models]
    with pytest.warns(UserWarning, match="repeat"):
        source, *others = (Responses(values, "logits", "q") for values in masked)
    assert len(ReferenceSet(source, siblings=others).siblings) == 2
    with pytest.warns(UserWarning, match="repeat"):
        again = Responses(masked[0].round(5), "logits", "q")
    assert same_answers(source, again)


def test_labels_are_the_same_however_many_classes_they_could_name() -> None:
    numbers = np.arange(20) % 3
    one_hot = np.eye(5)[numbers]
    one, other = Responses(numbers, "labels", "q"), Responses(one_hot, "labels", "q")
    assert one.values.shape != other.values.shape and same_answers(one, other)
    assert not same_answers(one, Responses(np.roll(numbers, 1), "labels", "q"))
