import numpy as np
import pytest

from mgmp_jax import fragments, mgmp
from mgmp_jax.responses import Responses, query_digest

N, D = 60, 4
RNG = np.random.default_rng(0)
QUERIES = RNG.integers(0, 256, size=(N, 32, 32, 3), dtype=np.uint8)
CONFIG = mgmp.EXTENDED.replace(epochs=1, batch_size=20)


def model(width: int = D) -> Responses:
    return Responses(RNG.normal(size=(N, width)), "logits", query_digest(QUERIES))


SOURCE = model()
POOL = ([model() for _ in range(3)], [model() for _ in range(3)])


def test_each_pair_is_prepared_with_latents_of_its_own() -> None:
    latents = [RNG.normal(size=(N, 3)).astype(np.float32) for _ in range(3)]
    data = fragments.pool_arrays(CONFIG, SOURCE, *POOL, latents)
    for i, z in enumerate(latents):
        batch = fragments.gather_pair(data, {"query": np.arange(N), "pair": np.array([i, i])})
        for side, targets in zip(("homologous", "non_homologous"), POOL, strict=True):
            source, target = fragments.prepare(CONFIG, SOURCE, targets[i], z)
            np.testing.assert_array_equal(batch["source"], source)
            np.testing.assert_array_equal(batch[side], target)


def test_the_pairs_that_are_drawn_share_their_latents(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def look(data: dict, index: dict) -> dict:
        drawn.append(index["pair"])
        return fragments.gather_pair(data, index)

    monkeypatch.setattr(mgmp, "gather_pair", look)
    latents = [RNG.normal(size=(N, 3)).astype(np.float32) for _ in range(3)]
    mgmp.fit(CONFIG.replace(epochs=10), QUERIES, SOURCE, *POOL, latents=latents)
    assert all(a == b for a, b in drawn)
    assert {a for a, _ in drawn} == {0, 1, 2}


def test_the_consensus_for_a_pair_leaves_its_own_task_out() -> None:
    generator = np.full((N, 2), 9.0)
    tasks = [Responses(np.full((N, 1), i), "logits", "queries") for i in range(4)]
    for_suspects, for_pairs = fragments.consensus(generator, tasks, [0, 0, 3])
    assert for_suspects[0].tolist() == [9, 9, 0, 1, 2, 3]
    assert [z[0].tolist() for z in for_pairs] == [[9, 9, 1, 2, 3]] * 2 + [[9, 9, 0, 1, 2]]
    assert fragments.consensus(None, tasks, [])[0].shape == (N, 4)
    with pytest.raises(ValueError, match="at least two tasks, got 1"):
        fragments.consensus(generator, tasks[:1], [0])
    with pytest.raises(ValueError, match="different query sets"):
        fragments.consensus(None, [tasks[0], Responses(np.ones((N, 1)), "logits", "q")], [0])
    with pytest.raises(ValueError, match=r"tasks are 0 to 3, got \[4\]"):
        fragments.consensus(generator, tasks, [4])
