"""The file of a recorded cohort: what every model answered, and the truth about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

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
        descendants: by task of the pool, models of it that started from one of the last siblings.
        parents: how many these siblings are; they are the last ones of the reference set's.
        labels: the classes of the unseen images, ``[n]``.
    """

    references: ReferenceSet
    descendants: Mapping[str, Sequence[Answers]]
    parents: int
    labels: np.ndarray


class Recorded(NamedTuple):
    """A cohort whose models are not needed any more.

    Args:
        known: what a method may learn from.
        suspects: the answers of the models that methods are judged by.
        kinds: what the suspects are, one of :data:`configs.cohort.KINDS` each.
    """

    known: Known
    suspects: Sequence[Answers]
    kinds: Sequence[str]


def write(path: Path, cohort: Cohort, store: ModelStore, material: Material) -> None:
    """Records the logits of source, siblings, pool and suspects, in half precision.

    Models of the pool are recorded at every checkpoint, and of the last siblings also the
    descendants on the pool's tasks. Siblings are no suspects.
    """
    import _cohort

    kinds = dict(zip((TRAINING, UNSEEN), (_cohort.TRAINING, _cohort.UNSEEN), strict=True))
    queries = {name: material.queries[kind].take(NUMBER) for name, kind in kinds.items()}
    rows: dict[str, list[np.ndarray]] = {name: [] for name in queries}
    models = []
    for about, spec, epoch in _everybody(cohort):
        models.append({**about, "model": f"{spec.address}{f' epoch {epoch}' if epoch else ''}"})
        for name, asked in queries.items():
            logits = store.responses(spec, asked, epoch=epoch).values
            rows[name].append(logits.astype(np.float16))
    arrays = {name: np.stack(of_models) for name, of_models in rows.items()}
    about = {
        "format": FORMAT,
        "models": models,
        "queries": {name: asked.digest for name, asked in queries.items()},
    }
    labels = {"labels": material.labels[: len(queries[UNSEEN])].astype(np.uint8)}
    files.write_arrays(path, arrays | labels, about)


def _everybody(cohort: Cohort) -> Iterator[tuple[dict[str, Any], ModelSpec, int | None]]:
    """All models that are recorded: what is said of each, and the checkpoint if not the last."""
    yield {"part": "source"}, cohort.row.source, None
    for spec in cohort.siblings:
        yield {"part": "siblings"}, spec, None
    for pair in cohort.row.pool:
        for part, spec in zip(("homologous", "non_homologous"), pair.specs, strict=True):
            for epoch in spec.recipe.kept_epochs:
                yield {"part": part, "task": pair.task}, spec, epoch
        _, parents = cohort.split_siblings()
        for spec in cohort.rehearsal:
            if spec.start in parents and spec.subset == pair.non_homologous.subset:
                start = spec.start.address
                yield {"part": "sibling descendants", "task": pair.task, "start": start}, spec, None
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
    if about.get("format") != FORMAT:
        raise ValueError(f"{path} is no recorded cohort, its format is {about.get('format')!r}")
    answers = [_answers(arrays, about, i) for i in range(len(about["models"]))]

    def part(name: str, **more: str) -> list[Answers]:
        wanted = {"part": name, **more}
        pairs = zip(about["models"], answers, strict=True)
        return [one for said, one in pairs if wanted.items() <= said.items()]

    tasks = dict.fromkeys(model["task"] for model in about["models"] if "task" in model)
    pool = [
        Pair(task, part("homologous", task=task), part("non_homologous", task=task))
        for task in tasks
    ]
    references = ReferenceSet(*part("source"), pool=pool, siblings=part("siblings"))
    descendants = {task: part("sibling descendants", task=task) for task in tasks}
    parents = len({model["start"] for model in about["models"] if "start" in model})
    labels = arrays["labels"].astype(np.int32)
    kinds = [model["kind"] for model in about["models"] if "kind" in model]
    known = Known(references, descendants, parents, labels)
    return Recorded(known, part("suspects"), kinds)


def _answers(
    arrays: Mapping[str, np.ndarray], about: Mapping[str, Any], i: int
) -> dict[str, Responses]:
    return {
        name: Responses(arrays[name][i], "logits", digest, about["models"][i]["model"])
        for name, digest in about["queries"].items()
    }
