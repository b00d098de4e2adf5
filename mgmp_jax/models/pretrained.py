"""BERT and DistilBERT weights in Hugging Face layout: ``config.json`` and ``model.safetensors``."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from mgmp_jax import files
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
_HEADS = ("classifier", "pre_classifier")

# Heads of other tasks and buffers, which a classifier has no use for.
_IGNORED = re.compile(r"(cls\.|vocab_|.*position_ids$|qa_outputs)")


def find_pretrained(path_or_hub_id: str | Path) -> Path:
    """The local folder of a checkpoint, fetched from the Hugging Face hub where it is an id there.

    Raises:
        FileNotFoundError: there is neither such a folder nor, within reach, such an id.
    """
    path = Path(path_or_hub_id).expanduser()
    if path.is_dir():
        return path
    is_id = re.fullmatch(r"[\w.-]+(/[\w.-]+)?", str(path_or_hub_id)) is not None
    if not is_id or str(path_or_hub_id).startswith("."):
        raise FileNotFoundError(
            f"no folder {path}; give a folder with config.json and model.safetensors, or an id "
            "of the Hugging Face hub such as distilbert/distilbert-base-uncased"
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
    """What tells one checkpoint from another: a digest of its weights.

    Raises:
        FileNotFoundError: there are none.
    """
    path = _weights(Path(folder))
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def pretrained_vocab_size(folder: str | Path) -> int:
    """Reads how many token ids a checkpoint's embedding table has; it may exceed its vocabulary.

    Raises:
        FileNotFoundError: there is no config.
        ValueError: it is of another architecture.
    """
    return _read_config(Path(folder))["vocab_size"]


def load_pretrained(
    path_or_hub_id: str | Path,
    *,
    num_outputs: int | None = None,
    head: Literal["keep", "reinit"] = "keep",
    seed: int = 0,
    dtype: Any = jnp.float32,
) -> tuple[Transformer, dict[str, Any]]:
    """A BERT or DistilBERT checkpoint as a module and its variables.

    Args:
        path_or_hub_id: as :func:`find_pretrained`.
        num_outputs: width of the output; by default that of the checkpoint's classifier.
        head: ``"keep"`` takes the classifier from the checkpoint where it has one;
            ``"reinit"`` always starts a new one. What an encoder checkpoint lacks (the
            classifier, DistilBERT's layer before it) starts anew in any case.
        seed: of what starts anew.
        dtype: of the computation.

    Raises:
        FileNotFoundError: there is no such checkpoint, or it holds pickled weights only.
        ValueError: it is of another architecture; tensors are missing, unexpected or of a wrong
            shape, each of which is named; or the width of the output is not known.
    """
    folder = find_pretrained(path_or_hub_id)
    options = _read_config(folder)
    tensors = _read_tensors(folder)
    style = options["style"]
    if not any(name.startswith(f"{style}.") for name in tensors):
        tensors = {_with_prefix(name, style): value for name, value in tensors.items()}
    tensors = {k: v for k, v in tensors.items() if not _IGNORED.match(k.removeprefix(f"{style}."))}
    if head == "reinit":
        tensors = {k: v for k, v in tensors.items() if not k.startswith("classifier.")}
    if num_outputs is None:
        if "classifier.bias" not in tensors:
            raise ValueError(f"{folder} has no classifier to keep; give num_outputs")
        num_outputs = len(tensors["classifier.bias"])
    module = Transformer(num_outputs=num_outputs, dtype=dtype, **options)
    fresh = jax.jit(lambda key, x: module.init(key, x, train=False)["params"])(
        jax.random.key(seed), jnp.zeros((1, 1), jnp.int32)
    )
    return module, {"params": _fill(fresh, tensors, style, folder), "batch_stats": {}}


def save_pretrained(module: Transformer, variables: Mapping[str, Any], folder: str | Path) -> None:
    """Writes a folder that Hugging Face's ``...ForSequenceClassification`` classes open.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    from safetensors.numpy import save_file

    folder = Path(folder)
    params = jax.device_get(variables["params"])
    tensors = {}
    for path, ours in _leaves(params):
        value = np.asarray(ours, np.float32)
        tensors[_their_name(path, module.style)] = value.T if path[-1] == "kernel" else value
    tensors = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    with files.replacing(folder / "model.safetensors") as unfinished:
        save_file(tensors, unfinished, metadata={"format": "pt"})
    files.write_json(folder / "config.json", _their_config(module))


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"no {path}; expected a checkpoint in Hugging Face layout")
    try:
        config = json.loads(path.read_text())
        style = config["model_type"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a readable model config ({error!r})") from error
    if style not in _LAYER:
        raise ValueError(f"{folder} holds a {style!r} model; expected one of {', '.join(_LAYER)}")
    unsupported = {
        "hidden_act": ("gelu", config.get("hidden_act", config.get("activation", "gelu"))),
        "position_embedding_type": (
            "absolute",
            config.get("position_embedding_type", "absolute"),
        ),
        "sinusoidal_pos_embds": (False, config.get("sinusoidal_pos_embds", False)),
        "pad_token_id": (0, config.get("pad_token_id") or 0),
        "is_decoder": (False, config.get("is_decoder", False)),
        "type_vocab_size": (2, config.get("type_vocab_size", 2)),
    }
    for name, (expected, given) in unsupported.items():
        if given != expected and not (name == "sinusoidal_pos_embds" and style == "distilbert"):
            raise ValueError(f"{path}: {name} must be {expected!r}, got {given!r}")
    try:
        if style == "distilbert":
            names = ("dim", "n_layers", "n_heads", "hidden_dim", "dropout", "attention_dropout")
            head_dropout = config.get("seq_classif_dropout", 0.2)
        else:
            names = ("hidden_size", "num_hidden_layers", "num_attention_heads")
            names += ("intermediate_size", "hidden_dropout_prob", "attention_probs_dropout_prob")
            head_dropout = config.get("classifier_dropout")
        width, depth, num_heads, hidden, dropout, attention_dropout = (config[n] for n in names)
        return {
            "style": style,
            "vocab_size": config["vocab_size"],
            "width": width,
            "depth": depth,
            "num_heads": num_heads,
            "hidden": hidden,
            "max_length": config["max_position_embeddings"],
            "dropout": dropout,
            "attention_dropout": attention_dropout,
            "head_dropout": dropout if head_dropout is None else head_dropout,
            "epsilon": config.get("layer_norm_eps", 1e-12),
        }
    except KeyError as error:
        raise ValueError(f"{path} does not state {error}") from error


def _their_config(module: Transformer) -> dict[str, Any]:
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


def _read_tensors(folder: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = _weights(folder)
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error}); fetch it again") from error


