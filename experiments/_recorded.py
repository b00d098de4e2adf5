"""The file of a recorded cohort: what every model answered, and the truth about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from configs.cohort import KINDS

from mgmp_jax import files
from mgmp_jax.answers import Answers
from mgmp_jax.queries import TRAINING, UNSEEN
from mgmp_jax.references import Pair, ReferenceSet
from mgmp_jax.responses import Responses

if TYPE_CHECKING:
    from _cohort import Cohort, Material

    from mgmp_jax.store import ModelSpec, ModelStore

FORMAT = "mgmp_jax.recorded_cohort.v1"
NUMBER = 1000
"""Of the queries of each kind that are recorded, or all where there are fewer."""


class Known(NamedTuple):
    """What the owner of a cohort's source has, and a method may learn from.

    Args:
        references: source, siblings and pool; each model answered the queries ``"training"`` and
            ``"unseen"``.
        parents: names of siblings that he fine-tuned on the pool's tasks too.
        descendants: by task of the pool, what came of it, at every checkpoint.
        labels: the classes of the unseen images, ``[n]``.
    """

    references: ReferenceSet
    parents: frozenset[str]
    descendants: Mapping[str, Sequence[Answers]]
    labels: np.ndarray


class Recorded(NamedTuple):
    """A cohort whose models are not needed any more.

    Args:
        known: what a method may learn from.
        suspects: the answers of the models that methods are judged by; their names say nothing.
        kinds: what the suspects are, one of :data:`configs.cohort.KINDS` each.
    """

    known: Known
    suspects: Sequence[Answers]
    kinds: Sequence[str]


def write(path: Path, cohort: Cohort, store: ModelStore, material: Material) -> None:
    """Records the logits of source, siblings, pool and suspects, in half precision.

    Models of the pool are recorded at every checkpoint. Siblings are no suspects.

    Raises:
        ValueError: a logit is too large for half precision.
    """
    import _cohort

    kinds = {TRAINING: _cohort.TRAINING, UNSEEN: _cohort.UNSEEN}
    queries = {name: material.queries[kind].take(NUMBER) for name, kind in kinds.items()}
    rows: dict[str, list[np.ndarray]] = {name: [] for name in queries}
    models = []
    for about, spec, epoch in _everybody(cohort):
        models.append({**about, "model": f"{spec.address}{f' epoch {epoch}' if epoch else ''}"})
        for name, asked in queries.items():
            logits = store.responses(spec, asked, epoch=epoch).values
            if np.abs(logits).max() > np.finfo(np.float16).max:
                raise ValueError(f"logits of {spec.address} are too large for half precision")
            rows[name].append(logits.astype(np.float16))
    arrays = {name: np.stack(of_models) for name, of_models in rows.items()}
    arrays["labels"] = material.labels[: len(queries[UNSEEN])].astype(np.int32)
    digests = {name: asked.digest for name, asked in queries.items()}
    files.write_arrays(path, arrays, {"format": FORMAT, "models": models, "queries": digests})


def _everybody(cohort: Cohort) -> Iterator[tuple[dict[str, Any], ModelSpec, int | None]]:
    """All models that are recorded: what is said of each, and the checkpoint in the pool."""
    yield {"part": "source"}, cohort.row.source, None
    for spec in cohort.siblings:
        yield {"part": "siblings"}, spec, None
    for pair in cohort.row.pool:
        negatives = [spec for spec in cohort.negatives if spec.subset == pair.homologous.subset]
        parts = [("homologous", pair.homologous), ("non_homologous", pair.non_homologous)]
        parts += [("sibling descendants", spec) for spec in negatives]
        for part, spec in parts:
            start = {"start": spec.start.address} if spec in negatives and spec.start else {}
            for epoch in spec.recipe.kept_epochs:
                yield {"part": part, "task": pair.task, **start}, spec, epoch
    for suspect in cohort.suspects:
        if suspect.spec not in cohort.siblings:
            yield {"part": "suspects", "kind": suspect.kind}, suspect.spec, None


def read(path: Path) -> Recorded:
    """Reads what :func:`write` wrote; nothing in the file is ever executed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or no recorded cohort.
    """
    arrays, about = files.read_arrays(path)
    try:
        return _parse(arrays, about)
    except Exception as error:  # a file of strangers may say anything
        raise ValueError(
            f"{path} is no readable recorded cohort ({type(error).__name__}: {str(error)[:300]}); "
            "copy recorded.npz of a run of compare.py again"
        ) from error


def _parse(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> Recorded:
    if about.get("format") != FORMAT:
        raise ValueError(f"its format is {about.get('format')!r}, not {FORMAT!r}")
    models, digests = about["models"], about["queries"]
    if set(digests) != {TRAINING, UNSEEN}:
        raise ValueError(f"it has the query sets {sorted(digests)}, not {[TRAINING, UNSEEN]}")
    for name in digests:
        if arrays[name].ndim != 3 or len(arrays[name]) != len(models):
            raise ValueError(f"{name} has shape {arrays[name].shape} for {len(models)} models")
    labels = arrays["labels"]
    if labels.dtype.kind not in "iu" or labels.shape != arrays[UNSEEN].shape[1:2]:
        raise ValueError(f"labels are {labels.dtype} {labels.shape}, not a class for each query")
    parts: dict[tuple[str, str | None], list[Answers]] = {}
    kinds, parents = [], set()
    for i, model in enumerate(models):
        name, part = model["model"], model["part"]
        if part == "suspects":
            name = f"suspect {len(kinds)}"
            kinds.append(model["kind"])
        if part == "sibling descendants":
            parents.add(model["start"])
        answers = {
            which: Responses(arrays[which][i], "logits", digest, name)
            for which, digest in digests.items()
        }
        parts.setdefault((part, model.get("task")), []).append(answers)
    if not set(kinds) <= set(KINDS) or "homologous" not in kinds:
        raise ValueError(f"its suspects are {sorted(set(kinds))}, of {list(KINDS)}")
    (source,), siblings = parts["source", None], parts.get(("siblings", None), [])
    tasks = [task for part, task in parts if part == "homologous" and task is not None]
    sides = ("homologous", "non_homologous")
    pool = [Pair(task, *(parts[side, task] for side in sides)) for task in tasks]
    known = Known(
        ReferenceSet(source, pool, siblings),
        frozenset(parents),
        {task: parts.get(("sibling descendants", task), []) for task in tasks},
        labels.astype(np.int32),
    )
    return Recorded(known, parts["suspects", None], kinds)
