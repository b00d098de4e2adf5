"""Answers: the responses of one model to one query set, or to several by name; their file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mgmp_jax import files
from mgmp_jax.responses import Responses

__all__ = ["Answers", "answers_to", "load_answers", "save_answers"]

Answers = Responses | Mapping[str, Responses]
"""What one model answered: on one query set, or on several by name (``{"training": ...,
"unseen": ...}``; see :data:`mgmp_jax.queries.TRAINING` and :data:`~mgmp_jax.queries.UNSEEN`)."""

_FORMAT = "mgmp_jax.answers.v1"


def answers_to(answers: Answers, name: str) -> Responses:
    """Selects a model's responses to the query set of that name, or its only ones.

    Raises:
        ValueError: it answered none of that name, or these are no responses.
    """
    if isinstance(answers, Responses):
        return answers
    if not isinstance(answers, Mapping):
        raise ValueError(
            f"give a model's Responses, got {type(answers).__name__}: "
            "adapters.record(model, queries) takes them of a model, load_answers(path) of a file, "
            "Responses(values, kind, queries) of an array"
        )
    if name not in answers:
        raise ValueError(
            f"the model answered the query sets {list(answers)}, but none called {name!r}; take "
            "its responses on that one too"
        )
    return answers[name]


def save_answers(path: str | Path, answers: Answers) -> None:
    """Writes an ``.npz`` of plain arrays, each with its SHA-256, whole or not at all.

    Args:
        path: of the file.
        answers: of one model.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    if isinstance(answers, Responses):
        answers.save(path)
        return
    about = {name: responses.about for name, responses in answers.items()}
    arrays = {name: responses.values for name, responses in answers.items()}
    files.write_arrays(path, arrays, {"format": _FORMAT, "query_sets": about})


def load_answers(path: str | Path) -> Answers:
    """Reads what :func:`save_answers` or :meth:`Responses.save` wrote; nothing is executed.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: it is damaged or of another format, or its values are invalid.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no answers at {path}; `mgmp record` writes them")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give one file of answers")
    arrays, about = files.read_arrays(path)
    if about.get("format") != _FORMAT:
        if "responses" not in str(about.get("format")):
            raise ValueError(
                f"{path} is no file of answers but of the format {about.get('format')!r}"
            )
        return Responses.load(path)
    try:
        return {name: Responses(arrays[name], **one) for name, one in about["query_sets"].items()}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{path} is no readable file of answers ({error}); record the answers again"
        ) from error
