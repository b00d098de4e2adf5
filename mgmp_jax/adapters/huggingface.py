"""Folders of Hugging Face classifiers: safetensors, with their own tokenizer or image processor."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mgmp_jax import files
from mgmp_jax.adapters import batches, torch
from mgmp_jax.adapters.frameworks import import_framework
from mgmp_jax.adapters.pixels import Reader
from mgmp_jax.answers import Answers
from mgmp_jax.responses import ResponseKind

__all__ = ["Folder", "open_model", "reads", "record"]

_LONGEST = 100_000  # tokens: tokenizers without a limit name a far larger number
_CLASSES = {
    "ForImageClassification": "AutoModelForImageClassification",
    "ForSequenceClassification": "AutoModelForSequenceClassification",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Folder:
    """A classifier with what reads its raw inputs, as :func:`open_model` gives it.

    Args:
        model: the module of transformers.
        read: takes a batch of raw queries, gives the module's arguments by name.
        modality: ``"images"`` or ``"texts"``.
        pads: whether texts of unequal length can be asked at once.
    """

    model: Any
    read: Reader
    modality: str
    pads: bool = True


def reads(model: Any) -> bool:
    """Says whether a model is a :class:`Folder`, or the path of a folder with a ``config.json``."""
    is_path = isinstance(model, str | Path)
    return isinstance(model, Folder) or (is_path and (Path(model) / "config.json").is_file())


def record(
    model: Any,
    queries: batches.Queries,
    *,
    kind: ResponseKind = "logits",
    name: str = "",
    batch_size: int = 256,
    progress: batches.Progress | None = None,
) -> Answers:
    """Records what a classifier answers on raw queries, read by its own tokenizer or processor.

    It computes in float32 on the CPU; ``open_model(folder).model.to("cuda")`` moves it. Texts are
    cut to the length that tokenizer and model take. Its logits are converted to the wanted kind.

    Args:
        model: path of the folder, or what :func:`open_model` gave.
        queries: one query set, or several by name.
        kind: logits, or what can be made of them.
        name: of the model.
        batch_size: how many queries are asked at once; one, where the tokenizer cannot pad.
        progress: told how many queries are answered, and of how many.

    Returns:
        Responses, or responses by the names of the query sets.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it is no such folder, or reads another kind of query.
        ImportError: transformers or PyTorch is not installed.
    """
    folder = model if isinstance(model, Folder) else open_model(str(model))

    for one in queries.values() if isinstance(queries, Mapping) else (queries,):
        if one.modality != folder.modality:
            raise ValueError(
                f"{name or 'the folder'} classifies {folder.modality}, and the queries are "
                f"{one.modality}; ask it about {folder.modality}"
            )
    answers = torch.record(
        folder.model,
        queries,
        name=name,
        batch_size=batch_size if folder.pads else 1,
        progress=progress,
        pixels=folder.read,
        tokenize=folder.read,
    )
    if isinstance(answers, Mapping):
        return {key: responses.to(kind) for key, responses in answers.items()}
    return answers.to(kind)


def open_model(target: str) -> Any:
    """Reads a folder that ``save_pretrained`` wrote: no network, no pickle, no code of its own.

    Args:
        target: the folder with ``config.json``, safetensors, and the tokenizer or image processor.

    Returns:
        A :class:`Folder`.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it lacks one of these, is damaged, lacks some of the classifier's weights, or
            is no classifier of texts or images.
        ImportError: transformers or PyTorch is not installed.
    """
    path = Path(target)
    if not (path / "config.json").is_file():
        raise FileNotFoundError(f"no folder of a Hugging Face model at {path}: no config.json")
    if not any(path.glob("*.safetensors")):
        raise ValueError(
            f"{path} holds no safetensors, and pickles such as pytorch_model.bin are not read; "
            "write the model with save_pretrained(FOLDER, safe_serialization=True) where you "
            "trust it"
        )
    for module in ("torch", "transformers"):
        import_framework(module, "'mgmp_jax[hf]'")
    names = files.read_settings(path / "config.json").get("architectures") or [""]
    ending = next((end for end in _CLASSES if str(names[0]).endswith(end)), None)
    if ending is None:
        raise ValueError(
            f"{path}/config.json names the architecture {names[0]!r}; expected a classifier, whose "
            f"name ends in one of {', '.join(_CLASSES)}"
        )
    model = _load_weights(path, _CLASSES[ending])
    if ending == "ForImageClassification":
        return Folder(model, _image_reader(path), "images")
    return _of_texts(path, model)


def _load(path: Path, name: str, what: str, **options: Any) -> Any:
    transformers: Any = import_framework("transformers", "'mgmp_jax[hf]'")
    shows_progress = transformers.logging.is_progress_bar_enabled()
    transformers.logging.disable_progress_bar()
    try:
        return getattr(transformers, name).from_pretrained(
            path, local_files_only=True, trust_remote_code=False, **options
        )
    except Exception as error:  # of a file that others wrote, in as many forms as it has fields
        raise ValueError(
            f"{path}: its {what} cannot be read ({type(error).__name__}: {str(error)[:300]})"
        ) from error
    finally:
        if shows_progress:
            transformers.logging.enable_progress_bar()


def _load_weights(path: Path, name: str) -> Any:
    more: dict[str, Any] = {"use_safetensors": True, "output_loading_info": True}
    if b"attn_implementation" in files.read_bytes(path / "config.json"):  # may name code on a hub
        more["attn_implementation"] = "eager"
    model, about = _load(path, name, "weights", dtype="float32", **more)
    if lacking := sorted(about["missing_keys"]):
        raise ValueError(
            f"{path} lacks weights of the classifier that its config names: {lacking[:5]}; they "
            "would be random numbers"
        )
    return model


def _image_reader(path: Path) -> Reader:
    processor = _load(path, "AutoImageProcessor", "image processor", backend="pil")

    def read(images: Any) -> Any:
        return dict(
            processor(images=list(images), return_tensors="np", input_data_format="channels_last")
        )

    return read


def _of_texts(path: Path, model: Any) -> Folder:
    tokenizer = _load(path, "AutoTokenizer", "tokenizer")
    if len(tokenizer) <= len(set(tokenizer.all_special_ids)):  # made up where the files are absent
        raise ValueError(
            f"{path} has no tokenizer with a vocabulary; save it there with "
            "tokenizer.save_pretrained(FOLDER)"
        )
    longest = [tokenizer.model_max_length, _positions(model.config)]
    longest = min((n for n in longest if n and n < _LONGEST), default=None)
    pads = (  # otherwise padding would change the answers, and texts are asked one at a time
        tokenizer.pad_token is not None
        and tokenizer.pad_token_id == model.config.pad_token_id
        and tokenizer.padding_side == "right"
    )

    def read(texts: Any) -> Any:
        return dict(
            tokenizer(
                texts,
                padding=pads,
                truncation=longest is not None,
                max_length=longest,
                return_tensors="np",
            )
        )

    return Folder(model, read, "texts", pads)


def _positions(config: Any) -> int | None:
    """How many tokens the model has positions for; RoBERTa counts from after the padding on."""
    count = getattr(config, "max_position_embeddings", None)
    if count and "roberta" in config.model_type:
        return count - 1 - (config.pad_token_id or 0)
    return count
