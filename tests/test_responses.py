import warnings

import ml_dtypes
import numpy as np
import pytest

from mgmp_jax import files
from mgmp_jax.queries import QuerySet
from mgmp_jax.responses import Responses, can_convert

VALUES = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)


def responses(values: np.ndarray = VALUES, digest: str = "abc", **changes: str) -> Responses:
    return Responses(values, changes.get("kind", "logits"), digest, changes.get("model", "m"))


def test_round_trip_changes_nothing(tmp_path) -> None:
    responses().save(tmp_path / "folder" / "r.npz")
    again = Responses.load(tmp_path / "folder" / "r.npz")
    np.testing.assert_array_equal(again.values, VALUES)
    assert (again.kind, again.queries, again.model) == ("logits", "abc", "m")
    assert [p.name for p in (tmp_path / "folder").iterdir()] == ["r.npz"]


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        (np.ones(3), "logits", r"\[n, d\].*got shape \(3,\)"),
        (np.ones((0, 3)), "logits", "got shape"),
        (np.where(np.eye(6, 3) * np.arange(3) == 2, np.nan, VALUES), "logits", "1 of 6 rows"),
        (np.full((2, 2), np.inf), "logits", "must be finite"),
    ],
)
def test_bad_values_are_refused(values: np.ndarray, kind: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        responses(values, kind=kind)


def test_a_name_that_utf_8_cannot_write_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"that UTF-8 can write, got 'm\\ud800'"):
        responses(model="m\ud800")
    about = {"format": "mgmp_jax.responses.v2", "kind": "logits", "queries": "q"}
    files.write_arrays(tmp_path / "r.npz", {"values": VALUES}, {**about, "model": "m\ud800"})
    with pytest.raises(ValueError, match=r"not a readable responses file .*that UTF-8 can write"):
        Responses.load(tmp_path / "r.npz")


def test_only_the_same_queries_can_be_compared() -> None:
    responses().check_same_queries(responses())
    with pytest.raises(ValueError, match="different query sets"):
        responses().check_same_queries(responses(digest="other"))
    with pytest.raises(ValueError, match="6 queries and m 5"):
        responses().check_same_queries(responses(VALUES[:5]))


def test_damaged_foreign_and_missing_files_are_refused(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no responses at"):
        Responses.load(tmp_path / "absent.npz")
    path = tmp_path / "r.npz"
    responses().save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="not a readable responses file"):
        Responses.load(path)
    np.savez(path, values=VALUES)
    with pytest.raises(ValueError, match="not a readable responses file"):
        Responses.load(path)


def test_pickled_content_is_never_executed(tmp_path) -> None:
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("pickle was executed",))

    path = tmp_path / "r.npz"
    np.savez(path, values=np.array([Bomb()], dtype=object), about=np.array("{}"))
    with pytest.raises(ValueError, match="not a readable responses file"):
        Responses.load(path)


def test_the_query_set_or_its_digest_is_taken() -> None:
    queries = QuerySet.rows(np.arange(6.0)[:, None])
    assert Responses(VALUES, "logits", queries).queries == queries.digest
    with pytest.raises(ValueError, match="have 6 rows for 3 queries"):
        Responses(VALUES, "logits", queries.take(3))


def test_kinds_are_converted_downhill_only() -> None:
    logits = Responses(VALUES, "logits", "q")
    logs, probabilities = logits.to("log-probabilities"), logits.to("probabilities")
    np.testing.assert_allclose(probabilities.values.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.exp(logs.values), probabilities.values, rtol=1e-4)
    again = probabilities.to("log-probabilities")
    np.testing.assert_allclose(again.values, logs.values, atol=1e-4)
    for kind in (logits, logs, probabilities):
        labels = kind.to("labels")
        np.testing.assert_array_equal(labels.values.argmax(axis=1), VALUES.argmax(axis=1))
        np.testing.assert_array_equal(labels.values.sum(axis=1), 1)
    assert not can_convert("labels", "probabilities")
    with pytest.raises(ValueError, match="are labels, which cannot be converted to logits"):
        labels.to("logits")


@pytest.mark.parametrize("kind", ["logits", "log-probabilities", "probabilities", "top-k"])
def test_all_that_name_a_class_become_labels(kind) -> None:
    probabilities = Responses(VALUES, "logits", "q").to("probabilities")
    given = probabilities if kind == "top-k" else Responses(VALUES, "logits", "q").to(kind)
    again = Responses(given.values, kind, "q", "m").to("labels")
    np.testing.assert_array_equal(again.values.argmax(axis=1), VALUES.argmax(axis=1))
    assert (again.kind, again.queries, again.model) == ("labels", "q", "m")


