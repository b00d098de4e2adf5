"""Checkpoints as they are met in the wild: old names, wrappers, shards, damage."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from mgmp_jax import models
from mgmp_jax.models.pretrained import (
    digest_pretrained,
    find_pretrained,
    load_pretrained,
    pretrained_vocab_size,
    save_pretrained,
)

safetensors = pytest.importorskip("safetensors.numpy", reason="pip install 'mgmp_jax[text]'")
load_file, save_file = safetensors.load_file, safetensors.save_file

POOLERS = {"bert": "bert.pooler.dense", "distilbert": "pre_classifier"}


def make_checkpoint(folder: Path, style: str) -> Path:
    module = models.Transformer(
        3, style=style, vocab_size=50, width=24, depth=2, num_heads=4, max_length=20
    )
    init = jax.jit(lambda key: module.init(key, jnp.zeros((1, 3), jnp.int32), train=False))
    save_pretrained(module, init(jax.random.key(0)), folder)
    return folder


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return make_checkpoint(tmp_path / "bert", "bert")


@pytest.fixture
def distilbert(tmp_path: Path) -> Path:
    return make_checkpoint(tmp_path / "distilbert", "distilbert")


def change_tensors(folder: Path, change: Callable[[dict], Any]) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file(change(tensors) or tensors, folder / "model.safetensors")


def change_config(folder: Path, **values: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


def assert_same(one: Any, other: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, one[1]["params"], other[1]["params"])


def write_safetensors(path: Path, header: bytes, content: bytes = b"") -> None:
    path.write_bytes(len(header).to_bytes(8, "little") + header + content)


def shard(folder: Path) -> list[str]:
    """Cuts the weights in two files with an index, as large checkpoints come."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names, shards = sorted(tensors), ["model-00001-of-00002", "model-00002-of-00002"]
    weight_map = {name: f"{shards[i % 2]}.safetensors" for i, name in enumerate(names)}
    for one in set(weight_map.values()):
        save_file({k: v for k, v in tensors.items() if weight_map[k] == one}, folder / one)
    write_index(folder, weight_map)
    return sorted(set(weight_map.values()))


def write_index(folder: Path, weight_map: Any) -> None:
    content = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(content))


def read_index(folder: Path) -> dict[str, str]:
    return json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]


def test_layer_norms_with_the_names_of_tensorflow_are_read(bert: Path) -> None:
    expected = load_pretrained(bert)

    def rename(tensors: dict) -> dict:
        old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        renamed = {}
        for name, value in tensors.items():
            for new, theirs in old.items():
                name = name.replace(new, theirs)
            renamed[name] = value
        assert sum("gamma" in name for name in renamed) == 5
        return renamed

    change_tensors(bert, rename)
    assert_same(load_pretrained(bert), expected)


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "module._orig_mod."])
def test_the_prefixes_of_wrappers_are_taken_off(distilbert: Path, wrapper: str) -> None:
    expected = load_pretrained(distilbert)
    change_tensors(distilbert, lambda tensors: {f"{wrapper}{k}": v for k, v in tensors.items()})
    assert_same(load_pretrained(distilbert), expected)


def test_a_tensor_under_two_names_is_refused(bert: Path) -> None:
    name = "bert.embeddings.LayerNorm"
    change_tensors(bert, lambda t: {**t, f"{name}.gamma": 2 * t[f"{name}.weight"]})
    with pytest.raises(ValueError, match=rf"hold {name}.weight twice, under two names"):
        load_pretrained(bert)


def test_weights_of_something_else_are_said_to_be_that(bert: Path) -> None:
    save_file({"conv1.weight": np.zeros((3, 3), np.float32)}, bert / "model.safetensors")
    with pytest.raises(ValueError, match=r"not named as those of a bert model.*got conv1.weight"):
        load_pretrained(bert)


@pytest.mark.parametrize("style", ["bert", "distilbert"])
def test_a_classifier_without_the_layer_before_it_is_refused(tmp_path: Path, style: str) -> None:
    folder, layer = make_checkpoint(tmp_path / "half", style), POOLERS[style]
    expected = load_pretrained(folder)
    change_tensors(folder, lambda t: {k: v for k, v in t.items() if not k.startswith(layer)})
    with pytest.raises(ValueError, match=rf"missing {layer}.weight") as error:
        load_pretrained(folder)
    assert 'To train a new head choose head="reinit"' in str(error.value)
    _, variables = load_pretrained(folder, num_outputs=3, head="reinit")
    jax.tree.map(
        np.testing.assert_array_equal,
        variables["params"]["layer2"],
        expected[1]["params"]["layer2"],
    )


