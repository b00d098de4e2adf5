import ml_dtypes
import numpy as np
import pytest

from mgmp_jax.arrays import as_matrix


@pytest.mark.parametrize(
    "dtype", [bool, np.int8, np.uint16, np.int64, np.float16, np.float64, ml_dtypes.bfloat16]
)
def test_any_real_dtype_becomes_float32(dtype) -> None:
    values = as_matrix(np.array([[0, 1], [1, 1]], dtype))
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, [[0, 1], [1, 1]])


def test_lists_and_tables_are_taken() -> None:
    pandas = pytest.importorskip("pandas")
    np.testing.assert_array_equal(as_matrix([[1, 2], [3, 4]]), [[1, 2], [3, 4]])
    np.testing.assert_array_equal(as_matrix(pandas.DataFrame({"a": [1.0], "b": [2.0]})), [[1, 2]])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones(3), "shape .3,.; give class numbers as responses of kind 'labels'"),
        (np.ones((2, 0)), "got shape"),
        (np.ones((2, 2, 2)), "got shape"),
        ([[1, 2], [3]], "rows of unequal length"),
        (np.array([["a", "b"]]), "must be real numbers, got dtype <U1"),
        (np.array([[None, 1]], object), "must be real numbers, got dtype object"),
        (np.ones((2, 2), complex), "got dtype complex128"),
        (np.ones((2, 2), "V2"), "raw bytes .*bfloat16"),
        (np.array([[1, np.nan], [1, 1]]), "1 of 2 rows hold numbers that are not finite.*row 0"),
        (np.array([[1, 1], [1, 3.4e38]]), "larger than 1e.15.*row 1 .columns 1.*top-k"),
        (np.array([[1, 1], [1, 1e300]]), "larger than 1e.15"),
        (np.ma.masked_array(np.ones((3, 2)), [[0, 0], [0, 1], [0, 0]]), "1 incomplete rows.*row 1"),
    ],
)
def test_what_is_no_response_is_refused(values, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_matrix(values)
