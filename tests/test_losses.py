import functools
import subprocess
import sys
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from mgmp_jax.losses import (
    blockwise_dna_loss,
    cohesion_loss,
    dna_loss,
    provenance_loss,
    similarity_loss,
)

LOSSES = {"similarity": similarity_loss, "cohesion": cohesion_loss, "dna": dna_loss}


def cosine(u: np.ndarray, v: np.ndarray) -> float:
    length = np.sqrt(u @ u) * np.sqrt(v @ v)
    return float(u @ v / length) if length > 0 else 0.0


def loop_similarity(s: np.ndarray, t: np.ndarray, n: np.ndarray, tau: float) -> float:
    total = 0.0
    for i in range(len(s)):
        numerator = np.exp(cosine(s[i], t[i]) / tau)
        denominator = 0.0
        for k in range(len(s)):
            denominator += np.exp(cosine(s[i], n[k]) / tau)
        total -= np.log(numerator / denominator)
    return total


def loop_cohesion(s: np.ndarray, t: np.ndarray, n: np.ndarray, tau: float) -> float:
    total = 0.0
    for i in range(len(s)):
        for k in range(len(s)):
            if k != i:
                total -= np.log(sum(np.exp(cosine(m[i], m[k]) / tau) for m in (s, t, n)))
    return total


LOOPS = {
    "similarity": loop_similarity,
    "cohesion": loop_cohesion,
    "dna": lambda *args: loop_similarity(*args) + loop_cohesion(*args),
}


def fragments(n: int, d: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(n, d)) for _ in range(3)]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("block_size", [None, 1, 3, 7, 100])
@pytest.mark.parametrize("tau", [0.05, 0.5, 10.0])
def test_equals_the_double_loop(name: str, block_size: int | None, tau: float) -> None:
    sets = fragments(7, 5)
    got = LOSSES[name](*sets, temperature=tau, reduction="sum", block_size=block_size)
    np.testing.assert_allclose(got, LOOPS[name](*sets, tau), rtol=2e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_equals_the_double_loop_in_float64(name: str) -> None:
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
        sets = fragments(6, 4)
        got = LOSSES[name](*map(jnp.asarray, sets), temperature=0.1, reduction="sum")
        assert got.dtype == jnp.float64
        np.testing.assert_allclose(got, LOOPS[name](*sets, 0.1), rtol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("block_size", [None, 2])
def test_gradient_equals_that_of_the_double_loop(name: str, block_size: int | None) -> None:
    sets, tau, step = fragments(5, 3), 0.3, 1e-6
    gradients = jax.grad(LOSSES[name], argnums=(0, 1, 2))(
        *sets, temperature=tau, reduction="sum", block_size=block_size
    )
    for which in range(3):
        expected = np.zeros_like(sets[which])
        for place in np.ndindex(*expected.shape):
            moved = [[x.copy() for x in sets] for _ in range(2)]
            moved[0][which][place] += step
            moved[1][which][place] -= step
            high, low = (LOOPS[name](*m, tau) for m in moved)
            expected[place] = (high - low) / (2 * step)
        np.testing.assert_allclose(gradients[which], expected, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("n", [1, 2, 6])
def test_mean_divides_by_what_is_summed(n: int) -> None:
    sets = fragments(n, 4)
    for name, count in {"similarity": n, "cohesion": max(n * (n - 1), 1)}.items():
        total = LOSSES[name](*sets, temperature=0.5, reduction="sum")
        mean = LOSSES[name](*sets, temperature=0.5, reduction="mean")
        np.testing.assert_allclose(mean, total / count, rtol=1e-6)


@functools.cache
def compiled(name: str, block_size: int | None) -> Callable:
    """Value and gradients; the temperature is traced, so that it compiles once for all."""

    def loss(source, homologous, non_homologous, tau):
        sets = (source, homologous, non_homologous)
        return LOSSES[name](*sets, temperature=tau, block_size=block_size)

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2)))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("tau", [1e-2, 1.0, 10.0])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("block_size", [None, 3])
@pytest.mark.parametrize("case", ["zeros", "equal", "one zero row", "huge", "tiny"])
def test_extreme_inputs_give_finite_losses_and_gradients(
    name: str, tau: float, dtype: jnp.dtype, block_size: int | None, case: str
) -> None:
    sets = {
        "zeros": [np.zeros((4, 3))] * 3,
        "equal": [np.ones((4, 3))] * 3,
        "one zero row": [np.vstack([np.zeros((1, 3)), x]) for x in fragments(3, 3)],
        "huge": [1e30 * x for x in fragments(4, 3)],
        "tiny": [1e-30 * x for x in fragments(4, 3)],
    }[case]

    value, gradients = compiled(name, block_size)(*(jnp.asarray(x, dtype) for x in sets), tau)
    assert value.dtype == jnp.float32
    assert np.isfinite(value)
    assert case == "tiny" or all(np.isfinite(g.astype(np.float32)).all() for g in gradients)
    rounded = [np.asarray(jnp.asarray(x, dtype), np.float64) for x in sets]
    n = len(rounded[0])
    expected = 0.0
    if name != "cohesion":
        expected += loop_similarity(*rounded, tau) / n
    if name != "similarity":
        expected += loop_cohesion(*rounded, tau) / (n * (n - 1))
    np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-3 / tau)