def test_what_converts_to_what() -> None:
    kinds = ("logits", "log-probabilities", "probabilities", "embedding", "top-k", "labels")
    found = {a: [b for b in kinds if b != a and can_convert(a, b)] for a in kinds}
    assert found == {
        "logits": ["log-probabilities", "probabilities", "labels"],
        "log-probabilities": ["probabilities", "labels"],
        "probabilities": ["log-probabilities", "labels"],
        "embedding": [],
        "top-k": ["labels"],
        "labels": [],
    }


def test_a_kind_that_there_is_not_is_named() -> None:
    for make in (
        lambda: Responses(VALUES, "probs", "q"),
        lambda: Responses(VALUES, "logits", "q").to("probs"),
        lambda: can_convert("logits", "probs"),
    ):
        with pytest.raises((ValueError, TypeError), match=r"got 'probs'|Type-check error"):
            make()


def test_zeros_have_a_floor() -> None:
    zeros = np.float32([[1, 0, 0], [0, 0.5, 0.5]])
    logs = Responses(zeros, "probabilities", "q").to("log-probabilities", floor=1e-3)
    np.testing.assert_allclose(logs.values[0], [0, np.log(1e-3), np.log(1e-3)], atol=1e-6)
    with np.errstate(divide="ignore"):
        given = Responses(np.log(zeros), "log-probabilities", "q")
    assert np.isfinite(given.values).all() and given.values.min() == pytest.approx(np.log(1e-6))


def test_log_probabilities_of_zero_are_read_in_any_dtype() -> None:
    for dtype in (np.float16, ml_dtypes.bfloat16, np.float64):
        given = Responses(np.array([[0, -np.inf]]).astype(dtype), "log-probabilities", "q")
        np.testing.assert_allclose(given.values, [[0, np.log(1e-6)]], rtol=1e-6)
    for wrong in (np.array([[0, np.nan]]), np.array([[0, np.inf]])):
        with pytest.raises(ValueError, match="not finite"):
            Responses(wrong, "log-probabilities", "q")


def test_labels_of_one_class_survive_a_file(tmp_path) -> None:
    labels = Responses(np.zeros(5, int), "labels", "q")
    labels.save(tmp_path / "r.npz")
    assert Responses.load(tmp_path / "r.npz").digest == labels.digest
    assert labels.take(np.array([0, 2]), "part").values.shape == (2, 2)
    assert Responses(np.ones((5, 1)), "logits", "q").to("labels").digest == labels.digest


def test_labels_of_many_classes_take_no_square_of_memory() -> None:
    labels = Responses(np.array([0, 199_999]), "labels", "q")
    assert labels.values.shape == (2, 200_000)
    assert labels.to("labels") is labels
    with pytest.raises(ValueError, match="class numbers below 1000000, got 1000000000"):
        Responses(np.array([0, 10**9]), "labels", "q")


def test_labels_are_class_numbers_or_one_hot() -> None:
    numbers = Responses(np.array([2, 0, 1]), "labels", "q")
    np.testing.assert_array_equal(numbers.values, np.eye(3)[[2, 0, 1]])
    one_hot = Responses(np.eye(3, dtype=bool)[[2, 0, 1]], "labels", "q")
    assert one_hot.digest == numbers.digest
    for wrong in (np.array([[2], [0]]), np.array([0.97, 1.0]), np.array([-1, 2]), np.ones((3, 2))):
        with pytest.raises(ValueError, match="one-hot"):
            Responses(wrong, "labels", "q")
    assert Responses([2, 0, 1], "labels", "q").digest == numbers.digest
    with pytest.raises(ValueError, match="1 incomplete rows, the first is row 1"):
        Responses(np.ma.masked_array([0, 1], [0, 1]), "labels", "q")
    with pytest.raises(ValueError, match="unequal length"):
        Responses([[1], [0, 1]], "labels", "q")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (VALUES, "probabilities"),
        (np.full((2, 2), 1.2), "top-k"),
        (np.full((2, 2), 0.1), "log-probabilities"),
    ],
)
def test_values_must_be_of_their_kind(values: np.ndarray, kind) -> None:
    with pytest.raises(ValueError, match="choose the kind that they are"):
        Responses(values, kind, "q")


def test_fill_values_are_named() -> None:
    values = np.random.default_rng(0).normal(size=(2500, 10))
    values[7] = -999
    with pytest.warns(UserWarning, match=r"repeat -999.*1 rows \(first \[7\]\) in 10 columns"):
        Responses(values, "logits", "q")
    values[7] = 0
    values[:, 3] = -100
    with pytest.warns(UserWarning, match=r"2500 rows .* in 1 columns \(first \[3\]\)"):
        Responses(values, "logits", "q")


def test_probabilities_that_are_called_logits_are_warned_of() -> None:
    shares = np.random.default_rng(0).dirichlet(np.ones(4), size=30)
    with pytest.warns(UserWarning, match=r"sums to 1: where they are probabilities, say so"):
        Responses(shares, "logits", "q", "m")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Responses(shares, "probabilities", "q")
        Responses(shares + 0.1, "logits", "q")
