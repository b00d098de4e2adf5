"""A trained MGMP, which scores suspects by their DNA."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Float

from mgmp_jax.config import MGMPConfig
from mgmp_jax.kinds import Question
from mgmp_jax.linear import check_width, num_varying
from mgmp_jax.methods import mgmp_step
from mgmp_jax.methods.fragments import (
    check_equal_width,
    fragment_maker,
    kind_read,
    make_source_fragments,
    read_as,
)
from mgmp_jax.queries import TRAINING
from mgmp_jax.responses import ResponseKind, Responses

__all__ = ["FittedMGMP"]


@dataclasses.dataclass(frozen=True, eq=False)
class FittedMGMP:
    """A trained MGMP with the source's responses; reads suspects from theirs.

    Args:
        config: of the MGMP.
        source: the source's responses.
        latents: what is assembled with all responses, ``[n, z]``; ``None`` for nothing.
        classifier: parameters of the provenance classifier.
        kinds: of the pool's responses that it learned from.
        asks: the name of the query set that it asks.
        name: of the method.
        knows_siblings: whether siblings of the source were in the background.
    """

    config: MGMPConfig
    source: Responses
    latents: np.ndarray | None
    classifier: Mapping[str, Any]
    kinds: tuple[ResponseKind, ...]
    asks: str = TRAINING
    name: str = "MGMP"
    knows_siblings: bool = False
    question: ClassVar[Question] = "knowledge"

    @property
    def settings(self) -> dict[str, Any]:
        """Its config, and whether siblings were in the background."""
        return {
            "config": dataclasses.asdict(self.config),
            "knows_siblings": self.knows_siblings,
        }

    def reads(self, suspect: Responses) -> str | None:
        """Says why responses cannot be read, in a sentence; ``None`` where they can.

        With alignment responses of any kind and width are read, as long as there are enough
        queries for a linear fit from so many coordinates. Without, they must convert to
        ``config.response`` and be as wide as the source's.
        """
        try:
            found = read_as(self.config, suspect)
            if self.config.assemble == "residual" and self.latents is not None:
                check_width(self.latents.shape[1], len(found), "the background is")
            if self.config.align:
                check_width(num_varying(found.values), len(found), "the suspect's responses are")
            else:
                check_equal_width(self.source, found)
        except ValueError as error:
            return str(error)
        return None

    def knows_kind(self, suspect: Responses) -> bool:
        """Says whether it learned from responses of the suspect's kind.

        Where it did not, a suspect's score can be compared with those of models that answer
        alike, but not with a threshold: a descendant that shows its labels only may score near 0.
        """
        return kind_read(self.config, suspect.kind) in self.kinds

    def check_queries(self, suspect: Responses) -> None:
        """Raises ``ValueError`` unless a suspect answered the source's query set."""
        self.source.check_same_queries(suspect)

    def fragments(
        self, suspect: Responses
    ) -> tuple[Float[np.ndarray, "n o"], Float[np.ndarray, "n o"]]:
        """Computes the DNA of source and suspect (Eq. 4).

        Raises:
            ValueError: the suspect answered other queries, or cannot be read.
        """
        self.check_queries(suspect)
        return self._make(read_as(self.config, suspect))

    @functools.cached_property
    def _make(self) -> Callable[[Responses], tuple[np.ndarray, np.ndarray]]:
        return fragment_maker(self.config, self.source, self.latents)

    def source_fragments(self) -> Float[np.ndarray, "n o"]:
        """Computes the DNA of the source alone (Eq. 4).

        Raises:
            ValueError: the latents are too wide for the queries.
        """
        return make_source_fragments(self.config, self.source, self.latents)

    def fragment_scores(self, suspect: Responses) -> Float[np.ndarray, " n"]:
        """Computes ``f_p`` for each query: near 1 where the fragment looks homologous (Eq. 9).

        Raises:
            ValueError: as :meth:`fragments`; or a score is not finite.
        """
        s, t = self.fragments(suspect)
        scores = mgmp_step.classify(self.config, self.classifier, s, t)
        if not np.isfinite(scores).all():
            raise ValueError(
                f"the scores of {suspect.model or 'the suspect'} are not finite: its responses "
                f"reach {np.abs(suspect.values).max():.3g}, far from what the pool answers"
            )
        return scores

    def score(self, suspect: Responses) -> float:
        """Computes the DNA score, the mean of the fragment scores, from 0 to 1.

        Raises:
            ValueError: as :meth:`fragment_scores`.
        """
        return float(np.mean(self.fragment_scores(suspect), dtype=np.float64))

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Gives all that :meth:`from_arrays` needs."""
        about = {
            **self.settings,
            "source": self.source.about,
            "kinds": list(self.kinds),
            "asks": self.asks,
            "name": self.name,
        }
        flat = flatten_dict(self.classifier, sep="/")
        arrays = {f"classifier/{k}": np.asarray(v) for k, v in flat.items()}
        arrays["source"] = self.source.values
        if self.latents is not None:
            arrays["latents"] = self.latents
        return about, arrays

    @classmethod
    def from_arrays(cls, about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> FittedMGMP:
        """Makes it again from what :meth:`to_arrays` gave.

        Raises:
            ValueError: the weights are not finite, or not those of the config.
        """
        flat = {
            name.removeprefix("classifier/"): array
            for name, array in arrays.items()
            if name.startswith("classifier/")
        }
        for name, array in flat.items():
            if not np.isfinite(array).all():
                raise ValueError(f"the classifier's weights {name} are not finite")
        return cls(
            MGMPConfig(**about["config"]),
            Responses(arrays["source"], **about["source"]),
            arrays.get("latents"),
            unflatten_dict(flat, sep="/"),
            tuple(about["kinds"]),
            about["asks"],
            about["name"],
            about["knows_siblings"],
        )
