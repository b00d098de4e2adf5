"""Models of texts in the store: their starts, their tokens, and MGMP on their responses."""

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mgmp_jax import models
from mgmp_jax.checkpoint import Checkpoints
from mgmp_jax.data import topics
from mgmp_jax.methods import EXTENDED, MGMP, PAPER
from mgmp_jax.models.pretrained import digest_pretrained, save_pretrained
from mgmp_jax.references import Pair, ReferenceSet
from mgmp_jax.store import ModelSpec, ModelStore
from mgmp_jax.training import Recipe
from mgmp_jax.verifier import Verifier

pytest.importorskip("tokenizers", reason="pip install 'mgmp_jax[text]'")
pytest.importorskip("safetensors", reason="pip install 'mgmp_jax[text]'")
from mgmp_jax.data.tokenizer import Tokenizer

RECIPE = Recipe(2, 16, 1e-3, "adam", 0.0, "none", frozen=2, checkpoints=2)


@pytest.fixture(scope="module", autouse=True)
def shallow() -> Iterator[None]:
    """Half the layers compile in half the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models._MODELS, "distilbert", functools.partial(models.Transformer, depth=3))
        yield


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    texts = topics.generate("topics10", "train", 100).texts
    return Tokenizer.learn(texts, tmp_path_factory.mktemp("vocabulary"), 12, vocab_size=300)


def checkpoint(folder: Path, vocab_size: int, width: int = 24, depth: int = 3) -> Path:
    module = models.Transformer(3, vocab_size=vocab_size, width=width, depth=depth)
    tokens = jnp.zeros((1, 1), jnp.int32)
    variables = jax.jit(lambda k: module.init(k, tokens, train=False))(jax.random.key(7))
    save_pretrained(module, variables, folder)
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> ModelStore:
    folder = tmp_path_factory.mktemp("text")
    pretrained = checkpoint(folder / "checkpoint", tokenizer.tokens.vocab_size)
    store = ModelStore(folder / "models", tokenizer=tokenizer, pretrained=pretrained)
    store.train([*specs(store).values()])
    return store


def specs(store: ModelStore) -> dict[str, ModelSpec]:
    common: dict[str, Any] = {"width": 24, "num_examples": 64, "tokens": store._tokens}
    pretrained = digest_pretrained(store._pretrained)
    source = ModelSpec("distilbert", "topics10", RECIPE, pretrained=pretrained, **common)
    stranger = ModelSpec("distilbert", "topics100", RECIPE, subset=3, seed=5, **common)
    return {
        "source": source,
        "stranger": stranger,
        "stranger from the checkpoint": dataclasses.replace(stranger, pretrained=pretrained),
        "descendant": dataclasses.replace(stranger, start=source, head="reinit"),
    }


def test_models_start_where_their_specs_say_and_frozen_layers_stay(store: ModelStore) -> None:
    made = specs(store)
    assert len({spec.address for spec in made.values()}) == 4

    def layer1(spec: ModelSpec) -> np.ndarray:
        return store.variables(spec)["params"]["layer1"]["query"]["kernel"]

    def layer3(spec: ModelSpec) -> np.ndarray:
        return store.variables(spec)["params"]["layer3"]["query"]["kernel"]

    source = layer1(made["source"])
    assert np.array_equal(layer1(made["descendant"]), source)
    assert np.array_equal(layer1(made["stranger from the checkpoint"]), source)
    assert not np.allclose(layer1(made["stranger"]), source)
    assert not np.array_equal(layer3(made["descendant"]), layer3(made["source"]))
    start = store.initial_variables(made["stranger"])["params"]["layer1"]["query"]["kernel"]
    assert np.array_equal(layer1(made["stranger"]), start)


def test_more_frozen_layers_than_there_are_is_refused(store: ModelStore) -> None:
    recipe = dataclasses.replace(RECIPE, frozen=9)
    with pytest.raises(ValueError, match=r"frozen must be from 0 to 5, .* 6 layers; got 9"):
        store.train([dataclasses.replace(specs(store)["source"], recipe=recipe)])


def test_responses_do_not_depend_on_the_batches(store: ModelStore) -> None:
    spec = specs(store)["descendant"]
    queries = store.queries(specs(store)["source"])
    whole = store.responses(spec, queries, kind="embedding")
    assert whole.values.shape == (64, 24)
    one = store.responses(spec, queries.take(slice(5, 6)), kind="embedding")
    np.testing.assert_allclose(one.values[0], whole.values[5], atol=1e-4)


@pytest.mark.parametrize("generator", ["distilbert", None])
def test_mgmp_takes_texts_as_it_takes_images(
    store: ModelStore, tmp_path: Path, generator: Any
) -> None:
    made = specs(store)
    queries = store.queries(made["source"])
    answers = {
        name: store.responses(spec, queries, kind="embedding") for name, spec in made.items()
    }
    config = (PAPER if generator else EXTENDED).replace(
        generator=generator,
        generator_width=24,
        generator_vocab_size=made["source"].tokens.vocab_size,
        response="embedding",
        background=False,
        batch_size=16,
        epochs=2,
    )
    method = MGMP(
        config,
        None if generator else answers["stranger from the checkpoint"],
        store.starting_params(made["source"]) if generator else None,
        store.encode,
    )
    pool = [Pair("a task", [answers["descendant"]], [answers["stranger"]])]
    references = ReferenceSet(answers["source"], pool, queries=queries)
    verifier = Verifier.fit(references, [method], folder=tmp_path / "mgmp")
    verifier.save(tmp_path / "verifier")
    suspect = answers["stranger from the checkpoint"]
    scores = [v.verify(suspect).knowledge for v in (verifier, Verifier.load(tmp_path / "verifier"))]
    assert scores[0] == scores[1] and scores[0].score is not None
    assert Checkpoints(tmp_path / "mgmp" / "0-MGMP" / "state").steps()[-1] == 2


def test_a_generator_of_images_does_not_read_texts(store: ModelStore) -> None:
    made = specs(store)
    queries = store.queries(made["source"])
    source, target, other = (
        store.responses(made[name], queries, kind="embedding")
        for name in ("source", "descendant", "stranger")
    )
    config = PAPER.replace(generator="resnet18", response="embedding", batch_size=16)
    references = ReferenceSet(source, [Pair("a", [target], [other])], queries=queries)
    with pytest.raises(ValueError, match="'resnet18' reads images, but the queries are texts"):
        MGMP(config).fit(references)
    text = MGMP(PAPER.replace(generator="distilbert", response="embedding"))
    with pytest.raises(ValueError, match=r"reads token ids: give MGMP\(encode="):
        text.fit(references)


def test_a_checkpoint_of_another_architecture_or_vocabulary_is_refused(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    vocab_size = tokenizer.tokens.vocab_size
    for folder, sizes, message in (
        ("a", {"depth": 2}, "is no distilbert for this vocabulary: its depth is 2, not 3"),
        ("b", {"width": 48}, "its width is 48, not 24; its hidden is 192, not 96"),
    ):
        other = checkpoint(tmp_path / folder, vocab_size, **sizes)
        store = ModelStore(tmp_path / "models", tokenizer=tokenizer, pretrained=other)
        with pytest.raises(ValueError, match=message):
            store.train([specs(store)["source"]])


def test_an_embedding_table_may_be_larger_than_the_vocabulary(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    larger = checkpoint(tmp_path / "checkpoint", tokenizer.tokens.vocab_size + 6)
    store = ModelStore(tmp_path / "models", tokenizer=tokenizer, pretrained=larger)
    source = specs(store)["source"]
    assert store.module(source).vocab_size == tokenizer.tokens.vocab_size + 6
    assert "layer1" in store.starting_params(source)


def test_the_right_checkpoint_and_tokenizer_must_be_given(
    store: ModelStore, tmp_path: Path, tokenizer: Tokenizer
) -> None:
    source = dataclasses.replace(specs(store)["source"], seed=9)
    with pytest.raises(ValueError, match="but the store was given None; give the folder"):
        ModelStore(tmp_path, tokenizer=tokenizer).train([source])
    with pytest.raises(ValueError, match="but the store's tokenizer makes None"):
        ModelStore(tmp_path).examples(source, "train")
