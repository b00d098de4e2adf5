import numpy as np
import pytest

from mgmp_jax.responses import Responses, query_digest

VALUES = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
QUERIES = np.arange(6 * 4, dtype=np.uint8).reshape(6, 4)


def responses(values: np.ndarray = VALUES, digest: str = "abc", **changes: str) -> Responses:
    return Responses(values, changes.get("kind", "logits"), digest, changes.get("model", "m"))


def test_round_trip_changes_nothing(tmp_path) -> None:
    responses().save(tmp_path / "folder" / "r.npz")
    again = Responses.load(tmp_path / "folder" / "r.npz")
    np.testing.assert_array_equal(again.values, VALUES)
    assert (again.kind, again.queries, again.model) == ("logits", "abc", "m")
    assert [p.name for p in (tmp_path / "folder").iterdir()] == ["r.npz"]


def test_digest_depends_on_values_order_shape_and_dtype() -> None:
    others = [QUERIES + 1, QUERIES[::-1], QUERIES.reshape(4, 6), QUERIES.astype(np.int8)]
    assert len({query_digest(q) for q in [QUERIES, *others]}) == 5
    assert query_digest(QUERIES) == query_digest(QUERIES.copy())


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