@pytest.mark.parametrize("style", ["bert", "distilbert"])
def test_an_encoder_starts_a_new_head(tmp_path: Path, style: str) -> None:
    folder = make_checkpoint(tmp_path / "encoder", style)
    expected = load_pretrained(folder)[1]["params"]["embeddings"]

    def to_encoder(tensors: dict) -> dict:
        prefix = f"{style}."
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

    change_tensors(folder, to_encoder)
    module, variables = load_pretrained(folder, num_outputs=4)
    assert module.num_outputs == 4
    assert variables["params"]["classifier"]["kernel"].shape == (24, 4)
    jax.tree.map(np.testing.assert_array_equal, variables["params"]["embeddings"], expected)
    with pytest.raises(ValueError, match="no classifier to keep; give num_outputs"):
        load_pretrained(folder)


def test_an_embedding_table_may_be_larger_than_the_vocabulary(distilbert: Path) -> None:
    assert pretrained_vocab_size(distilbert) == 50
    module, variables = load_pretrained(distilbert, vocab_size=44)
    assert module.vocab_size == 50
    tokens = jnp.arange(44, dtype=jnp.int32).reshape(4, 11)
    assert module.apply(variables, tokens, train=False).shape == (4, 3)
    with pytest.raises(ValueError, match=r"embeds 50 tokens, but the tokenizer makes 51; choose"):
        load_pretrained(distilbert, vocab_size=51)


def test_a_table_that_is_much_larger_belongs_to_another_tokenizer(tmp_path: Path) -> None:
    module = models.Transformer(3, vocab_size=2000, width=24, depth=1, num_heads=4, max_length=20)
    variables = module.init(jax.random.key(0), jnp.zeros((1, 3), jnp.int32), train=False)
    save_pretrained(module, variables, tmp_path)
    load_pretrained(tmp_path, vocab_size=1990)
    with pytest.raises(ValueError, match="choose the checkpoint's own tokenizer"):
        load_pretrained(tmp_path, vocab_size=300)


def test_shards_are_read(distilbert: Path) -> None:
    expected = load_pretrained(distilbert)
    whole = digest_pretrained(distilbert)
    shards = shard(distilbert)
    assert_same(load_pretrained(distilbert), expected)
    digest = digest_pretrained(distilbert)
    assert digest != whole
    assert digest == digest_pretrained(distilbert)
    (distilbert / shards[1]).unlink()
    for read in (load_pretrained, digest_pretrained):
        with pytest.raises(FileNotFoundError, match=rf"names 2 files of weights, but {shards[1]}"):
            read(distilbert)


@pytest.mark.parametrize(
    "name", ["../other.safetensors", "/etc/x.safetensors", "..", "a\\b.safetensors", 7, "x.bin"]
)
def test_an_index_names_no_file_elsewhere(distilbert: Path, name: Any) -> None:
    shard(distilbert)
    save_file({"a": np.zeros(3, np.float32)}, distilbert.parent / "other.safetensors")
    write_index(distilbert, {**read_index(distilbert), "a": name})
    with pytest.raises(ValueError, match=r"index.json names .* in the same folder"):
        load_pretrained(distilbert)


def test_shards_hold_what_their_index_says(distilbert: Path) -> None:
    shards = shard(distilbert)
    weight_map = read_index(distilbert)
    name, where = next(iter(weight_map.items()))
    other = next(one for one in shards if one != where)
    write_index(distilbert, {**weight_map, name: other})
    with pytest.raises(ValueError, match=f"says that {name} is in {other}, but it is not there"):
        load_pretrained(distilbert)
    for content in ([], {}):
        write_index(distilbert, content)
        with pytest.raises(ValueError, match="must have a weight_map from tensors to files"):
            load_pretrained(distilbert)
    write_index(distilbert, weight_map)
    tensors = load_file(distilbert / other)
    save_file({**tensors, name: np.zeros(3, np.float32)}, distilbert / other)
    with pytest.raises(ValueError, match=f"{name} is in both"):
        load_pretrained(distilbert)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ml_dtypes.bfloat16])
def test_other_precisions_are_read_as_float32(distilbert: Path, dtype: Any) -> None:
    expected = load_pretrained(distilbert)[1]["params"]
    change_tensors(distilbert, lambda t: {name: value.astype(dtype) for name, value in t.items()})
    params = load_pretrained(distilbert)[1]["params"]
    for got, value in zip(jax.tree.leaves(params), jax.tree.leaves(expected), strict=True):
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, np.asarray(value).astype(dtype).astype(np.float32))


