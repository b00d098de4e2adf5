"""Hugging Face's names of BERT's and DistilBERT's parameters, and ours."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["STYLES", "before_classifier", "leaves", "their_name", "translate", "words"]

STYLES = ("distilbert", "bert")
"""The families that can be read, as ``model_type`` calls them."""

_LAYER = {
    "distilbert": {
        "query": "attention.q_lin",
        "key": "attention.k_lin",
        "value": "attention.v_lin",
        "out": "attention.out_lin",
        "norm1": "sa_layer_norm",
        "fc1": "ffn.lin1",
        "fc2": "ffn.lin2",
        "norm2": "output_layer_norm",
    },
    "bert": {
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "out": "attention.output.dense",
        "norm1": "attention.output.LayerNorm",
        "fc1": "intermediate.dense",
        "fc2": "output.dense",
        "norm2": "output.LayerNorm",
    },
}
_BLOCKS = {"distilbert": "transformer.layer", "bert": "encoder.layer"}
_POOLER = {"distilbert": "pre_classifier", "bert": "bert.pooler.dense"}
_LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias"}

# What DistributedDataParallel and torch.compile put before every name.
_WRAPPERS = ("module.", "_orig_mod.")

# Layer norms in checkpoints that were converted from TensorFlow.
_OLD_LEAVES = {".gamma": ".weight", ".beta": ".bias"}

# Heads of other tasks and buffers, which a classifier has no use for.
_IGNORED = re.compile(r"(cls\.|vocab_|.*position_ids$|qa_outputs)")


def leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple, Any]]:
    """Yields path and value of every parameter."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, (*path, name))
        else:
            yield (*path, name), value


def words(style: str) -> str:
    """Names the table of word embeddings."""
    return f"{style}.embeddings.word_embeddings.weight"


def before_classifier(style: str) -> str:
    """Names the layer before the classifier: BERT's pooler, DistilBERT's pre_classifier."""
    return _POOLER[style]


def their_name(path: tuple[str, ...], style: str) -> str:
    """Gives Hugging Face's name of the parameter that lies at ``path`` in ours."""
    top, *rest = path
    if top == "classifier":
        return f"classifier.{_LEAVES[rest[0]]}"
    if top == "pre_classifier":
        return f"{_POOLER[style]}.{_LEAVES[rest[0]]}"
    if top == "embeddings":
        name = {
            "words": "word_embeddings.weight",
            "positions": "position_embeddings.weight",
            "segments": "token_type_embeddings.weight",
            "norm": f"LayerNorm.{_LEAVES.get(rest[-1])}",
        }[rest[0]]
        return f"{style}.embeddings.{name}"
    number = int(top.removeprefix("layer")) - 1
    return f"{style}.{_BLOCKS[style]}.{number}.{_LAYER[style][rest[0]]}.{_LEAVES[rest[1]]}"


def translate(tensors: Mapping[str, np.ndarray], style: str, folder: Path) -> dict[str, np.ndarray]:
    """Brings the names in a checkpoint to those of today's transformers; drops unused heads.

    Takes off the prefixes of DistributedDataParallel and torch.compile, renames ``gamma`` and
    ``beta``, and puts the encoder's own name before those of an encoder checkpoint.

    Raises:
        ValueError: two tensors get one name, or none of them is an embedding of words.
    """
    given = list(tensors)
    new = given
    while prefix := _shared_wrapper(new):
        new = [name.removeprefix(prefix) for name in new]
    new = [_without_old_leaf(name) for name in new]
    if not any(name.startswith(f"{style}.") for name in new):
        new = [_with_prefix(name, style) for name in new]
    translated = {
        name: tensors[old]
        for name, old in zip(new, given, strict=True)
        if not _IGNORED.match(name.removeprefix(f"{style}."))
    }
    if len(set(new)) < len(new):
        twice = next(name for i, name in enumerate(new) if name in new[:i])
        raise ValueError(f"the weights in {folder} hold {twice} twice, under two names")
    if words(style) not in translated:
        some = ", ".join(sorted(given)[:3])
        raise ValueError(
            f"the weights in {folder} are not named as those of a {style} model: expected "
            f"{words(style)}, got {some}, ..."
        )
    return translated


def _shared_wrapper(names: list[str]) -> str | None:
    """Finds a wrapper's prefix that all names begin with."""
    for prefix in _WRAPPERS:
        if names and all(name.startswith(prefix) for name in names):
            return prefix
    return None


def _without_old_leaf(name: str) -> str:
    for old, new in _OLD_LEAVES.items():
        if name.endswith(f"LayerNorm{old}"):
            return name.removesuffix(old) + new
    return name


def _with_prefix(name: str, style: str) -> str:
    """Encoder checkpoints leave the encoder's own name out."""
    is_head = name.startswith(("classifier.", "pre_classifier.", "cls.", "vocab_"))
    return name if is_head else f"{style}.{name}"
