"""A trained MGMP with its query set: scores and judges a suspect from its responses."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from mgmp_jax import files, mgmp
from mgmp_jax.checkpoint import Checkpoints
from mgmp_jax.config import MGMPConfig
from mgmp_jax.fragments import check_latents, prepare
from mgmp_jax.responses import Responses

__all__ = ["Judgement", "Verifier"]


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What a verifier says of one suspect.

    Args:
        score: DNA score, the mean of the fragment scores, from 0 to 1.
        threshold: ``delta``. The verdict is homologous for a score of at least ``delta``, not
            homologous for one of at most ``1 - delta``, else inconclusive.
        verdict: in words.
        p_value: share of non-homologous calibration models that score at least as high, the
            suspect counted among them; ``None`` where there are none.
        num_calibration: how many there are; ``p_value`` is never below 1 / (that + 1).
    """

    score: float
    threshold: float
    verdict: Literal["homologous", "not homologous", "inconclusive"]
    p_value: float | None
    num_calibration: int


class Verifier:
    """Scores suspects against one source model.

    Args:
        config: of the trained MGMP.
        variables: from :func:`mgmp_jax.mgmp.fit`.
        queries: the query set, uint8 images ``[n, h, w, 3]`` or token ids ``[n, l]``, in the order
            of the responses.
        source: the source's responses on it.
        latents: of a fixed generator, ``[n, z]``, where :func:`mgmp_jax.mgmp.fit` got them.
        calibration: DNA scores of non-homologous models that trained no part of ``variables``.

    Raises:
        ValueError: the source's responses are not on these queries, or the latents are missing
            or do not fit.
    """

    def __init__(
        self,
        config: MGMPConfig,
        variables: Any,
        queries: np.ndarray,
        source: Responses,
        latents: np.ndarray | None = None,
        calibration: Sequence[float] = (),
    ) -> None:
        source.check_queries(queries)
        self.config, self.variables, self.queries, self.source = config, variables, queries, source
        self.calibration = tuple(float(score) for score in calibration)
        if config.generator is not None:
            latents = mgmp.generate(config, variables, queries, source.values.shape[1])
        self.latents = latents
        check_latents(config, latents, len(source))

    def fragment_scores(self, suspect: Responses) -> np.ndarray:
        """``f_p`` for each query, ``[n]``: near 1 where the fragment looks homologous (Eq. 9).

        Raises:
            ValueError: the suspect answered other queries, or gave another kind of response.
        """
        return mgmp.fragment_scores(self.config, self.variables, self.latents, self.source, suspect)

    def score(self, suspect: Responses) -> float:
        """DNA score: the mean of the fragment scores."""
        return float(np.mean(self.fragment_scores(suspect), dtype=np.float64))

    def judge(self, suspect: Responses, threshold: float = 0.9) -> Judgement:
        """Score, p-value and verdict.

        Args:
            suspect: its responses on :attr:`queries`.
            threshold: ``delta``, from 0.5 to 1; the paper's example is 0.9.

        Raises:
            ValueError: the threshold is out of range, or as for :meth:`fragment_scores`.
        """
        if not 0.5 <= threshold <= 1:
            raise ValueError(f"threshold must be from 0.5 to 1, got {threshold}")
        score = self.score(suspect)
        if score >= threshold:
            verdict = "homologous"
        elif score <= 1 - threshold:
            verdict = "not homologous"
        else:
            verdict = "inconclusive"
        m, p_value = len(self.calibration), None
        if m:
            p_value = (1 + sum(other >= score for other in self.calibration)) / (m + 1)
        return Judgement(score, threshold, verdict, p_value, m)

    def calibrate(self, non_homologous: Sequence[Responses]) -> Verifier:
        """The same verifier with calibration scores of these models.

        They must have trained no part of it, and should be such as an innocent suspect could
        be: same architecture, similar tasks, similar training.
        """
        scores = [self.score(model) for model in non_homologous]
        return Verifier(
            self.config, self.variables, self.queries, self.source, self.latents, scores
        )

    def save(self, folder: str | Path) -> None:
        """Writes everything to a folder, in place of what was there.

        JSON, plain arrays and an Orbax checkpoint.

        Raises:
            OSError: the disk is full or the folder cannot be written.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("verifier.json", "latents.npy"):
            (folder / name).unlink(missing_ok=True)
        np.save(folder / "queries.npy", self.queries)
        if self.latents is not None:
            np.save(folder / "latents.npy", self.latents)
        self.source.save(folder / "source.npz")
        Checkpoints(folder / "weights", keep=1).save(0, self.variables)
        about = {"config": dataclasses.asdict(self.config), "calibration": self.calibration}
        files.write_json(folder / "verifier.json", about)

    @classmethod
    def load(cls, folder: str | Path) -> Verifier:
        """Reads what :meth:`save` wrote.

        Raises:
            FileNotFoundError: there is no verifier in the folder.
            ValueError: a part of it is damaged.
        """
        folder = Path(folder)
        if not (folder / "verifier.json").is_file():
            raise FileNotFoundError(
                f"no verifier in {folder}: it would hold verifier.json. experiments/cifar.py "
                "writes one for each trained MGMP"
            )
        try:
            about = json.loads((folder / "verifier.json").read_text())
            config = MGMPConfig(**about["config"])
            queries = np.load(folder / "queries.npy", allow_pickle=False)
            has_latents = (folder / "latents.npy").is_file()
            latents = np.load(folder / "latents.npy", allow_pickle=False) if has_latents else None
            calibration = about["calibration"]
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise ValueError(
                f"the verifier in {folder} is damaged: {error!r}. Delete that folder to make it "
                "again"
            ) from error
        source = Responses.load(folder / "source.npz")
        # A generator that is trained comes after what is prepared, a fixed one before.
        fixed = latents if config.generator is None else None
        width = prepare(config, source, source, fixed)[0].shape[1]
        like = jax.eval_shape(lambda: mgmp.init(config, queries, width, jax.random.key(0)))
        variables = Checkpoints(folder / "weights").restore(like)
        return cls(config, variables, queries, source, latents, calibration)
