"""``mgmp queries``: freezes what all models are asked."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from mgmp_jax.cli.command import Command, Outcome

if TYPE_CHECKING:
    from mgmp_jax.queries import QuerySet

_FEWEST = 10
"""Fewer are never read by the sibling test."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FreezeQueries(Command):
    """Freeze query sets, before any suspect is seen.

    mgmp queries train.npy --unseen test.npy --count 2500 --out queries/

    DATA are the source's training examples, which MGMP asks: an .npy of uint8 images [n, h, w, 3]
    or of rows [n, f], a folder of pictures, a .txt of one text a line, or the name of an image set
    in --data-dir, such as cifar10. --unseen are data that no model was trained on, which the
    sibling test asks: images are made of two halves each. Examples are drawn at random.
    """

    data: Positional[str]
    """Training examples."""
    out: Path
    """Folder of the frozen queries, to be made."""
    unseen: str | None = None
    """Data that no model was trained on; of a named image set its test images by default."""
    count: int = 2500
    """Queries of each kind."""
    seed: int = 0
    """Of the draw."""
    data_dir: Path | None = None
    """Folder of named image sets; by default MGMP_DATA_DIR or ~/tensorflow_datasets."""

    def run(self) -> Outcome:
        """Draws and freezes the queries."""
        from mgmp_jax import data
        from mgmp_jax.data.halves import halves
        from mgmp_jax.queries import TRAINING, UNSEEN, QuerySet
        from mgmp_jax.query_folder import QueryFolder

        if self.seed < 0:
            raise ValueError(f"--seed must be at least 0, got {self.seed}")
        is_named = self.data in data.NUM_CLASSES and not Path(self.data).exists()
        unseen = self.data if self.unseen is None and is_named else self.unseen
        training = self._read(self.data, "train")
        sets = {TRAINING: self._draw(self.data, training)}
        if unseen is not None:
            others = self._read(unseen, "test")
            if _form(others) != _form(training):
                raise ValueError(
                    f"{self.data} holds {_form(training)} and --unseen {unseen} {_form(others)}: "
                    "one model must read both; give inputs of one form"
                )
            drawn = self._draw(unseen, others, besides=training)
            if drawn.modality == "images":
                drawn = QuerySet.images(halves(drawn.inputs))
            sets[UNSEEN] = drawn
        frozen = QueryFolder.freeze(self.out, sets)
        about: dict[str, Any] = {
            name: {"count": len(one), "modality": one.modality, "digest": one.digest}
            for name, one in frozen.sets.items()
        }
        lines = [
            f"{n}: {a['count']} {a['modality']}, digest {a['digest']}" for n, a in about.items()
        ]
        if len(about) == 1:
            lines.append(
                "No --unseen: the sibling test will ask the training examples, and see less"
            )
        text = "\n".join([f"Frozen in {self.out} at {frozen.created}", *lines])
        return Outcome(text, {"folder": str(self.out), "created": frozen.created, "sets": about})

    def _draw(self, name: str, whole: QuerySet, besides: QuerySet | None = None) -> QuerySet:
        """Draws queries, none of them among those besides."""
        import numpy as np

        if besides is not None:
            known = set(map(_raw, besides.inputs))
            fresh = [i for i, one in enumerate(whole.inputs) if _raw(one) not in known]
            if not fresh:
                raise ValueError(
                    f"all of {name} are among the training examples; --unseen must be new"
                )
            whole = whole.take(np.array(fresh))
        if not _FEWEST <= self.count <= len(whole):
            raise ValueError(
                f"--count must be from {_FEWEST} to the {len(whole)} of {name}, got {self.count}"
            )
        drawn = np.random.default_rng(self.seed).permutation(len(whole))[: self.count]
        return whole.take(np.sort(drawn))

    def _read(self, name: str, split: str) -> QuerySet:
        from mgmp_jax import data
        from mgmp_jax.data.raw import read_raw
        from mgmp_jax.queries import QuerySet

        if name in data.NUM_CLASSES and not Path(name).exists():
            return QuerySet.images(data.load(name, split, self.data_dir).inputs)
        return read_raw(name)


def _form(queries: QuerySet) -> str:
    """What a model must be made for to read them."""
    if queries.modality == "texts":
        return "texts"
    return f"{queries.modality} of {'x'.join(map(str, queries.inputs.shape[1:]))}"


def _raw(one: Any) -> Any:
    """What tells an example from all others."""
    return one if isinstance(one, str) else one.tobytes()
