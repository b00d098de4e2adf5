"""The files of a checkpoint in Hugging Face layout: its config and its safetensors weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mgmp_jax import files
from mgmp_jax.models.pretrained_names import STYLES
from mgmp_jax.models.transformer import Transformer

__all__ = ["read_config", "read_tensors", "their_config", "weight_files"]

_INDEX = "model.safetensors.index.json"
_LARGEST_SIZE = 2**24
_FLOATS = ("F64", "F32", "F16", "BF16")


def read_config(folder: Path) -> dict[str, Any]:
    """Reads the options of :class:`mgmp_jax.models.Transformer` from ``config.json``.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged, of another architecture, or states impossible sizes.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"no {path}; expected a checkpoint in Hugging Face layout")
    config = files.read_settings(path)
    style = config.get("model_type")
    if style not in STYLES:
        raise ValueError(f"{folder} holds a {style!r} model; expected one of {', '.join(STYLES)}")
    _refuse_unsupported(config, style, path)
    if style == "distilbert":
        sizes = ("dim", "n_layers", "n_heads", "hidden_dim")
        rates = ("dropout", "attention_dropout")
        head_dropout = config.get("seq_classif_dropout", 0.2)
    else:
        sizes = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
        rates = ("hidden_dropout_prob", "attention_probs_dropout_prob")
        head_dropout = config.get("classifier_dropout")
    width, depth, num_heads, hidden = (_size(config, name, path) for name in sizes)
    if width % num_heads:
        raise ValueError(
            f"{path}: {sizes[0]} must be a multiple of {sizes[2]}, got {width} and {num_heads}"
        )
    dropout, attention_dropout = (_fraction(config.get(n), n, path) for n in rates)
    if head_dropout is not None:
        head_dropout = _fraction(head_dropout, "the classifier's dropout", path)
    return {
        "style": style,
        "vocab_size": _size(config, "vocab_size", path),
        "width": width,
        "depth": depth,
        "num_heads": num_heads,
        "hidden": hidden,
        "max_length": _size(config, "max_position_embeddings", path),
        "dropout": dropout,
        "attention_dropout": attention_dropout,
        "head_dropout": dropout if head_dropout is None else head_dropout,
        "epsilon": _fraction(config.get("layer_norm_eps", 1e-12), "layer_norm_eps", path),
    }


def their_config(module: Transformer) -> dict[str, Any]:
    """Makes the content of ``config.json`` for Hugging Face's classes.

    Raises:
        ValueError: DistilBERT cannot have the module's epsilon.
    """
    bert = module.style == "bert"
    hidden = module.hidden or 4 * module.width
    common = {
        "model_type": module.style,
        "architectures": [
            "BertForSequenceClassification" if bert else "DistilBertForSequenceClassification"
        ],
        "vocab_size": module.vocab_size,
        "max_position_embeddings": module.max_length,
        "pad_token_id": 0,
        "id2label": {str(i): f"LABEL_{i}" for i in range(module.num_outputs)},
        "label2id": {f"LABEL_{i}": i for i in range(module.num_outputs)},
    }
    if bert:
        return common | {
            "hidden_size": module.width,
            "num_hidden_layers": module.depth,
            "num_attention_heads": module.num_heads,
            "intermediate_size": hidden,
            "hidden_dropout_prob": module.dropout,
            "attention_probs_dropout_prob": module.attention_dropout,
            "classifier_dropout": module.head_dropout,
            "layer_norm_eps": module.epsilon,
            "hidden_act": "gelu",
            "type_vocab_size": 2,
        }
    if module.epsilon != 1e-12:
        raise ValueError(f"DistilBERT's layer norms have epsilon 1e-12, got {module.epsilon}")
    return common | {
        "dim": module.width,
        "n_layers": module.depth,
        "n_heads": module.num_heads,
        "hidden_dim": hidden,
        "dropout": module.dropout,
        "attention_dropout": module.attention_dropout,
        "seq_classif_dropout": module.head_dropout,
        "activation": "gelu",
    }


