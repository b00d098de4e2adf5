import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mgmp_jax.config import EXTENDED, PAPER, PAPER_WITHOUT_GENERATOR, MGMPConfig
from mgmp_jax.methods import MGMP, FittedMGMP, mgmp_step
from mgmp_jax.methods.fragments import gather_pair
from mgmp_jax.queries import QuerySet
from mgmp_jax.references import Pair, ReferenceSet
from mgmp_jax.responses import Responses
from tests.families import Family

N, D = 60, 6
IMAGES = np.random.default_rng(0).integers(0, 256, (N, 32, 32, 3), dtype=np.uint8)
QUERIES = QuerySet.images(IMAGES)
SMALL = PAPER.replace(
    generator="alexnet", generator_width=2, response="logits", epochs=2, batch_size=20
)


def with_images(family: Family) -> ReferenceSet:
    """A pool of models as wide as the source, on images."""
    pool = [
        Pair(f"task {i}", [family.tuned(family.own, D)], [family.tuned(family.noise(), D)])
        for i in range(2)
    ]
    return ReferenceSet(family.model(family.own), pool, queries=QUERIES)


def images_family() -> Family:
    return Family(N, queries=QUERIES.digest)


@pytest.fixture(scope="module")
def family() -> Family:
    return Family(500)


@pytest.fixture(scope="module")
def fitted(family: Family) -> FittedMGMP:
    return MGMP(EXTENDED.replace(batch_size=100)).fit(family.references())


@pytest.mark.parametrize("width", [3, 6, 20])
def test_the_extended_method_tells_unseen_relatives_of_any_width(
    family: Family, fitted: FittedMGMP, width: int
) -> None:
    homologous, other = (family.tuned(s, width) for s in (family.own, family.noise()))
    assert fitted.score(homologous) > 0.9
    assert fitted.score(other) < 0.2
    assert fitted.fragment_scores(other).shape == (500,)


def test_noise_of_any_width_is_never_homologous(family: Family, fitted: FittedMGMP) -> None:
    for width in (2, 30, 100, 190):
        noise = Responses(family.noise(width), "embedding", "q")
        assert fitted.score(noise) < 0.5
    reason = fitted.reads(Responses(family.noise(220), "embedding", "q"))
    assert reason is not None and "220 wide on 500 queries" in reason


def test_aligned_suspects_may_answer_less(family: Family, fitted: FittedMGMP) -> None:
    homologous, other = (family.tuned(s, 8) for s in (family.own, family.noise()))
    for kind in ("log-probabilities", "probabilities", "labels"):
        assert fitted.reads(homologous.to(kind)) is None
        assert fitted.score(homologous.to(kind)) > fitted.score(other.to(kind))


def test_siblings_in_the_background_take_out_what_they_know() -> None:
    family = Family(500, seed=3)
    references = family.references(siblings=6)
    without = ReferenceSet(references.source, references.pool)
    method = MGMP(EXTENDED.replace(batch_size=100))
    knowing, ignorant = method.fit(references), method.fit(without)
    assert knowing.knows_siblings and not ignorant.knows_siblings
    assert knowing.latents is not None and ignorant.latents is not None
    assert knowing.latents.shape[1] == ignorant.latents.shape[1] + 6 * D
    assert knowing.score(family.tuned(family.own)) > 0.9


def test_alignment_makes_scores_independent_of_the_targets_basis(
    family: Family, fitted: FittedMGMP
) -> None:
    target = family.tuned(family.own)
    permuted = Responses(3 * target.values[:, [2, 0, 3, 1, 4]] + 5, "logits", "q")
    scores = [fitted.fragment_scores(one) for one in (target, permuted)]
    np.testing.assert_allclose(*scores, atol=1e-4)


def _generated(config: MGMPConfig, variables: Any, references: ReferenceSet) -> np.ndarray:
    return mgmp_step.generate(config, variables, IMAGES, references.source.values)


def test_bounded_latents_are_as_large_as_responses() -> None:
    references, config = with_images(images_family()), SMALL.replace(bound_latents=True)
    before = mgmp_step.init(config, IMAGES, D, jax.random.key(0))
    bounded, free = (_generated(c, before, references) for c in (config, SMALL))
    rms = np.sqrt(np.mean(references.source.values**2))
    np.testing.assert_allclose(np.sqrt(np.mean(bounded**2, axis=1)), rms, rtol=1e-4)
    directions = [z / np.linalg.norm(z, axis=1, keepdims=True) for z in (bounded, free)]
    np.testing.assert_allclose(*directions, atol=1e-5)
    fitted = MGMP(config.replace(epochs=1)).fit(references)
    np.testing.assert_allclose(np.sqrt(np.mean(fitted.latents**2, axis=1)), rms, rtol=1e-4)


