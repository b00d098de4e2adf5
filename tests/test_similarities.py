import doctest

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import Ridge
from sklearn.metrics import normalized_mutual_info_score
from sklearn.neighbors import NearestNeighbors

from mgmp_jax import similarities
from mgmp_jax.responses import Responses

RNG = np.random.default_rng(0)
KNOWN = RNG.normal(size=(200, 6))
X = (KNOWN @ RNG.normal(size=(6, 4)) + 0.5 * RNG.normal(size=(200, 4))).astype(np.float32)
Y = (KNOWN @ RNG.normal(size=(6, 3)) + 0.5 * RNG.normal(size=(200, 3)) + 2).astype(np.float32)
SIMILAR = list(similarities.SIMILARITIES.items())


def slow_cka(x: np.ndarray, y: np.ndarray) -> float:
    """By n x n kernels and the centring matrix, in float64."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    centring = np.eye(len(x)) - 1 / len(x)
    k, m = (centring @ z @ z.T @ centring for z in (x, y))
    return float(np.sum(k * m) / np.sqrt(np.sum(k * k) * np.sum(m * m)))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_linear_cka() -> None:
    assert similarities.linear_cka(X, Y) == pytest.approx(slow_cka(X, Y), abs=1e-6)
    assert similarities.linear_cka(X, X) == pytest.approx(1, abs=1e-6)


def test_linear_cka_of_a_million_queries_far_from_zero() -> None:
    rng = np.random.default_rng(1)
    x = (rng.normal(size=(1_000_000, 2)) + 1000).astype(np.float32)
    y = (x[:, :1] * 3e-20 + 1e-20 * rng.normal(size=(1_000_000, 1))).astype(np.float32)
    a, b = (z.astype(np.float64) - z.astype(np.float64).mean(axis=0) for z in (x, y))
    expected = np.sum((a.T @ b) ** 2) / np.linalg.norm(a.T @ a) / np.linalg.norm(b.T @ b)
    assert similarities.linear_cka(x, y) == pytest.approx(float(expected), rel=1e-4)
    assert similarities.linear_cka(x, x) == pytest.approx(1, abs=1e-5)


def test_sac() -> None:
    matrices = [[[cosine(a, b) for b in z] for a in z.astype(np.float64)] for z in (X, Y)]
    expected = -np.mean(np.abs(np.subtract(*matrices)))
    assert similarities.sac(X, Y) == pytest.approx(float(expected), abs=1e-6)


def test_nmi() -> None:
    expected = normalized_mutual_info_score(X.argmax(axis=1), Y.argmax(axis=1))
    assert similarities.nmi(X, Y) == pytest.approx(float(expected), abs=1e-5)


def test_leep() -> None:
    theta, labels = softmax(X.astype(np.float64), axis=1), Y.argmax(axis=1)
    joint = np.stack([theta[labels == label].sum(axis=0) / len(X) for label in range(3)])
    conditional = joint / joint.sum(axis=0)
    expected = np.mean([np.log(conditional[y] @ t) for y, t in zip(labels, theta, strict=True)])
    assert similarities.leep(X, Y) == pytest.approx(float(expected), abs=1e-5)


def test_model_diff() -> None:
    vectors = [np.array([1 - cosine(z[i], z[i + 100]) for i in range(100)]) for z in (X, Y)]
    assert similarities.model_diff(X, Y) == pytest.approx(cosine(*vectors), abs=1e-5)


def test_fits_in_both_directions() -> None:
    folds = np.asarray(jax.random.permutation(jax.random.key(0), 200) % 5)
    x, y = ((z - z.mean(axis=0)) / z.std(axis=0) for z in (X, Y))

    def r2(inputs: np.ndarray, outputs: np.ndarray) -> float:
        predicted = np.empty_like(outputs)
        for fold in range(5):
            out = folds == fold
            ridge = Ridge(alpha=0.01 * (~out).sum()).fit(inputs[~out], outputs[~out])
            predicted[out] = ridge.predict(inputs[out])
        return float(1 - np.mean((outputs - predicted) ** 2))

    assert similarities.ridge_r2_to_target(X, Y) == pytest.approx(r2(x, y), abs=1e-5)
    assert similarities.ridge_r2_to_source(X, Y) == pytest.approx(r2(y, x), abs=1e-5)


def test_mutual_knn() -> None:
    near = []
    for z in (X, Y):
        z = (z - z.mean(axis=0)) / z.std(axis=0)
        found = NearestNeighbors(n_neighbors=8, metric="cosine").fit(z).kneighbors(z)[1]
        near.append([set(row) - {i} for i, row in enumerate(found)])
    expected = np.mean([len(a & b) / 7 for a, b in zip(*near, strict=True)])
    assert similarities.mutual_knn(X, Y, k=7) == pytest.approx(float(expected), abs=1e-6)
    with pytest.raises(ValueError, match="k must be from 1 to the number of queries less one, 199"):
        similarities.mutual_knn(X, Y, k=200)


def test_agreement_on_the_sources_mistakes() -> None:
    rng = np.random.default_rng(1)
    logits = np.eye(4, dtype=np.float32)[rng.integers(4, size=4000)]
    labels = np.where(rng.random(4000) < 0.3, rng.integers(4, size=4000), logits.argmax(axis=1))
    permuted = 5 * logits[:, [2, 0, 3, 1]]
    unrelated = np.eye(4, dtype=np.float32)[labels]
    assert similarities.mistake_agreement(logits, permuted, labels) == 1
    assert similarities.mistake_agreement(logits, unrelated, labels) == 0
    assert similarities.mistake_agreement(logits, permuted, logits.argmax(axis=1)) == 0


@pytest.mark.parametrize(("name", "similarity"), SIMILAR)
def test_invariance_finiteness_and_vmap(name: str, similarity) -> None:
    rng = np.random.default_rng(1)
    itself, other = float(similarity(X, X)), float(similarity(X, Y))
    noise = rng.normal(size=Y.shape).astype(np.float32)
    assert itself > other > similarity(X, noise)
    order = rng.permutation(200)
    if name not in (
        "ModelDiff",
        "ridge R², source to target",
        "ridge R², target to source",
    ):  # pairs and folds are by place
        assert similarity(X[order], Y[order]) == pytest.approx(other, abs=1e-5)
    assert similarity(X, 7 * Y) == pytest.approx(other, abs=1e-4)
    assert similarity(X, Y[:, ::-1]) == pytest.approx(other, abs=1e-4)
    assert np.isfinite(similarity(X, np.zeros_like(Y)))
    targets = jnp.stack([Y, noise])
    one_by_one = [similarity(X, target) for target in targets]
    stacked = jax.vmap(similarity, in_axes=(None, 0))(jnp.asarray(X), targets)
    np.testing.assert_allclose(stacked, one_by_one, atol=1e-5)


@pytest.mark.parametrize(("name", "similarity"), SIMILAR)
def test_responses_that_cannot_be_compared(name: str, similarity) -> None:
    for wrong in (Y[:150], Y[:, 0], Y[None], Y[:, :0]):
        with pytest.raises(ValueError, match=r"the same queries|must be an array"):
            similarity(X, wrong)
    jitted = jax.jit(similarity)
    assert jitted(X, Y) == pytest.approx(float(similarity(X, Y)), abs=1e-5)
    holes = Y.copy()
    holes[3, 1] = np.nan
    for pair in ((X, holes), (holes, X)):
        with pytest.raises(ValueError, match="must be finite; 1 of 200 rows"):
            similarity(*pair)
        assert np.isnan(jitted(*pair))


def test_mistakes_need_a_label_for_each_query() -> None:
    for wrong in (np.zeros((200, 1), int), np.zeros(150, int)):
        with pytest.raises(ValueError, match="one label a query"):
            similarities.mistake_agreement(X, X, wrong)
    with pytest.raises(ValueError, match="labels must be class numbers, whole ones; got float64"):
        similarities.mistake_agreement(X, X, np.full(200, 0.97))
    labels = np.random.default_rng(1).integers(4, size=200)
    expected = float(similarities.mistake_agreement(X, Y, labels))
    assert similarities.mistake_agreement(X, Y, labels.tolist()) == pytest.approx(expected)
    assert jax.jit(similarities.mistake_agreement)(X, Y, labels) == pytest.approx(expected)


@pytest.mark.parametrize(
    "dtype", [np.float32, np.float16, ml_dtypes.bfloat16, np.int8, np.uint8, bool]
)
def test_labels_of_any_dtype_say_the_same(dtype) -> None:
    rng = np.random.default_rng(0)
    source, target = (np.eye(4)[rng.integers(4, size=100)] for _ in range(2))
    for similarity in (similarities.nmi, similarities.leep, similarities.linear_cka):
        expected = similarity(source, target)
        assert similarity(source.astype(dtype), target.astype(dtype)) == pytest.approx(
            float(expected)
        )


def test_half_precision_is_summed_in_float32() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(72_000, 3)).astype(np.float16)
    y = (x + rng.normal(size=x.shape)).astype(np.float16)
    expected = float(similarities.linear_cka(x.astype(np.float32), y.astype(np.float32)))
    assert similarities.linear_cka(x, y) == pytest.approx(float(expected), abs=1e-5)
    assert 0.2 < expected < 0.8


@pytest.mark.parametrize("constants", [[1e14], [1e14, 3.3e13], [-7e14, 1e-9, 0.1]])
@pytest.mark.parametrize("unbiased", [False, True])
def test_constant_columns_of_any_size_do_not_erase_the_others(
    constants: list[float], unbiased: bool
) -> None:
    columns = np.full((200, len(constants)), constants, np.float32)
    found = similarities.linear_cka(np.hstack([X, columns]), Y, unbiased=unbiased)
    expected = float(similarities.linear_cka(X, Y, unbiased=unbiased))
    assert found == pytest.approx(expected, abs=1e-5)


def test_a_column_of_fill_values_does_not_erase_the_others_where_nothing_refuses_it() -> None:
    masked = np.hstack([X, np.full((200, 1), np.finfo(np.float32).min)])
    with pytest.raises(ValueError, match=r"larger than 1e\+15.*\(columns 4\).*'top-k'"):
        similarities.linear_cka(masked, Y)
    found = jax.jit(similarities.linear_cka)(masked, Y)
    assert found == pytest.approx(slow_cka(X, Y), abs=1e-5)


def test_a_large_column_that_varies_counts_by_its_size() -> None:
    large = np.random.default_rng(3).normal(size=(200, 1)) * 1e12
    mixed = np.hstack([X, large]).astype(np.float32)
    assert similarities.linear_cka(mixed, Y) == pytest.approx(slow_cka(mixed, Y), abs=1e-6)


def test_the_unbiased_estimate_of_cka() -> None:
    rng = np.random.default_rng(2)
    wide = rng.normal(size=(2, 20, 512))
    assert similarities.linear_cka(*wide) == pytest.approx(0.966, abs=0.005)
    assert abs(similarities.linear_cka(*wide, unbiased=True)) < 0.15

    def hsic(k: np.ndarray, m: np.ndarray) -> float:
        n, one = len(k), np.ones(len(k))
        k, m = (z - np.diag(np.diag(z)) for z in (k, m))
        sums = (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
        return float(np.trace(k @ m) + sums - 2 / (n - 2) * (one @ k @ m @ one))

    k, m = (z.astype(np.float64) @ z.T.astype(np.float64) for z in (X, Y))
    expected = hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))
    assert similarities.linear_cka(X, Y, unbiased=True) == pytest.approx(float(expected), abs=1e-4)
    with pytest.raises(ValueError, match="at least four queries, got 3"):
        similarities.linear_cka(X[:3], Y[:3], unbiased=True)


@pytest.mark.parametrize("n", [20, 500, 2500])
def test_the_unbiased_estimate_of_one_query_that_outweighs_all_is_zero(n: int) -> None:
    labels = np.eye(4)[[1] + [0] * (n - 1)]
    assert similarities.linear_cka(labels, labels, unbiased=True) == 0
    small = np.random.default_rng(n).normal(size=(2, n, 4)) * 1e-3
    small[:, 5] = 50
    assert similarities.linear_cka(*small, unbiased=True) == 0


def test_responses_lists_and_tables_are_read() -> None:
    pandas = pytest.importorskip("pandas")
    expected = similarities.linear_cka(X, Y)
    source, target = (Responses(z, "logits", "queries") for z in (X, Y))
    for pair in ((source, target), (X.tolist(), Y.tolist()), (pandas.DataFrame(X), Y), (X, target)):
        assert similarities.linear_cka(*pair) == pytest.approx(float(expected), abs=1e-6)
    with pytest.raises(ValueError, match="different query sets"):
        similarities.linear_cka(source, Responses(Y, "logits", "others"))


def test_leep_converts_what_it_can() -> None:
    source, target = (Responses(z, "logits", "queries") for z in (X, Y))
    expected = float(similarities.leep(X, Y))
    assert similarities.leep(source.to("probabilities"), target) == pytest.approx(
        expected, abs=1e-4
    )
    assert similarities.leep(source, target.to("labels")) == pytest.approx(
        float(expected), abs=1e-4
    )
    with pytest.raises(ValueError, match="are labels, which cannot be converted"):
        similarities.leep(source.to("labels"), target)
    with pytest.raises(ValueError, match="are embedding, which cannot be converted"):
        similarities.leep(Responses(X, "embedding", "queries"), target)


def test_leep_has_a_floor_for_the_source_s_zeros() -> None:
    certain = Responses(np.eye(4)[X.argmax(axis=1)], "probabilities", "queries")
    assert np.isfinite(similarities.leep(certain, Y))


def test_labels_whose_normalised_mutual_information_is_known() -> None:
    rng = np.random.default_rng(0)
    source, target = (rng.integers(4, size=100) for _ in range(2))
    expected = normalized_mutual_info_score(source, target)
    pair = [Responses(labels, "labels", "queries") for labels in (source, target)]
    assert similarities.nmi(*pair) == pytest.approx(float(expected), abs=1e-5)


def test_the_example_in_the_documentation() -> None:
    assert doctest.testmod(similarities, extraglobs={"np": np}) == (0, 2)
