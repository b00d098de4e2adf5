import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mgmp_jax import fragments, mgmp
from mgmp_jax.responses import Responses, query_digest

N, D = 60, 4
RNG = np.random.default_rng(0)
QUERIES = RNG.integers(0, 256, size=(N, 32, 32, 3), dtype=np.uint8)
DIGEST = query_digest(QUERIES)
TRUTH = RNG.normal(size=(N, D))
PAPER = dataclasses.replace(
    mgmp.PAPER, generator="alexnet", generator_width=2, response="logits", epochs=2, batch_size=20
)
RESIDUAL = dataclasses.replace(mgmp.EXTENDED, epochs=150, batch_size=20)
EXTENDED = dataclasses.replace(RESIDUAL, assemble="addition")


def responses(values: np.ndarray, **changes: str) -> Responses:
    return Responses(values, changes.get("kind", "logits"), changes.get("queries", DIGEST), "m")


def zoo(relation: float, count: int, width: int = D, seed: int = 0) -> list[Responses]:
    """Models whose responses are a random linear map of the source's, and noise."""
    rng = np.random.default_rng(seed)
    mixed = [relation * TRUTH + (1 - relation) * rng.normal(size=(N, D)) for _ in range(count)]
    return [responses(m @ rng.normal(size=(D, width))) for m in mixed]


SOURCE = responses(TRUTH)


@pytest.mark.parametrize("width", [D, 7])
def test_the_extended_method_tells_unseen_relatives_of_any_width(width: int) -> None:
    variables = mgmp.fit(EXTENDED, QUERIES, SOURCE, zoo(0.7, 6), zoo(0.1, 6, seed=1))
    for relation, homologous in ((0.7, True), (0.1, False)):
        for target in zoo(relation, 4, width, seed=2):
            scores = mgmp.fragment_scores(EXTENDED, variables, None, SOURCE, target)
            assert scores.shape == (N,)
            assert (scores.mean() > 0.5) == homologous


def test_latents_take_out_what_they_explain() -> None:
    latents = RNG.normal(size=(N, 3)).astype(np.float32)
    common = responses(latents @ RNG.normal(size=(3, D)) + 0.1 * RNG.normal(size=(N, D)))
    other = responses(latents @ RNG.normal(size=(3, D)) + 0.1 * RNG.normal(size=(N, D)))
    correlations = []
    for config, z in ((EXTENDED, None), (RESIDUAL, latents)):
        s, t = mgmp.fragments(config, z, common, other)
        correlations.append(np.mean(s * t) / np.sqrt(np.mean(s**2) * np.mean(t**2)))
    assert correlations[0] > 0.9
    assert abs(correlations[1]) < 0.4


def test_the_paper_method_trains_generator_and_classifier_jointly() -> None:
    pool = (zoo(0.7, 2), zoo(0.1, 2, seed=1))
    before = mgmp.init(PAPER, QUERIES, D, jax.random.key(0))
    after = mgmp.fit(PAPER, QUERIES, SOURCE, *pool)
    for part in ("generator", "classifier"):
        leaves = zip(*(jax.tree.leaves(v["params"][part]) for v in (before, after)), strict=True)
        assert all(not np.array_equal(a, b) for a, b in leaves)
    z = mgmp.generate(PAPER, after, QUERIES, D)
    assert z.shape == (N, D)
    s, t = mgmp.fragments(PAPER, z, SOURCE, pool[0][0])
    np.testing.assert_allclose(s, z + SOURCE.values, rtol=1e-5)
    np.testing.assert_allclose(t, z + pool[0][0].values, rtol=1e-5)
    again = mgmp.fit(PAPER, QUERIES, SOURCE, *pool)
    jax.tree.map(np.testing.assert_array_equal, after, again)


def test_the_loss_is_the_sum_of_its_terms() -> None:
    loss_fn = mgmp.make_loss(dataclasses.replace(PAPER, dropout=0.0), D)
    variables = mgmp.init(PAPER, QUERIES, D, jax.random.key(0))
    batch = {
        "inputs": QUERIES[:8],
        **{name: TRUTH[:8].astype(np.float32) for name in ("source", "homologous")},
        "non_homologous": RNG.normal(size=(8, D)).astype(np.float32),
    }
    batch = jax.tree.map(jnp.asarray, batch)
    loss, (_, terms) = loss_fn(variables["params"], {}, batch, jax.random.key(0))
    squares = sum(np.sum(x**2) for x in jax.tree.leaves(variables["params"]["generator"]))
    np.testing.assert_allclose(terms["weights"], squares, rtol=1e-4)
    parts = terms["similarity"] + terms["cohesion"] + terms["provenance"]
    np.testing.assert_allclose(loss, parts + PAPER.weight_decay * squares, rtol=1e-4)


def test_concatenation_takes_any_latent_width() -> None:
    config = dataclasses.replace(PAPER, assemble="concatenation", latent=9, epochs=1)
    variables = mgmp.fit(config, QUERIES, SOURCE, zoo(0.7, 1), zoo(0.1, 1))
    z = mgmp.generate(config, variables, QUERIES, D)
    assert z.shape == (N, 9)
    scores = mgmp.fragment_scores(config, variables, z, SOURCE, zoo(0.7, 1)[0])
    assert ((scores > 0) & (scores < 1)).all()


