import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from mgmp_jax.queries import QuerySet, modality_of

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)


def test_the_digest_is_of_what_is_asked_and_in_which_order() -> None:
    queries = QuerySet.images(IMAGES)
    assert queries.digest == QuerySet.images(IMAGES.copy(order="F")).digest
    others = [
        QuerySet.images(IMAGES[::-1]),
        QuerySet.images(IMAGES.reshape(6, 4, 16, 3)),
        QuerySet.texts(["a b", "c"]),
        QuerySet.texts(["a", "b c"]),
        QuerySet.texts(["a", "b", "c"]),
        QuerySet.rows([[1.0, 2.0]]),
        QuerySet.rows([[1.0], [2.0]]),
    ]
    assert len({q.digest for q in (queries, *others)}) == len(others) + 1
    assert QuerySet.rows(np.array([[1, 2]])).digest == QuerySet.rows([[1.0, 2.0]]).digest


def test_the_digest_of_texts_is_the_same_in_every_process() -> None:
    code = (
        "import numpy as np; from mgmp_jax.queries import QuerySet;"
        "print(QuerySet.texts(np.array(['one', 'zwei ü'], dtype=object)).digest)"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        for _ in range(2)
    }
    assert found == {QuerySet.texts(["one", "zwei ü"]).digest}


def test_some_queries_can_be_taken() -> None:
    texts = QuerySet.texts(["a", "b", "c"])
    assert texts.take(2).inputs == ("a", "b")
    assert texts.take(np.array([2, 0])).inputs == ("c", "a")
    np.testing.assert_array_equal(QuerySet.images(IMAGES).take([1, 3]).inputs, IMAGES[[1, 3]])
    rows = QuerySet.rows(np.arange(10).reshape(5, 2))
    assert len(rows.take(slice(1, 4))) == 3
    assert rows.take(np.int64(2)).digest == rows.take([0, 1]).digest == rows.take(2).digest
    np.testing.assert_array_equal(rows.take(np.arange(5) > 2).inputs, [[6, 7], [8, 9]])


@pytest.mark.parametrize("which", [0, -1, [], [9], np.array([[0, 1]]), [0.5], "ab", slice(9, 12)])
@pytest.mark.parametrize("queries", [QuerySet.texts(["a", "b"]), QuerySet.rows([[1], [2]])])
def test_places_that_there_are_not_are_refused(queries: QuerySet, which) -> None:
    with pytest.raises(ValueError, match=r"cannot take these of 2 queries|at least one query of 2"):
        queries.take(which)


def test_texts_come_in_lists_columns_and_generators() -> None:
    digest = QuerySet.texts(["a", "b"]).digest
    for texts in (
        ("a", "b"),
        np.array(["a", "b"]),
        (text for text in "ab"),
        {"a": 0, "b": 1}.keys(),
    ):
        assert QuerySet.texts(texts).digest == digest
    pandas = pytest.importorskip("pandas")
    assert QuerySet.texts(pandas.Series(["a", "b"])).digest == digest


def test_images_come_in_lists_and_in_arrays_of_jax() -> None:
    digest = QuerySet.images(IMAGES).digest
    assert QuerySet.images(list(IMAGES)).digest == digest
    assert QuerySet.images(jnp.asarray(IMAGES)).digest == digest


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES.astype(np.float32), r"from 0 to 25\d.*np.rint\(x\).astype"),
        (IMAGES / 255, r"np.rint\(255 \* x\)"),
        (IMAGES.transpose(0, 3, 1, 2), r"channels come first: x.transpose\(0, 2, 3, 1\)"),
        (IMAGES[..., 0], "repeat the channel"),
        (IMAGES[..., :1], "repeat"),
        (np.concatenate([IMAGES, IMAGES[..., :1]], axis=-1), "drops an alpha channel"),
        (IMAGES.astype(np.int64), "astype"),
        (IMAGES[:0], "got uint8"),
        (IMAGES[:, :0], "got uint8"),
        (IMAGES.astype(np.float16)[:, :0], "got float16"),
        (IMAGES.astype(object), "images must be real numbers, got dtype object"),
        (IMAGES.astype(np.int64) - 300, "from -300 .*before normalisation"),
        ([IMAGES[0], IMAGES[0, :4]], "images must be one array.*unequal length"),
        (None, "images must be real numbers"),
        ("train.npy", r"images must be an array; np.load\('train.npy'\) reads an .npy file"),
    ],
)
def test_images_of_another_layout_are_refused(images: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        QuerySet.images(images)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("one", "got one string"),
        ([], "at least one text"),
        (["a", " "], "text 1 is an empty text"),
        (["a", b"b"], "text 1 is bytes"),
        (["a", float("nan")], "text 1 is float"),
        (["a", None], "text 1 is NoneType"),
        ({"a": 1}, "a list of texts, one a query; got dict"),
        ({"a", "b"}, "a list of texts, one a query; got set"),
        (None, "a list of texts, one a query; got NoneType"),
        (np.array([["a", "b"]]), "text 0 is ndarray"),
    ],
)
def test_what_is_no_text_is_refused(texts, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        QuerySet.texts(texts)


def test_a_query_set_is_shown_in_a_line() -> None:
    shown = repr(QuerySet.texts(["private", "words"]))
    assert shown.startswith("QuerySet(2 texts, ") and "private" not in shown


def test_a_table_is_no_list_of_texts() -> None:
    pandas = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match="a list of texts, one a query; got DataFrame"):
        QuerySet.texts(pandas.DataFrame({"text": ["a", "b"]}))


def test_images_do_not_change_with_the_array_they_came_in() -> None:
    given = np.zeros((2, 3, 3, 3), np.uint8)
    queries = QuerySet.images(given)
    given[:] = 7
    assert not queries.inputs.any()


def test_what_a_model_is_fed() -> None:
    assert modality_of(IMAGES) == "images"
    assert modality_of(np.zeros((3, 7), np.int32)) == "texts"
    assert modality_of(np.zeros((3, 7), np.float32)) == "rows"
    with pytest.raises(ValueError, match="got float32"):
        modality_of(IMAGES.astype(np.float32))
