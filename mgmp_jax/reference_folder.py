"""A folder of recorded answers, which says by its names what each model is for."""

from __future__ import annotations

import re
from pathlib import Path

from mgmp_jax import folders
from mgmp_jax.answers import Answers, load_answers
from mgmp_jax.references import Pair, ReferenceSet

__all__ = ["read_references"]

_LAYOUT = (
    "expected source.npz, pool/TASK/homologous*.npz, pool/TASK/non_homologous*.npz, "
    "siblings/*.npz, controls/*.npz, calibration/*.npz"
)


def read_references(folder: str | Path) -> ReferenceSet:
    """Reads the answers of all models that an owner knows.

    Args:
        folder: ``source.npz`` is the source; of each task in ``pool/TASK/``, ``homologous*.npz``
            started from it and ``non_homologous*.npz`` did not; ``siblings/``, ``controls/`` and
            ``calibration/`` hold a file a model. Several files of a side are taken in the order of
            their names, numbers in them by size; the last of a side stands for its checkpoints.
            Hidden files are left out.

    Raises:
        FileNotFoundError: there is no such folder, or no source in it.
        ValueError: a file has a name that says nothing, is damaged, or does not fit the others.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}; {_LAYOUT}")
    groups: dict[str, list[Answers]] = {"siblings": [], "controls": [], "calibration": []}
    pairs: dict[str, dict[str, list[Answers]]] = {}
    source: Answers | None = None
    for path in sorted(folders.walk(folder), key=_natural):
        place = path.relative_to(folder).parts
        if any(part.startswith(".") for part in place):
            continue
        if path.is_dir() and path.suffix != ".npz":
            continue
        side = path.stem.partition("homologous")[0]
        if place == ("source.npz",):
            source = load_answers(path)
        elif path.suffix == ".npz" and len(place) == 2 and place[0] in groups:
            groups[place[0]].append(load_answers(path))
        elif (
            path.suffix == ".npz"
            and len(place) == 3
            and place[0] == "pool"
            and "homologous" in path.stem
            and side in ("", "non_")
        ):
            pair = pairs.setdefault(place[1], {"": [], "non_": []})
            pair[side].append(load_answers(path))
        else:
            if path.suffix in (".npy", ".parquet", ".safetensors", ".csv"):
                raise ValueError(
                    f"{path} does not say which queries it answers, nor of what kind; take it over "
                    f"first: mgmp record --model recorded:{path} --queries queries/ --kind KIND "
                    f"--out {path.with_suffix('.npz')}, then move it away"
                )
            raise ValueError(f"{path} has a name that says nothing here; {_LAYOUT}")
    if source is None:
        raise FileNotFoundError(f"no source.npz in {folder}; {_LAYOUT}")
    for task, pair in pairs.items():
        for side, models in pair.items():
            if not models:
                raise ValueError(
                    f"{folder / 'pool' / task} holds no {side}homologous*.npz: MGMP learns from "
                    "models of both sides of a task; add one, or take the task away"
                )
    others = groups["siblings"], groups["controls"], groups["calibration"]
    try:
        pool = [Pair(task, pair[""], pair["non_"]) for task, pair in pairs.items()]
        return ReferenceSet(source, pool, *others)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error


def _natural(path: Path) -> list[tuple[int, str]]:
    """A key by which 2 comes before 10."""
    return [
        (int(part or -1), "") if i % 2 else (0, part)
        for i, part in enumerate(re.split(r"(\d+)", str(path)))
    ]