def test_the_paper_method_trains_generator_and_classifier_jointly() -> None:
    family = images_family()
    references = with_images(family)
    before = mgmp_step.init(SMALL, IMAGES, D, jax.random.key(0))
    fitted = MGMP(SMALL).fit(references)
    for ours, first in zip(
        jax.tree.leaves(fitted.classifier),
        jax.tree.leaves(before["params"]["classifier"]),
        strict=True,
    ):
        assert not np.array_equal(ours, first)
    assert fitted.latents is not None and fitted.latents.shape == (N, D)
    assert not np.allclose(fitted.latents, _generated(SMALL, before, references))
    target = references.pool[0].homologous[0]
    s, t = fitted.fragments(target)
    np.testing.assert_allclose(s, fitted.latents + references.source.values, rtol=1e-5)
    np.testing.assert_allclose(t, fitted.latents + target.values, rtol=1e-5)
    again = MGMP(SMALL).fit(references)
    np.testing.assert_array_equal(fitted.latents, again.latents)


def test_the_loss_is_the_sum_of_its_terms() -> None:
    rng = np.random.default_rng(0)
    config = SMALL.replace(dropout=0.0)
    loss_fn = jax.jit(mgmp_step.make_loss(config, D))
    variables = mgmp_step.init(config, IMAGES, D, jax.random.key(0))
    sets = rng.normal(size=(3, 8, D)).astype(np.float32)
    batch: Any = dict(zip(("source", "homologous", "non_homologous"), sets, strict=True))
    batch = jax.tree.map(jnp.asarray, {**batch, "inputs": IMAGES[:8]})
    loss, (_, terms) = loss_fn(variables["params"], {}, batch, jax.random.key(0))
    squares = sum(np.sum(x**2) for x in jax.tree.leaves(variables["params"]["generator"]))
    np.testing.assert_allclose(terms["weights"], squares, rtol=1e-4)
    parts = terms["similarity"] + terms["cohesion"] + terms["provenance"]
    np.testing.assert_allclose(loss, parts + config.weight_decay * squares, rtol=1e-4)


def test_concatenation_takes_any_latent_width() -> None:
    family = images_family()
    config = SMALL.replace(assemble="concatenation", latent=9, epochs=1)
    fitted = MGMP(config).fit(with_images(family))
    assert fitted.latents is not None and fitted.latents.shape == (N, 9)
    assert 0 < fitted.score(family.tuned(family.own, D)) < 1


def test_a_fixed_generator_without_background_is_added() -> None:
    family = Family(100)
    embedding = Responses(family.noise(5), "embedding", "q")
    pool = [Pair("a", [family.tuned(family.own, 5)], [family.tuned(family.noise(), 5)])]
    source = Responses(family.tuned(family.own, 5).values, "logits", "q")
    fitted = MGMP(PAPER_WITHOUT_GENERATOR.replace(epochs=2), embedding).fit(
        ReferenceSet(source, pool)
    )
    np.testing.assert_allclose(fitted.fragments(source)[0], source.values + embedding.values)


@pytest.mark.parametrize("method", ["paper", "extended"])
def test_a_batch_is_as_large_with_two_models_as_with_fifty(method: str) -> None:
    shapes = []
    for count in (2, 50):
        data = {
            name: np.zeros((count, N, D), np.float32)
            for name in ("source", "homologous", "non_homologous")
        }
        if method == "paper":
            data["inputs"] = IMAGES
        else:
            data["homologous_context"] = data["non_homologous_context"] = np.zeros((count, 3))
        index = {"query": np.arange(20), "pair": np.array([1, 1])}
        shapes.append(jax.tree.map(np.shape, gather_pair(data, index)))
    assert shapes[0] == shapes[1]


def test_pairs_that_share_a_background_are_drawn_together() -> None:
    for paired in (True, False):
        drawn = order_of(60, 20, 0, 3, 5, paired=paired)["pair"]
        assert drawn.shape == (3, 2)
    epochs = [order_of(60, 20, 0, 3, epoch, paired=True)["pair"] for epoch in range(10)]
    assert all((pair[:, 0] == pair[:, 1]).all() for pair in epochs)
    assert set(np.concatenate(epochs)[:, 0]) == {0, 1, 2}


