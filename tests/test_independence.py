"""Shuffled networks compute the same, the null holds, and kin is found."""

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest

from mgmp_jax import models
from mgmp_jax.independence import independence_p, shuffle_units
from tests.faults.nulls import bounds

SMALL = {
    "resnet": models.ResNet(5, stage_sizes=(2, 1), width=4),
    "bottlenecks": models.ResNet(5, stage_sizes=(1, 1), bottleneck=True, width=2),
    "alexnet": models.AlexNet(5, width=2),
    "vit": models.ViT(5, width=12, depth=2, num_heads=2),
    "minilm": models.Transformer(5, vocab_size=30, width=12, depth=2, style="bert"),
}


def inputs(name: str) -> jax.Array:
    if name == "minilm":
        return jax.random.randint(jax.random.key(0), (3, 8), 1, 30)
    return jax.random.normal(jax.random.key(0), (3, 32, 32, 3))


def variables(name: str, seed: int, **changes: Any) -> Any:
    module = dataclasses.replace(SMALL[name], **changes)
    return models.initial_variables(module, jax.random.key(seed), np.asarray(inputs(name)[:1]))


@pytest.mark.parametrize("name", SMALL)
def test_a_shuffled_network_computes_the_same(name: str) -> None:
    rng = np.random.default_rng(1)
    drawn = jax.tree.map(lambda x: x + 0.1 * rng.random(x.shape), variables(name, 0))
    shuffled = shuffle_units(drawn, rng)
    apply = jax.jit(lambda given, x: SMALL[name].apply(given, x, train=False))
    before, after = (apply(one, inputs(name)) for one in (drawn, shuffled))
    np.testing.assert_allclose(before, after, rtol=1e-4, atol=1e-5)
    changed = jax.tree.map(lambda a, b: not np.array_equal(a, b), drawn, shuffled)
    assert sum(jax.tree.leaves(changed)) >= 6
    assert jax.tree.structure(drawn) == jax.tree.structure(shuffled)


def test_kin_is_found_and_strangers_are_not() -> None:
    source = variables("resnet", 0)["params"]
    rng = np.random.default_rng(2)

    def tuned(start: Any, much: float) -> Any:
        return jax.tree.map(lambda x: x + much * np.std(x) * rng.normal(size=x.shape), start)

    other_head = variables("resnet", 3, num_outputs=9)["params"]["head"]
    for much in (0.0, 1.0, 5.0):
        assert independence_p(source, {**tuned(source, much), "head": other_head}) == 0.01
    assert independence_p(source, source, copies=999) == 0.001
    stranger = variables("resnet", 1)["params"]
    assert independence_p(source, stranger) > 0.01
    assert independence_p(source, stranger) == independence_p(source, stranger)


def test_the_false_positive_rate_is_what_it_promises() -> None:
    rng = np.random.default_rng(3)

    def drawn() -> dict[str, Any]:
        shapes = {"fc1": (4, 6), "fc2": (6, 5), "fc3": (5, 3)}
        return {name: {"kernel": rng.normal(size=shape)} for name, shape in shapes.items()}

    count = 1000
    p = np.array([independence_p(drawn(), drawn(), copies=19, seed=i) for i in range(count)])
    for alpha in (0.05, 0.1, 0.5):
        low, high = bounds(count, alpha)
        assert low <= np.sum(p <= alpha + 1e-9) <= high


def test_what_cannot_be_compared_is_said() -> None:
    source = variables("alexnet", 0)["params"]
    with pytest.raises(ValueError, match=r"expected conv1/bias of shape \(2,\), got shape \(1,\)"):
        independence_p(source, variables("alexnet", 0, width=1)["params"])
    with pytest.raises(ValueError, match=r"expected .* of shape .*, got none"):
        independence_p(source, {"head": source["head"]})
    with pytest.raises(ValueError, match=r"no hidden units found to shuffle: expected layers"):
        independence_p({"head": source["head"]}, source)
    with pytest.raises(ValueError, match=r"of the suspect is not finite"):
        broken = jax.tree.map(lambda x: np.full_like(x, np.nan), source)
        independence_p(source, broken)
    with pytest.raises(ValueError, match=r"copies must be a whole number, at least 1"):
        independence_p(source, source, copies=0)
