"""Folders of Hugging Face classifiers, with their own tokenizer or image processor."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from mgmp_jax.adapters import batches
from mgmp_jax.adapters.frameworks import import_framework
from mgmp_jax.answers import Answers
from mgmp_jax.responses import ResponseKind

__all__ = ["Classifier", "open_model", "reads", "record"]


@dataclasses.dataclass(frozen=True, eq=False)
class Classifier:
    """A classifier of texts or images with what prepares its inputs.

    Args:
        model: of ``transformers``, in PyTorch.
        prepare: its tokenizer or its image processor.
        is_text: whether it reads texts.
    """

    model: Any
    prepare: Any
    is_text: bool


def reads(model: Any) -> bool:
    """Says whether a model is a :class:`Classifier`."""
    return isinstance(model, Classifier)


def open_model(target: str) -> Classifier:
    """Opens a folder with ``config.json``, safetensors, and a tokenizer or an image processor.

    Nothing is downloaded, no code in the folder is run, and no pickle is read.

    Raises:
        FileNotFoundError: there is no such folder, or no weights as safetensors in it.
        ValueError: it holds no classifier that transformers knows.
        ImportError: transformers or PyTorch is not installed.
    """
    transformers = import_framework("transformers", "'mgmp_jax[hf]'")
    import_framework("torch", "torch")
    folder = Path(target)
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"no config.json in {target}; expected a Hugging Face folder")
    if not list(folder.glob("*.safetensors")):
        raise FileNotFoundError(
            f"no weights as safetensors in {target}; pickled weights (pytorch_model.bin) are not "
            "read: save the model again with safe_serialization=True"
        )
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **local)
        is_text = type(config) in transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
        kind = "SequenceClassification" if is_text else "ImageClassification"
        model = getattr(transformers, f"AutoModelFor{kind}").from_pretrained(
            folder, use_safetensors=True, **local
        )
        prepare = transformers.AutoTokenizer if is_text else transformers.AutoImageProcessor
        return Classifier(model.eval(), prepare.from_pretrained(folder, **local), is_text)
    except Exception as error:  # damaged folders raise many kinds
        raise ValueError(
            f"{target} is no readable Hugging Face classifier ({type(error).__name__}: "
            f"{str(error)[:300]})"
        ) from error


def record(
    model: Classifier,
    queries: batches.Queries,
    *,
    kind: ResponseKind = "logits",
    name: str = "",
    batch_size: int = 32,
) -> Answers:
    """Records what a classifier answers to raw texts or images.

    Args:
        model: from :func:`open_model`.
        queries: texts or images, as the classifier reads them. Texts are cut to the model's length.
        kind: what the numbers are; the classifier gives logits.
        name: of the model.
        batch_size: how many queries are asked at once.

    Raises:
        ValueError: the queries are of another kind than the classifier reads.
        ImportError: PyTorch is not installed.
    """
    torch = import_framework("torch", "torch")

    def answer(inputs: Any) -> np.ndarray:
        is_text = isinstance(inputs, list)
        if is_text != model.is_text or (not is_text and inputs.ndim != 4):
            wanted = "texts" if model.is_text else "images"
            raise ValueError(f"the classifier reads {wanted}, but the queries are none")
        if is_text:
            length = getattr(model.model.config, "max_position_embeddings", 512)
            longest = min(length, model.prepare.model_max_length)
            prepared = model.prepare(
                inputs, padding=True, truncation=True, max_length=longest, return_tensors="pt"
            )
        else:
            prepared = model.prepare(list(inputs), return_tensors="pt")
        with torch.no_grad():
            return model.model(**prepared).logits.float().cpu().numpy()

    return batches.record(answer, queries, kind=kind, name=name, batch_size=batch_size)