def test_unequal_sides_of_a_pair_are_repeated() -> None:
    family = Family(200)
    pool = [
        Pair("a", [family.tuned(family.own) for _ in range(3)], [family.tuned(family.noise())]),
        family.pair("b"),
    ]
    references = ReferenceSet(family.model(family.own), pool)
    assert 0 <= MGMP(EXTENDED.replace(epochs=1)).fit(references).score(references.source) <= 1


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        (EXTENDED, {"pool": []}, "MGMP learns from pairs"),
        (EXTENDED.replace(background=False), {}, "background=False and there is no fixed gen"),
        (PAPER, {"queries": None}, "'resnet50' reads the queries themselves"),
        (
            PAPER.replace(generator="minilm"),
            {},
            "'minilm' reads texts, but the queries are images",
        ),
        (PAPER_WITHOUT_GENERATOR.replace(response="embedding"), {}, "cannot be converted to emb"),
    ],
)
def test_what_does_not_fit_is_said(config, changes: dict, message: str) -> None:
    references = dataclasses.replace(with_images(images_family()), **changes)
    with pytest.raises(ValueError, match=message):
        MGMP(config).fit(references)


@pytest.mark.parametrize("assemble", ["addition", "concatenation"])
def test_latents_are_not_aligned_with_themselves(assemble: Any) -> None:
    family = Family(60)
    embedding = Responses(family.noise(6), "embedding", "q")
    config = PAPER_WITHOUT_GENERATOR.replace(align=True, assemble=assemble)
    with pytest.raises(ValueError, match="latents in both: any target would look alike"):
        MGMP(config, embedding).fit(family.references())


def test_classes_that_nobody_names_are_not_counted_as_width() -> None:
    family = Family(100)
    fitted = MGMP(EXTENDED.replace(epochs=1)).fit(family.references())
    labels = family.tuned(family.own).to("labels").values.argmax(axis=1)
    labels[0] = 999
    assert fitted.reads(Responses(labels, "labels", "q")) is None


def test_widths_must_agree_without_alignment() -> None:
    family = Family(60)
    with pytest.raises(ValueError, match="6 and 5 wide; without align=True"):
        MGMP(PAPER_WITHOUT_GENERATOR).fit(family.references())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number, at least 1; got 0"),
        ({"epochs": 1.5}, "epochs must be a whole number"),
        ({"classifier_width": 32.5}, "classifier_width must be a whole number"),
        ({"learning_rate": -1e-3}, "learning_rate must be at least 0"),
        ({"weight_decay": float("nan")}, "weight_decay must be at least 0"),
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"dropout": 1.0}, "dropout must be from 0 to below 1"),
        ({"assemble": "add"}, "assemble must be one of"),
        ({"response": "probs"}, "response must be one of"),
        ({"context": True}, "needs fragments that training does not change"),
        ({"assemble": "residual"}, "choose generator=None"),
        ({"bound_latents": True, "generator": None}, "needs a generator that is trained"),
    ],
)
def test_a_setting_out_of_its_range_is_refused(changes: dict, message: str) -> None:
    config_file = dataclasses.asdict(PAPER) | changes
    with pytest.raises((ValueError, TypeError), match=f"{message}|Type-check"):
        type(PAPER)(**config_file)


def test_a_folder_is_not_shared_by_two_trainings(tmp_path) -> None:
    family = Family(100)
    references, config = family.references(), EXTENDED.replace(epochs=2)
    first, again = (MGMP(config).fit(references, folder=tmp_path) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first.classifier, again.classifier)
    for changed, seed, name in (
        (config, 1, "seed and arrays"),
        (config.replace(learning_rate=0.1), 0, "config"),
    ):
        with pytest.raises(ValueError, match=f"trained with other {name} .*another folder"):
            MGMP(changed).fit(references, seed=seed, folder=tmp_path)


def test_generator_params_start_the_generator() -> None:
    params = mgmp_step.init(SMALL, IMAGES, D, jax.random.key(5))["params"]["generator"]
    references = with_images(images_family())
    config = SMALL.replace(epochs=1, learning_rate=0.0)
    fitted = MGMP(config, generator_params=params).fit(references)
    variables = {"params": {"generator": params}, "batch_stats": {}}
    expected = _generated(config, variables, references)
    np.testing.assert_allclose(fitted.latents, expected, atol=1e-5)
    with pytest.raises(ValueError, match=r"generator_params\['nothing'\] does not fit"):
        MGMP(config, generator_params={"nothing": {}}).fit(references)


def order_of(*args: Any, **options: Any) -> dict[str, np.ndarray]:
    from mgmp_jax.methods.mgmp_train import order

    return order(*args, **options)