def weight_files(folder: Path) -> list[Path]:
    """Lists the safetensors files of a checkpoint: one, or the shards that its index names.

    Raises:
        FileNotFoundError: there are none, or a shard is missing.
        ValueError: the index is damaged, or names a file outside the folder.
    """
    whole, index = folder / "model.safetensors", folder / _INDEX
    if whole.is_file():
        return [whole]
    if not index.is_file():
        pickled = [p.name for p in folder.glob("*.bin")] + [p.name for p in folder.glob("*.pt")]
        why = f" ({', '.join(pickled)} is pickled, and opening it could run code)"
        raise FileNotFoundError(
            f"no {whole}{why if pickled else ''}; convert the weights to safetensors, for example "
            "with transformers' model.save_pretrained(FOLDER)"
        )
    shards = sorted(set(_weight_map(index).values()))
    missing = [name for name in shards if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{index} names {len(shards)} files of weights, but {', '.join(missing)} is missing "
            "from the folder; fetch it again"
        )
    return [folder / name for name in shards]


def read_tensors(folder: Path) -> dict[str, np.ndarray]:
    """Reads all tensors of a checkpoint, by name.

    Raises:
        FileNotFoundError: there are none, or a shard is missing.
        ValueError: a file is damaged, a tensor is not where the index says, or has numbers of a
            kind that is not read.
    """
    found: dict[str, tuple[Path, np.ndarray]] = {}
    for path in weight_files(folder):
        for name, value in _read_file(path).items():
            if name in found:
                raise ValueError(f"{name} is in both {found[name][0]} and {path}; fetch them again")
            found[name] = (path, value)
    index = folder / _INDEX
    if not (folder / "model.safetensors").is_file():
        for name, shard in _weight_map(index).items():
            if name not in found or found[name][0].name != shard:
                raise ValueError(f"{index} says that {name} is in {shard}, but it is not there")
    return {name: value for name, (_, value) in found.items()}


def _weight_map(index: Path) -> dict[str, str]:
    weight_map = files.read_settings(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError(f"{index} must have a weight_map from tensors to files")
    for name in weight_map.values():
        is_here = isinstance(name, str) and not set(name) & set("/\\:\0") and name != ".."
        if not is_here or not name.endswith(".safetensors"):
            raise ValueError(
                f"{index} names {name!r}; expected a .safetensors file in the same folder"
            )
    return weight_map


def _read_file(path: Path) -> dict[str, np.ndarray]:
    """Reads the tensors of one file, but for buffers of ids."""
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise ImportError("checkpoints need safetensors: pip install 'mgmp_jax[text]'") from error
    try:
        with safe_open(path, "numpy") as file:
            names = [name for name in file.keys() if not name.endswith("_ids")]  # noqa: SIM118
            dtypes = {name: file.get_slice(name).get_dtype() for name in names}
            wrong = [name for name, dtype in dtypes.items() if dtype not in _FLOATS]
            tensors = {} if wrong else {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error}); fetch it again") from error
    if wrong:
        raise ValueError(
            f"{path}: {wrong[0]} is of dtype {dtypes[wrong[0]]}; expected one of "
            f"{', '.join(_FLOATS)}. Convert the weights to float32, for example with "
            "transformers' model.float().save_pretrained(FOLDER)"
        )
    return tensors


def _refuse_unsupported(config: Mapping[str, Any], style: str, path: Path) -> None:
    unsupported = {
        "hidden_act": ("gelu", config.get("hidden_act", config.get("activation", "gelu"))),
        "position_embedding_type": ("absolute", config.get("position_embedding_type", "absolute")),
        "sinusoidal_pos_embds": (False, config.get("sinusoidal_pos_embds", False)),
        "pad_token_id": (0, config.get("pad_token_id") or 0),
        "is_decoder": (False, config.get("is_decoder", False)),
        "type_vocab_size": (2, config.get("type_vocab_size", 2)),
    }
    for name, (expected, given) in unsupported.items():
        if given != expected and not (name == "sinusoidal_pos_embds" and style == "distilbert"):
            raise ValueError(f"{path}: {name} must be {expected!r}, got {given!r}")


def _size(config: Mapping[str, Any], name: str, path: Path) -> int:
    if name not in config:
        raise ValueError(f"{path} does not state {name!r}")
    value = config[name]
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _LARGEST_SIZE:
        raise ValueError(
            f"{path}: {name} must be a whole number from 1 to {_LARGEST_SIZE}, got {_short(value)}"
        )
    return value


def _fraction(value: Any, name: str, path: Path) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= 1:
        raise ValueError(f"{path}: {name} must be a number from 0 to 1, got {_short(value)}")
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
