import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from mgmp_jax.arrays import LARGEST, as_matrix, as_numbers
from mgmp_jax.responses import Responses


@pytest.mark.parametrize(
    "dtype",
    [
        *(bool, np.int8, np.uint16, np.int64, np.float16, np.float64, np.longdouble),
        *(ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn),
    ],
)
def test_any_real_dtype_becomes_float32(dtype) -> None:
    values = as_matrix(np.array([[0, 1], [1, 1]], dtype))
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, [[0, 1], [1, 1]])


def test_lists_and_tables_are_taken() -> None:
    pandas = pytest.importorskip("pandas")
    np.testing.assert_array_equal(as_matrix([[1, 2], [3, 4]]), [[1, 2], [3, 4]])
    np.testing.assert_array_equal(as_matrix(pandas.DataFrame({"a": [1.0], "b": [2.0]})), [[1, 2]])
    mixed = pandas.DataFrame({"a": [True, False], "b": [3, 4]})
    np.testing.assert_array_equal(as_matrix(mixed), [[1, 3], [0, 4]])
    nullable = pandas.DataFrame({"a": [1, 2]}, dtype="Int64")
    np.testing.assert_array_equal(as_matrix(nullable), [[1], [2]])
    with pytest.raises(ValueError, match="1 of 2 rows hold numbers that are not finite"):
        as_matrix(pandas.DataFrame({"a": [1, None]}, dtype="Int64"))
    with pytest.raises(ValueError, match="must be real numbers, got dtype"):
        as_matrix(pandas.DataFrame({"a": ["x", "y"]}))


def test_arrays_of_jax_and_responses_are_taken() -> None:
    np.testing.assert_array_equal(as_matrix(jnp.asarray([[1, 2]], jnp.bfloat16)), [[1, 2]])
    responses = Responses([[1, 2], [3, 4]], "logits", "q")
    np.testing.assert_array_equal(as_matrix(responses), [[1, 2], [3, 4]])
    with pytest.raises(ValueError, match="PRNGKeyArray cannot be read as one"):
        as_matrix(jax.random.key(0))


def test_tensors_are_taken_or_refused_in_a_sentence() -> None:
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(as_matrix(torch.ones(2, 1)), [[1], [1]])
    np.testing.assert_array_equal(as_matrix(torch.ones(2, 1, dtype=torch.bfloat16)), [[1], [1]])
    with pytest.raises(ValueError, match="Tensor cannot be read as one"):
        as_matrix(torch.ones(2, 1, requires_grad=True))


@pytest.mark.parametrize("order", ["C", "F"])
def test_what_is_given_is_copied(order) -> None:
    given = np.ones((3, 2), np.float32, order=order)
    values = as_matrix(given)
    given[:] = 7
    assert (values == 1).all() and values.flags.c_contiguous


def test_numbers_of_any_shape_keep_their_integers() -> None:
    assert as_numbers([[1], [2]]).dtype == np.int64
    assert as_numbers(np.ones((2, 3, 4), ml_dtypes.bfloat16)).dtype == np.float32
    assert np.isinf(as_numbers([-np.inf])).all()


def test_numbers_up_to_the_largest_are_taken() -> None:
    np.testing.assert_array_equal(as_matrix([[LARGEST, -LARGEST]]), np.float32([[1e15, -1e15]]))


def test_an_error_names_what_was_given() -> None:
    with pytest.raises(ValueError, match="responses of the suspect must be real numbers"):
        as_matrix([["a"]], "responses of the suspect")


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
        (np.array([[1, -(2**63)]]), "larger than 1e.15"),
        (np.full((2, 2), 1e300, np.longdouble), "larger than 1e.15|not finite"),
        ([[1.0, 10**400]], "must be real numbers|cannot be read"),
        (None, "got dtype object"),
        (np.ma.masked_array(np.ones((0, 2))), "got shape"),
        (np.ma.masked_array(1.0), "got shape"),
        ([np.ma.masked_array([1, 2], [0, 1]), [1, 2]], "1 incomplete rows.*row 0"),
        (np.ma.masked_array(np.ones((3, 2)), [[0, 0], [0, 1], [0, 0]]), "1 incomplete rows.*row 1"),
    ],
)
def test_what_is_no_response_is_refused(values, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_matrix(values)
