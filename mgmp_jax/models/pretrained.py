"""BERT and DistilBERT weights in Hugging Face layout: ``config.json`` and ``model.safetensors``."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from mgmp_jax import files
from mgmp_jax.models import pretrained_files
from mgmp_jax.models import pretrained_names as names
from mgmp_jax.models.start import abstract_variables, initial_variables
from mgmp_jax.models.transformer import Transformer

__all__ = [
    "digest_pretrained",
    "find_pretrained",
    "load_pretrained",
    "pretrained_vocab_size",
    "save_pretrained",
]

_HUB_FILES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
_HUB_FILES += ["vocab.txt", "special_tokens_map.json"]
_HUB_FILES += ["model.safetensors.index.json", "model-*-of-*.safetensors"]

_MOST_SPARE_IDS = 1024
"""Tables are padded to a multiple of 8, 64, 128, ...; a larger rest means another tokenizer."""


def find_pretrained(path_or_hub_id: str | Path, *, download: bool = False) -> Path:
    """Finds the local folder of a checkpoint; fetches it from the Hugging Face hub where allowed.

    Args:
        path_or_hub_id: a folder, or an id of the hub.
        download: whether it may be fetched.

    Raises:
        FileNotFoundError: there is neither such a folder nor, allowed and within reach, such an id.
    """
    path = files.expand(path_or_hub_id)
    if path.is_dir():
        return path
    is_id = re.fullmatch(r"[\w.-]+(/[\w.-]+)?", str(path_or_hub_id)) is not None
    if not download or not is_id or str(path_or_hub_id).startswith("."):
        raise FileNotFoundError(
            f"no folder {path}; give a folder with config.json and model.safetensors, or an id "
            "of the Hugging Face hub such as distilbert/distilbert-base-uncased together with "
            "download=True (in experiments --pretrained hub:ID), which fetches it"
        )
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ImportError(
            "reading from the hub needs huggingface_hub: pip install 'mgmp_jax[text]'"
        ) from error
    try:
        return Path(snapshot_download(str(path_or_hub_id), allow_patterns=_HUB_FILES))
    except Exception as error:
        raise FileNotFoundError(
            f"{path_or_hub_id} is no local folder and cannot be had from the Hugging Face hub "
            f"({type(error).__name__}). Without a network, bring a folder with config.json, "
            "model.safetensors and tokenizer.json, and give its path"
        ) from error


def digest_pretrained(folder: str | Path) -> str:
    """Digests the weights of a checkpoint, which tells it from every other.

    Raises:
        FileNotFoundError: there are none.
        ValueError: the index of its shards is damaged.
    """
    paths = pretrained_files.weight_files(files.expand(folder))
    digests = []
    for path in paths:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    if len(paths) > 1:
        digests = [hashlib.sha256("".join(digests).encode()).hexdigest()]
    return digests[0][:12]


def pretrained_vocab_size(folder: str | Path) -> int:
    """Reads how many token ids a checkpoint's embedding table has; it may exceed its vocabulary.

    Raises:
        FileNotFoundError: there is no config.
        ValueError: it is damaged, or of another architecture.
    """
    return pretrained_files.read_config(files.expand(folder))["vocab_size"]


def load_pretrained(
    path_or_hub_id: str | Path,
    *,
    num_outputs: int | None = None,
    head: Literal["keep", "reinit"] = "keep",
    vocab_size: int | None = None,
    seed: int = 0,
    dtype: Any = jnp.float32,
    download: bool = False,
) -> tuple[Transformer, dict[str, Any]]:
    """Reads a BERT or DistilBERT checkpoint as a module and its variables.

    Args:
        path_or_hub_id: as for :func:`find_pretrained`.
        num_outputs: width of the output; by default that of the checkpoint's classifier.
        head: ``"keep"`` takes the classifier from the checkpoint where it has one, together with
            the layer before it; ``"reinit"`` always starts a new classifier. What an encoder
            checkpoint lacks (the classifier, the layer before it) starts anew in any case.
        vocab_size: how many ids the tokenizer makes, to check that it is the checkpoint's own. The
            table may have up to 1,024 embeddings more, which no text reaches.
        seed: of what starts anew.
        dtype: of the computation.
        download: as for :func:`find_pretrained`.

    Returns:
        The module, and ``{"params": ..., "batch_stats": {}}`` in float32.

    Raises:
        FileNotFoundError: there is no such checkpoint, or it holds pickled weights only.
        ValueError: it is of another architecture or for another tokenizer; tensors are missing,
            unexpected, not finite or of a wrong shape, each of which is named; or the width of
            the output is not known.
    """
    folder = find_pretrained(path_or_hub_id, download=download)
    options = pretrained_files.read_config(folder)
    style = options["style"]
    tensors = names.translate(pretrained_files.read_tensors(folder), style, folder)
    if head == "reinit":
        tensors = {k: v for k, v in tensors.items() if not k.startswith("classifier.")}
    if num_outputs is None:
        num_outputs = _classifier_width(tensors, folder)
    _check_sizes(options, tensors, vocab_size, folder)
    module = Transformer(num_outputs=num_outputs, dtype=dtype, **options)
    example = jnp.zeros((1, 1), jnp.int32)
    expected = abstract_variables(module, example)["params"]
    shapes = dict(names.leaves(expected))
    _check(shapes, tensors, style, folder)
    is_whole = all(names.their_name(path, style) in tensors for path in shapes)
    start = expected
    if not is_whole:
        start = initial_variables(module, jax.random.key(seed), example)["params"]
    return module, {"params": _fill(start, tensors, style), "batch_stats": {}}


def save_pretrained(module: Transformer, variables: Mapping[str, Any], folder: str | Path) -> None:
    """Writes a folder that Hugging Face's ``...ForSequenceClassification`` classes open.

    Raises:
        OSError: the disk is full or the folder cannot be written.
        ValueError: DistilBERT cannot have the module's epsilon.
    """
    from safetensors.numpy import save_file

    folder = files.expand(folder)
    config = pretrained_files.their_config(module)
    params = jax.device_get(variables["params"])
    tensors = {}
    for path, ours in names.leaves(params):
        value = np.asarray(ours, np.float32)
        theirs = value.T if path[-1] == "kernel" else value
        tensors[names.their_name(path, module.style)] = np.ascontiguousarray(theirs)
    with files.replacing(folder / "model.safetensors") as unfinished:
        save_file(tensors, unfinished, metadata={"format": "pt"})
    files.write_json(folder / "config.json", config)


def _classifier_width(tensors: Mapping[str, np.ndarray], folder: Path) -> int:
    classifier = [value for name, value in tensors.items() if name.startswith("classifier.")]
    if not any(np.size(value) for value in classifier):
        raise ValueError(f"{folder} has no classifier to keep; give num_outputs")
    return len(np.atleast_1d(classifier[0]))


def _check_sizes(
    options: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray],
    vocab_size: int | None,
    folder: Path,
) -> None:
    """Refuses another tokenizer, and a depth that the weights cannot have."""
    spare = 0 if vocab_size is None else options["vocab_size"] - vocab_size
    if not 0 <= spare <= _MOST_SPARE_IDS:
        raise ValueError(
            f"the checkpoint in {folder} embeds {options['vocab_size']} tokens, but the tokenizer "
            f"makes {vocab_size}; choose the checkpoint's own tokenizer"
        )
    if options["depth"] > len(tensors):
        raise ValueError(
            f"{folder / 'config.json'} states {options['depth']} layers, but the weights are only "
            f"{len(tensors)} tensors"
        )


def _check(
    values: Mapping[tuple, Any], tensors: Mapping[str, np.ndarray], style: str, folder: Path
) -> None:
    """Refuses tensors that do not fit; only a head may be missing, as a whole.

    Args:
        values: arrays or their shapes, by path.
        tensors: the checkpoint's, by Hugging Face's names.
        style: of the model.
        folder: of the checkpoint.
    """
    expected = {names.their_name(path, style): path for path in values}
    missing = [name for name in expected if name not in tensors]
    has_classifier = any(name.startswith("classifier.") for name in tensors)
    for layer in () if has_classifier else ("classifier", "pre_classifier"):
        whole = [name for name, path in expected.items() if path[0] == layer]
        if all(name in missing for name in whole):
            missing = [name for name in missing if name not in whole]
    problems = [f"missing {name}" for name in missing]
    problems += [f"unexpected {name}" for name in tensors if name not in expected]
    for name in tensors.keys() & expected.keys():
        path = expected[name]
        value, needed = tensors[name], values[path].shape
        given = value.shape[::-1] if path[-1] == "kernel" else value.shape
        if given != needed:
            problems.append(f"{name} has shape {given}, expected {needed}")
        with np.errstate(over="ignore"):
            finite = np.isfinite(value.astype(np.float32)).all()
        if not finite:
            problems.append(f"{name} holds numbers that are not finite")
    if not problems:
        return
    advice = 'For another number of classes choose head="reinit"'
    if any(name.startswith(names.before_classifier(style)) for name in missing):
        advice = (
            f"Its classifier reads {names.before_classifier(style)}, without which its answers "
            'would be random. To train a new head choose head="reinit"'
        )
    raise ValueError(
        f"the weights in {folder} do not fit its config or the wanted outputs:\n  "
        + "\n  ".join(sorted(problems))
        + f"\n{advice}"
    )


def _fill(
    fresh: Mapping[str, Any], tensors: Mapping[str, np.ndarray], style: str
) -> dict[str, Any]:
    """Puts the checkpoint's tensors into the tree of ``fresh``, shapes where none is kept."""
    tree: dict[str, Any] = {}
    for path, value in names.leaves(fresh):
        theirs = tensors.get(names.their_name(path, style))
        if theirs is not None:
            value = np.asarray(theirs.T if path[-1] == "kernel" else theirs, np.float32)
        node = tree
        for name in path[:-1]:
            node = node.setdefault(name, {})
        node[path[-1]] = jnp.asarray(value)
    return tree