def test_buffers_of_ids_are_passed_over(bert: Path) -> None:
    expected = load_pretrained(bert)
    name = "bert.embeddings.position_ids"
    change_tensors(bert, lambda t: {**t, name: np.arange(20)[None]})
    assert_same(load_pretrained(bert), expected)


@pytest.mark.parametrize("dtype", ["F8_E4M3", "I8", "U8"])
def test_quantised_weights_are_refused(distilbert: Path, dtype: str) -> None:
    header = {"a": {"dtype": dtype, "shape": [2], "data_offsets": [0, 2]}}
    write_safetensors(distilbert / "model.safetensors", json.dumps(header).encode(), b"\0\0")
    with pytest.raises(ValueError, match=rf"model.safetensors: a is of dtype {dtype}; expected"):
        load_pretrained(distilbert)


def test_damaged_weights_are_named(distilbert: Path) -> None:
    path = distilbert / "model.safetensors"
    huge = {"a": {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 4]}}
    for header in (b"[" * 100_000, b"{}}", json.dumps(huge).encode(), b"\xff" * 10, b""):
        write_safetensors(path, header, b"\0\0\0\0")
        with pytest.raises(ValueError, match=r"model.safetensors"):
            load_pretrained(distilbert)


def test_numbers_that_are_not_finite_are_refused(distilbert: Path) -> None:
    name = "distilbert.transformer.layer.1.ffn.lin2.bias"
    change_tensors(distilbert, lambda t: {**t, name: np.full_like(t[name], np.nan)})
    with pytest.raises(ValueError, match=f"{name} holds numbers that are not finite"):
        load_pretrained(distilbert)


def test_a_classifier_without_axes_is_refused(distilbert: Path) -> None:
    change_tensors(distilbert, lambda t: {**t, "classifier.bias": np.float32(0)[...]})
    with pytest.raises(ValueError, match=r"classifier.bias has shape \(\), expected"):
        load_pretrained(distilbert)


def test_a_config_with_a_byte_order_mark_is_read(distilbert: Path) -> None:
    expected = load_pretrained(distilbert)
    raw = (distilbert / "config.json").read_bytes()
    (distilbert / "config.json").write_bytes(b"\xef\xbb\xbf" + raw)
    assert_same(load_pretrained(distilbert), expected)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"[" * 100_000, "is not readable JSON"),
        (b'{"model_type": ', "is not readable JSON"),
        (b"\xff\xfe\x00", "is not readable JSON"),
        (b"[1, 2]", "must hold a JSON object, got list"),
        (b'{"vocab_size": ' + b"1" * 5000 + b"}", "is not readable JSON"),
    ],
)
def test_a_damaged_config_is_named(distilbert: Path, raw: bytes, message: str) -> None:
    (distilbert / "config.json").write_bytes(raw)
    with pytest.raises(ValueError, match=rf"config.json {message}"):
        load_pretrained(distilbert)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dim": 10**400}, r"dim must be a whole number from 1 to .*, got 1000.*\.\.\.$"),
        ({"dim": 32.5}, "dim must be a whole number"),
        ({"n_layers": True}, "n_layers must be a whole number"),
        ({"n_layers": 10**6}, "states 1000000 layers, but the weights are only"),
        ({"n_heads": 5}, "dim must be a multiple of n_heads, got 24 and 5"),
        ({"vocab_size": "50"}, "vocab_size must be a whole number .*, got '50'"),
        ({"dropout": float("nan")}, r"config.json is not readable JSON \(NaN is no finite number"),
        ({"dropout": 1.5}, r"dropout must be a number from 0 to 1, got 1\.5"),
        ({"seq_classif_dropout": [1]}, "the classifier's dropout must be a number"),
        ({"model_type": ["bert"]}, r"holds a \['bert'\] model; expected one of"),
    ],
)
def test_impossible_sizes_are_refused(distilbert: Path, values: dict, message: str) -> None:
    change_config(distilbert, **values)
    with pytest.raises(ValueError, match=message):
        load_pretrained(distilbert)


def test_a_config_that_states_too_little_is_named(distilbert: Path) -> None:
    (distilbert / "config.json").write_text('{"model_type": "distilbert"}')
    with pytest.raises(ValueError, match=r"config.json does not state 'dim'"):
        load_pretrained(distilbert)


def test_only_regular_files_are_opened(distilbert: Path) -> None:
    for name in ("model.safetensors", "config.json"):
        (distilbert / name).unlink()
        os.mkfifo(distilbert / name)
        with pytest.raises(FileNotFoundError, match=name):
            load_pretrained(distilbert)


def test_a_home_that_does_not_exist_is_said() -> None:
    with pytest.raises(FileNotFoundError, match="~no-such-user-here/x: its user has no home"):
        find_pretrained("~no-such-user-here/x")