@pytest.mark.parametrize("method", ["paper", "extended"])
def test_a_batch_is_as_large_with_two_models_as_with_fifty(method: str) -> None:
    shapes = []
    for count in (2, 50):
        data = {
            "source": np.zeros((count, N, D), np.float32),
            "homologous": np.zeros((count, N, D), np.float32),
            "non_homologous": np.zeros((count, N, D), np.float32),
        }
        if method == "paper":
            data["inputs"] = QUERIES
        else:
            data["homologous_context"] = data["non_homologous_context"] = np.zeros((count, 3))
        index = {"query": np.arange(20), "pair": np.array([1, 1])}
        shapes.append(jax.tree.map(np.shape, fragments.gather_pair(data, index)))
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"homologous": []}, "at least one homologous .* got 0 and 1"),
        ({"queries": QUERIES[::-1]}, "taken on other queries than those given"),
        ({"queries": QUERIES[:5]}, "60 responses for 5 queries"),
        ({"homologous": [responses(TRUTH, kind="probs")]}, "are probs, but this MGMP reads logits"),
        ({"homologous": [responses(TRUTH, queries="x")]}, "different query sets"),
        ({"homologous": [responses(TRUTH[:, :2])]}, "4 and 2 wide; without align=True"),
        ({"latents": np.zeros((N, 3))}, "choose generator=None"),
        ({"config": RESIDUAL}, "no latents are given; give those of a fixed generator"),
        (
            {"config": RESIDUAL, "latents": [np.zeros((N, 3))] * 2},
            "got 2 for 1 homologous and 1 non-homologous",
        ),
        ({"config": dataclasses.replace(PAPER, context=True)}, "choose generator=None"),
        ({"config": dataclasses.replace(PAPER, latent=3)}, r"\|z\| = 3 and \|y\| = 4"),
        ({"config": dataclasses.replace(PAPER, batch_size=61)}, "batch_size must be from 1 to"),
    ],
)
def test_what_does_not_fit_is_said(arguments: dict, message: str) -> None:
    defaults = {
        "config": PAPER,
        "queries": QUERIES,
        "source": SOURCE,
        "homologous": zoo(0.7, 1),
        "non_homologous": zoo(0.1, 1),
    }
    with pytest.raises(ValueError, match=message):
        mgmp.fit(**{**defaults, **arguments})


def test_a_folder_is_not_shared_by_two_trainings(tmp_path) -> None:
    config = EXTENDED.replace(epochs=2)
    pool = zoo(0.7, 2), zoo(0.1, 2)
    first = mgmp.fit(config, QUERIES, SOURCE, *pool, folder=tmp_path)
    again = mgmp.fit(config, QUERIES, SOURCE, *pool, folder=tmp_path)
    jax.tree.map(np.testing.assert_array_equal, first, again)
    for change, name in (
        ({"seed": 1}, "seed and arrays"),
        ({"config": config.replace(learning_rate=0.1)}, "config"),
        ({"homologous": pool[0][:1]}, "arrays"),
    ):
        arguments = {"config": config, "homologous": pool[0], "seed": 0, **change}
        with pytest.raises(ValueError, match=f"trained with other {name} .*another folder"):
            mgmp.fit(
                queries=QUERIES,
                source=SOURCE,
                non_homologous=pool[1],
                folder=tmp_path,
                **arguments,
            )


def test_generator_params_start_the_generator_and_stay_the_callers() -> None:
    params = mgmp.init(PAPER, QUERIES, D, jax.random.key(5))["params"]["generator"]
    config = PAPER.replace(epochs=1, learning_rate=0.0)
    pool = zoo(0.7, 1), zoo(0.1, 1)
    for _ in range(2):
        variables = mgmp.fit(config, QUERIES, SOURCE, *pool, generator_params=params)
        jax.tree.map(np.testing.assert_array_equal, variables["params"]["generator"], params)
    with pytest.raises(ValueError, match=r"generator_params\['nothing'\] does not fit"):
        mgmp.fit(config, QUERIES, SOURCE, *pool, generator_params={"nothing": {}})


def test_alignment_makes_scores_independent_of_the_targets_basis() -> None:
    variables = mgmp.fit(
        dataclasses.replace(EXTENDED, epochs=5), QUERIES, SOURCE, zoo(0.7, 2), zoo(0.1, 2)
    )
    target = zoo(0.7, 1, seed=4)[0]
    permuted = responses(3 * target.values[:, [2, 0, 3, 1]] + 5)
    scores = [
        mgmp.fragment_scores(EXTENDED, variables, None, SOURCE, t) for t in (target, permuted)
    ]
    np.testing.assert_allclose(*scores, atol=1e-4)
    assert jnp.ptp(scores[0]) > 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("batch_size", 0),
        ("learning_rate", -1e-3),
        ("weight_decay", float("nan")),
        ("temperature", 0.0),
        ("dropout", 1.0),
    ],
)
def test_a_number_out_of_its_range_is_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        PAPER.replace(**{field: value})
