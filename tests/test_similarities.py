import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import Ridge
from sklearn.metrics import normalized_mutual_info_score
from sklearn.neighbors import NearestNeighbors

from mgmp_jax import baselines

RNG = np.random.default_rng(0)
KNOWN = RNG.normal(size=(200, 6))
X = (KNOWN @ RNG.normal(size=(6, 4)) + 0.5 * RNG.normal(size=(200, 4))).astype(np.float32)
Y = (KNOWN @ RNG.normal(size=(6, 3)) + 0.5 * RNG.normal(size=(200, 3)) + 2).astype(np.float32)
STATISTICS = list(baselines.RESPONSE_STATISTICS.items())


def slow_cka(x: np.ndarray, y: np.ndarray) -> float:
    """By n x n kernels and the centring matrix, in float64."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    centring = np.eye(len(x)) - 1 / len(x)
    k, m = (centring @ z @ z.T @ centring for z in (x, y))
    return float(np.sum(k * m) / np.sqrt(np.sum(k * k) * np.sum(m * m)))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_linear_cka() -> None:
    assert baselines.linear_cka(X, Y) == pytest.approx(slow_cka(X, Y), abs=1e-6)
    assert baselines.linear_cka(X, X) == pytest.approx(1, abs=1e-6)


def test_linear_cka_of_a_million_queries_far_from_zero() -> None:
    x = (RNG.normal(size=(1_000_000, 2)) + 1000).astype(np.float32)
    y = (x[:, :1] * 3e-20 + 1e-20 * RNG.normal(size=(1_000_000, 1))).astype(np.float32)
    a, b = (z.astype(np.float64) - z.astype(np.float64).mean(axis=0) for z in (x, y))
    expected = np.sum((a.T @ b) ** 2) / np.linalg.norm(a.T @ a) / np.linalg.norm(b.T @ b)
    assert baselines.linear_cka(x, y) == pytest.approx(expected, rel=1e-4)
    assert baselines.linear_cka(x, x) == pytest.approx(1, abs=1e-5)


def test_sac() -> None:
    matrices = [[[cosine(a, b) for b in z] for a in z.astype(np.float64)] for z in (X, Y)]
    expected = -np.mean(np.abs(np.subtract(*matrices)))
    assert baselines.sac(X, Y) == pytest.approx(expected, abs=1e-6)


def test_label_information() -> None:
    expected = normalized_mutual_info_score(X.argmax(axis=1), Y.argmax(axis=1))
    assert baselines.label_information(X, Y) == pytest.approx(expected, abs=1e-5)


def test_leep() -> None:
    theta, labels = softmax(X.astype(np.float64), axis=1), Y.argmax(axis=1)
    joint = np.stack([theta[labels == label].sum(axis=0) / len(X) for label in range(3)])
    conditional = joint / joint.sum(axis=0)
    expected = np.mean([np.log(conditional[y] @ t) for y, t in zip(labels, theta, strict=True)])
    assert baselines.leep(X, Y) == pytest.approx(expected, abs=1e-5)


def test_model_diff() -> None:
    vectors = [np.array([1 - cosine(z[i], z[i + 100]) for i in range(100)]) for z in (X, Y)]
    assert baselines.model_diff(X, Y) == pytest.approx(cosine(*vectors), abs=1e-5)


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

    assert baselines.fit_to_target(X, Y) == pytest.approx(r2(x, y), abs=1e-5)
    assert baselines.fit_to_source(X, Y) == pytest.approx(r2(y, x), abs=1e-5)


def test_mutual_neighbours() -> None:
    near = []
    for z in (X, Y):
        z = (z - z.mean(axis=0)) / z.std(axis=0)
        found = NearestNeighbors(n_neighbors=8, metric="cosine").fit(z).kneighbors(z)[1]
        near.append([set(row) - {i} for i, row in enumerate(found)])
    expected = np.mean([len(a & b) / 7 for a, b in zip(*near, strict=True)])
    assert baselines.mutual_neighbours(X, Y, k=7) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match="k must be from 1 to the number of queries less one, 199"):
        baselines.mutual_neighbours(X, Y, k=200)


def test_agreement_on_the_sources_mistakes() -> None:
    logits = np.eye(4, dtype=np.float32)[RNG.integers(4, size=4000)]
    labels = np.where(RNG.random(4000) < 0.3, RNG.integers(4, size=4000), logits.argmax(axis=1))
    permuted = 5 * logits[:, [2, 0, 3, 1]]
    unrelated = np.eye(4, dtype=np.float32)[labels]
    assert baselines.mistake_agreement(logits, permuted, labels) == 1
    assert baselines.mistake_agreement(logits, unrelated, labels) == 0
    assert baselines.mistake_agreement(logits, permuted, logits.argmax(axis=1)) == 0


@pytest.mark.parametrize(("name", "statistic"), STATISTICS)
def test_invariance_finiteness_and_vmap(name: str, statistic) -> None:
    itself, other = float(statistic(X, X)), float(statistic(X, Y))
    noise = RNG.normal(size=Y.shape).astype(np.float32)
    assert itself > other > statistic(X, noise)
    order = RNG.permutation(200)
    if name not in ("ModelDiff", "fit to source", "fit to target"):  # pairs and folds are by place
        assert statistic(X[order], Y[order]) == pytest.approx(other, abs=1e-5)
    assert statistic(X, 7 * Y) == pytest.approx(other, abs=1e-4)
    assert statistic(X, Y[:, ::-1]) == pytest.approx(other, abs=1e-4)
    assert np.isfinite(statistic(X, np.zeros_like(Y)))
    targets = jnp.stack([Y, noise])
    one_by_one = [statistic(X, target) for target in targets]
    stacked = jax.vmap(statistic, in_axes=(None, 0))(jnp.asarray(X), targets)
    np.testing.assert_allclose(stacked, one_by_one, atol=1e-5)


def test_weights() -> None:
    source = {"head": {"kernel": np.ones((2, 3))}, "stem": {"kernel": np.array([3.0, 4.0])}}
    target = {"head": {"kernel": np.zeros((2, 4))}, "stem": {"kernel": np.array([4.0, 3.0])}}
    assert baselines.weight_distance(source, target) == pytest.approx(-(2**0.5))
    relative = baselines.weight_distance(source, target, relative=True)
    assert relative == pytest.approx(-(2**0.5) / 5)
    assert baselines.weight_cosine(source, target) == pytest.approx(24 / 25)
    assert baselines.weight_cosine(source, jax.tree.map(jnp.zeros_like, target)) == 0
    assert list(baselines.weight_distance_by_layer(source, target)) == ["stem"]
    same = baselines.weight_distance_by_layer(source, source, relative=True)
    assert {layer: float(value) for layer, value in same.items()} == {"head": 0, "stem": 0}
    with pytest.raises(ValueError, match="no array of parameters of the same name and shape"):
        baselines.weight_cosine({"head": source["head"]}, {"head": target["head"]})


@pytest.mark.parametrize(("name", "statistic"), STATISTICS)
def test_responses_that_cannot_be_compared(name: str, statistic) -> None:
    for wrong in (Y[:150], Y[:, 0], Y[None], Y[:, :0]):
        with pytest.raises(ValueError, match="to the same queries"):
            statistic(X, wrong)
    holes = Y.copy()
    holes[3, 1] = np.nan
    assert np.isnan(statistic(X, holes)) and np.isnan(statistic(holes, X))


def test_mistakes_need_a_label_for_each_query() -> None:
    with pytest.raises(ValueError, match="one label a query"):
        baselines.mistake_agreement(X, X, np.zeros((200, 1), int))