@settings(max_examples=25, deadline=None)
@given(
    shape=st.sampled_from([(1, 3, None), (9, 1, None), (2, 4, 12), (7, 3, 1), (9, 4, 4)]),
    seed=st.integers(0, 10_000),
    tau=st.floats(0.05, 10.0),
)
def test_invariant_to_a_common_permutation_and_to_scaling(
    shape: tuple[int, int, int | None], seed: int, tau: float
) -> None:
    n, d, block_size = shape  # few, since each is compiled
    sets = fragments(n, d, seed)
    rng = np.random.default_rng(seed)
    order = rng.permutation(n)
    changed = [(x * rng.uniform(0.1, 10, size=(n, 1)))[order] for x in sets]
    for name in LOSSES:
        before, _ = compiled(name, block_size)(*sets, tau)
        after, _ = compiled(name, block_size)(*changed, tau)
        np.testing.assert_allclose(before, after, rtol=1e-4, atol=1e-4 / tau)


def test_similarity_falls_when_source_and_homologous_approach() -> None:
    s, t, n = fragments(6, 5)
    losses = [similarity_loss(s, t + a * (s - t), n, temperature=0.5) for a in (0.0, 0.5, 1.0)]
    assert losses[0] > losses[1] > losses[2]


def test_blocks_bound_the_memory_of_forward_and_backward() -> None:
    n, d, block = 4096, 8, 64
    sets = [jnp.ones((n, d))] * 3

    def peak(block_size: int | None) -> int:
        gradient = jax.grad(lambda *a: dna_loss(*a, temperature=0.5, block_size=block_size))
        return jax.jit(gradient).lower(*sets).compile().memory_analysis().temp_size_in_bytes

    whole, blocked = peak(None), peak(block)
    assert whole > 4 * n * n
    assert blocked < 16 * 4 * n * block


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": np.ones((3, 2))}, r"\(3, 2\), \(4, 2\) and \(4, 2\)"),
        ({"source": np.ones(4)}, r"one shape \[n, d\]"),
        (dict.fromkeys(("source", "homologous", "non_homologous"), np.ones((0, 2))), "n >= 1"),
        ({"temperature": 0.0}, "temperature must be positive, got 0.0"),
        ({"temperature": np.float32(-1)}, "temperature must be positive, got -1.0"),
        ({"reduction": "max"}, "reduction must be"),
        ({"block_size": 0}, "block_size must be at least 1"),
    ],
)
def test_bad_arguments_say_what_was_expected(change: dict, message: str) -> None:
    names = ("source", "homologous", "non_homologous")
    arguments = {**dict.fromkeys(names, np.ones((4, 2))), "temperature": 0.5, **change}
    sets = [arguments.pop(name) for name in names]
    for loss in LOSSES.values():
        with pytest.raises(ValueError, match=message):
            loss(*sets, **arguments)


def test_provenance_loss_is_mean_binary_cross_entropy() -> None:
    logits, labels = np.array([-3.0, 0.0, 2.0, 40.0]), np.array([0.0, 1.0, 1.0, 0.0])
    expected = -np.mean(
        [np.log(1 / (1 + np.exp(z))) if y == 0 else -np.log1p(np.exp(-z))
         for z, y in zip(logits, labels, strict=True)]
    )  # fmt: skip
    np.testing.assert_allclose(provenance_loss(logits, labels), expected, rtol=1e-6)
    assert provenance_loss(jnp.zeros(2, jnp.bfloat16), jnp.ones(2)).dtype == jnp.float32
    with pytest.raises(ValueError, match="vectors of one length"):
        provenance_loss(np.ones(3), np.ones(2))