def _weights(folder: Path) -> Path:
    path = folder / "model.safetensors"
    if not path.is_file():
        pickled = [p.name for p in folder.glob("*.bin")] + [p.name for p in folder.glob("*.pt")]
        why = f" ({', '.join(pickled)} is pickled, and opening it could run code)"
        raise FileNotFoundError(
            f"no {path}{why if pickled else ''}; convert the weights to safetensors, for example "
            "with transformers' model.save_pretrained(FOLDER)"
        )
    return path


def _with_prefix(name: str, style: str) -> str:
    """Encoder checkpoints leave the encoder's own name out."""
    is_head = name.startswith(("classifier.", "pre_classifier.", "cls.", "vocab_"))
    return name if is_head else f"{style}.{name}"


def _leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), value


def _their_name(path: tuple[str, ...], style: str) -> str:
    """Hugging Face's name of the parameter that lies at ``path`` in ours."""
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


def _fill(
    fresh: Mapping[str, Any], tensors: dict[str, np.ndarray], style: str, folder: Path
) -> dict[str, Any]:
    """The tree of ``fresh`` with the tensors in it; only a head may be missing, as a whole."""
    expected = {_their_name(path, style): path for path, _ in _leaves(fresh)}
    values = dict(_leaves(fresh))
    missing = [name for name in expected if name not in tensors]
    for layer in _HEADS:
        whole = [name for name, path in expected.items() if path[0] == layer]
        if all(name in missing for name in whole):
            missing = [name for name in missing if name not in whole]
    problems = [f"missing {name}" for name in missing]
    problems += [f"unexpected {name}" for name in tensors if name not in expected]
    for name in tensors.keys() & expected.keys():
        path = expected[name]
        value = tensors[name].T if path[-1] == "kernel" else tensors[name]
        if value.shape != values[path].shape:
            given, needed = value.shape, values[path].shape
            problems.append(f"{name} has shape {given}, expected {needed}")
        values[path] = np.asarray(value, np.float32)
    if problems:
        raise ValueError(
            f"the weights in {folder} do not fit its config or the wanted outputs:\n  "
            + "\n  ".join(sorted(problems))
            + '\nFor another number of classes choose head="reinit"'
        )
    tree: dict[str, Any] = {}
    for path, value in values.items():
        node = tree
        for name in path[:-1]:
            node = node.setdefault(name, {})
        node[path[-1]] = jnp.asarray(value)
    return tree
