"""Simulates families whose suspects are innocent, and counts how often a p-value accuses them.

python -m tests.faults.nulls --families 10000 --page docs/reliability.md
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from mgmp_jax.config import EXTENDED
from mgmp_jax.methods import MGMP, Fitted, Similarity, attribution
from mgmp_jax.methods.candidates import Candidates
from mgmp_jax.report import conformal_p
from mgmp_jax.similarities import SIMILARITIES
from tests.families import Family
from tests.faults import page

SIBLINGS = CALIBRATION = 19
QUERIES, WIDTH = 60, 2
LEVELS = 0.05, 0.1
SUSPECTS = ("unrelated", "descendant of a sibling", "sibling", "alike to all")
CONTROLS = ("none", "well chosen", "badly chosen")
AGAINST_THE_RULES = "of one sibling"
"""Controls that the documentation rules out: descendants of a candidate."""

FITTED = 100
"""Suspects, with calibration models of their own, that methods fitted to one source read."""
QUICK = EXTENDED.replace(epochs=10)
"""MGMP: how well it is trained changes how often it finds, not how often it accuses."""


def lineage(
    families: int, seed: int = 0, controls: Sequence[str] = CONTROLS
) -> dict[tuple[str, str], np.ndarray]:
    """Draws p-values of the sibling test, for suspects that do not know the source's seed.

    Candidates differ in how much of their own they learnt, drawn alike for all of them. A suspect
    is unrelated, descends from a further sibling, is one itself, or is the mean of source and
    siblings. Controls, where there are some, are models of other tasks that know the same data,
    badly chosen ones that know nothing, or descendants of one of the siblings.

    Args:
        families: how many.
        seed: of everything.
        controls: which.

    Returns:
        An array ``[families]`` for each suspect and controls.
    """
    rng = np.random.default_rng(seed)

    def noise() -> np.ndarray:
        return rng.normal(size=(QUERIES, WIDTH))

    def tuned(start: np.ndarray) -> np.ndarray:
        return start @ rng.normal(size=(WIDTH, WIDTH)) + noise()

    found = {(suspect, chosen): [] for suspect in SUSPECTS for chosen in controls}
    for _ in range(families):
        data = noise()
        amount = rng.exponential(size=(SIBLINGS + 2, 1, 1))
        *models, further = data + amount * rng.normal(size=(SIBLINGS + 2, QUERIES, WIDTH))
        prepared = Candidates(np.stack(models), "others")
        owned = {
            "well chosen": [tuned(data), tuned(data)],
            "badly chosen": [noise(), noise()],
            AGAINST_THE_RULES: [tuned(models[-1]), tuned(models[-1])],
        }
        centres = {
            chosen: np.mean([prepared.scores(control) for control in owned[chosen]], axis=0)
            for chosen in controls
            if chosen != "none"
        }
        suspects = (tuned(data), tuned(further), further, np.mean(models, axis=0))
        for suspect, answers in zip(SUSPECTS, suspects, strict=True):
            scores = prepared.scores(answers)
            for chosen in controls:
                centred = scores - centres.get(chosen, 0)
                found[suspect, chosen].append(attribution.combine(centred))
    return {which: attribution.exact_p(np.stack(scores)) for which, scores in found.items()}


def knowledge(suspects: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Draws p-values of the methods of knowledge, for suspects like their calibration models.

    Args:
        suspects: how many, with calibration models of their own; a source for :data:`FITTED`.
        seed: of everything.

    Returns:
        An array ``[suspects]`` for each method.
    """
    found: dict[str, list[float]] = {}
    methods: dict[str, Fitted] = {}
    family = Family(QUERIES)
    for i in range(suspects):
        if i % FITTED == 0:
            family = Family(QUERIES, seed=seed + i)
            references = family.references(2)
            asked = {name: Similarity(name) for name in SIMILARITIES} | {"MGMP": MGMP(QUICK)}
            methods = {name: method.fit(references) for name, method in asked.items()}
        models = [family.tuned(family.noise()) for _ in range(CALIBRATION + 1)]
        for name, method in methods.items():
            suspect, *others = map(method.score, models)
            found.setdefault(name, []).append(conformal_p(suspect, others) or 0.0)
    return {name: np.array(p) for name, p in found.items()}


def bounds(number: int, level: float) -> tuple[float, float]:
    """Between which counts a rate of ``level`` falls, but for one time in 5,000."""
    low, high = stats.binom.ppf([1e-4, 1 - 1e-4], number, level)
    return float(low), float(high)


def table(found: Mapping[str, np.ndarray]) -> tuple[str, list[str]]:
    """Makes a table of the rates at :data:`LEVELS`, and names what is above its bound."""
    lines, above = [], []
    for name, p in found.items():
        cells = []
        for level in LEVELS:
            count, (_, high) = int(np.sum(p <= level + 1e-9)), bounds(len(p), level)
            cells += [f"{count / len(p):.4f}", f"{high / len(p):.4f}"]
            above += [f"{name}, {level}: {count} of {len(p)}"] * (count > high)
        lines.append([name, f"{len(p):,}", *cells])
    of_levels = [f"{what} {level}" for level in LEVELS for what in ("p ≤", "at most, for")]
    return page.markdown(["p-value of", "innocent suspects", *of_levels], lines), above


def main() -> int:
    """Draws all p-values; 1 where one accuses too often under the rules of the documentation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--page", type=Path, help="a page whose table is made anew")
    args = parser.parse_args()
    drawn = lineage(args.families, args.seed, (*CONTROLS, AGAINST_THE_RULES))
    found = {
        f"sibling test, suspect: {suspect}, controls: {controls}": p
        for (suspect, controls), p in drawn.items()
    }
    made, above = table({**found, **knowledge(args.families, args.seed)})
    sys.stdout.write("\n".join([made, *above, ""]))
    if args.page:
        page.write(args.page, "nulls", made)
    return int(any(AGAINST_THE_RULES not in name for name in above))


if __name__ == "__main__":
    sys.exit(main())