def test_imports_alone() -> None:
    code = (
        "import sys, mgmp_jax.losses; "
        "banned = {'flax', 'orbax', 'tensorflow_datasets', 'matplotlib', 'jaxtyping', 'scipy'}; "
        "print(sorted(banned & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(eval(done.stdout)) <= {"scipy"}  # JAX itself imports SciPy


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("block_size", [1, 3, 7, 100])
@pytest.mark.parametrize("tau", [0.005, 0.5, 10.0])
def test_blockwise_has_the_value_and_gradients_of_the_plain_loss(
    reduction: str, block_size: int, tau: float
) -> None:
    """Of fragments, of which one is zero, and of the temperature; in double precision."""
    with jax.enable_x64(True):
        sets = fragments(7, 5, seed=11)
        sets[2][3] = 0.0
        options = {"reduction": reduction, "block_size": block_size}

        def loss(function: Callable, temperature: float, *sets: np.ndarray) -> jax.Array:
            return 3 * function(*sets, temperature=temperature, **options)

        take = functools.partial(jax.value_and_grad, argnums=range(4))
        value, gradients = take(functools.partial(loss, blockwise_dna_loss))(tau, *sets)
        options["block_size"] = None
        plain, expected = take(functools.partial(loss, dna_loss))(tau, *sets)
        np.testing.assert_allclose(value, plain, rtol=1e-12)
        for got, right in zip(gradients, expected, strict=True):
            np.testing.assert_allclose(got, right, rtol=1e-9, atol=1e-9 * np.abs(right).max())
        assert np.abs(gradients[1]).max() > 0


@pytest.mark.parametrize(
    "loss", [similarity_loss, cohesion_loss, dna_loss, blockwise_dna_loss], ids=lambda f: f.__name__
)
def test_the_fragments_decide_the_type_not_the_temperature(loss: Callable) -> None:
    sets = [x.astype(np.float32) for x in fragments(7, 5, seed=13)]
    with jax.enable_x64(True):
        for tau in (0.5, np.float64(0.5), jnp.float64(0.5)):
            assert loss(*sets, temperature=tau).dtype == jnp.float32
        assert loss(sets[0], sets[1].astype(float), sets[2], temperature=0.5).dtype == jnp.float64


def test_blockwise_takes_single_precision_and_one_fragment() -> None:
    sets = [x.astype(np.float32) for x in fragments(40, 6, seed=12)]
    for rows in (40, 1):
        some = [x[:rows] for x in sets]
        got = jax.jit(functools.partial(blockwise_dna_loss, temperature=0.5, block_size=16))(*some)
        assert got.dtype == jnp.float32
        np.testing.assert_allclose(got, dna_loss(*some, temperature=0.5), rtol=1e-5, atol=1e-6)


def test_blockwise_memory_is_linear_in_the_number_of_fragments() -> None:
    def temporary(n: int) -> int:
        shape = jax.ShapeDtypeStruct((n, 8), jnp.float32)
        loss = functools.partial(blockwise_dna_loss, temperature=0.5, block_size=64)
        compiled = jax.jit(jax.grad(loss, (0, 1, 2))).lower(shape, shape, shape).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporary(8192) < 4.5 * temporary(2048)


@pytest.mark.parametrize("block_size", [None, 5])
@pytest.mark.parametrize("loss", [dna_loss, blockwise_dna_loss], ids=lambda f: f.__name__)
def test_sharded_fragments_give_the_same(loss: Callable, block_size: int | None) -> None:
    chosen = {} if block_size is None else {"block_size": block_size}
    plain = functools.partial(loss, temperature=0.5, **chosen)
    gradients = jax.value_and_grad(plain, (0, 1, 2))
    sets = [x.astype(np.float32) for x in fragments(12, 5, seed=14)]
    expected, rows = gradients(*sets), PartitionSpec("data")
    for kind in (AxisType.Auto, AxisType.Explicit):
        mesh = jax.make_mesh((1,), ("data",), axis_types=(kind,))
        sharded = jax.device_put(sets, NamedSharding(mesh, rows))
        chex.assert_trees_all_close(jax.jit(gradients)(*sharded), expected, atol=1e-5)
        with jax.set_mesh(mesh):
            chex.assert_trees_all_close(jax.jit(gradients)(*sharded), expected, atol=1e-5)
        whole = jax.device_put(sets, NamedSharding(mesh, PartitionSpec()))
        np.testing.assert_allclose(plain(*whole), expected[0], rtol=1e-5)
    for second in (rows, PartitionSpec()):
        specs = (rows, second, rows)
        of_part = jax.shard_map(
            lambda *parts: jax.tree.map(jnp.atleast_1d, gradients(*parts)),
            mesh=mesh,
            in_specs=specs,
            out_specs=(rows, specs),
        )
        given = jax.device_put(sets, [NamedSharding(mesh, spec) for spec in specs])
        value, slopes = jax.jit(of_part)(*given)
        chex.assert_trees_all_close((np.asarray(value)[0], slopes), expected, atol=1e-5)


def test_blockwise_says_what_is_wrong() -> None:
    sets = fragments(4, 3)
    with pytest.raises(ValueError, match="temperature must be positive"):
        blockwise_dna_loss(*sets, temperature=0.0)
    with pytest.raises(ValueError, match="block_size must be at least 1"):
        blockwise_dna_loss(*sets, temperature=1.0, block_size=0)
    with pytest.raises(ValueError, match="must have one shape"):
        blockwise_dna_loss(sets[0][:2], *sets[1:], temperature=1.0)
