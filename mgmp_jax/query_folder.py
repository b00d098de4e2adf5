"""A folder of frozen query sets: what will be asked, written down before a suspect is seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mgmp_jax import files
from mgmp_jax.queries import QuerySet
from mgmp_jax.seal import unseal, write_sealed
from mgmp_jax.stamps import now

__all__ = ["QueryFolder"]

_FORMAT = "mgmp_jax.queries.v1"
_FILE = "queries.json"


@dataclasses.dataclass(frozen=True)
class QueryFolder:
    """Query sets by name, with the time at which they were frozen.

    Args:
        sets: the query sets, by names such as :data:`mgmp_jax.queries.TRAINING`.
        created: when, in ISO 8601.
    """

    sets: Mapping[str, QuerySet]
    created: str

    @classmethod
    def freeze(cls, folder: str | Path, sets: Mapping[str, QuerySet]) -> QueryFolder:
        """Writes query sets to a folder that holds none yet.

        Args:
            folder: where ``queries.json`` and a file of each set are written.
            sets: the query sets by name.

        Raises:
            FileExistsError: the folder holds query sets already, or other files of their names;
                they stay as they are.
            ValueError: a name has slashes.
            OSError: the disk is full or the folder cannot be written.
        """
        folder = Path(folder)
        if (folder / _FILE).exists():
            raise FileExistsError(
                f"{folder} holds frozen queries already, which stay as they are; choose another "
                "folder"
            )
        if wrong := [name for name in sets if Path(name).name != name or "\\" in name]:
            raise ValueError(f"query sets are files: name them without slashes, got {wrong[0]!r}")
        created = now()
        about = {
            name: {
                "file": f"{name}.npz",
                "modality": queries.modality,
                "count": len(queries),
                "digest": queries.digest,
            }
            for name, queries in sets.items()
        }
        for name in sets:
            if (folder / f"{name}.npz").exists() and not _is_frozen(folder, about[name]):
                raise FileExistsError(
                    f"{folder / name}.npz is there and holds something else; choose another folder"
                )
        for name, queries in sets.items():
            files.write_arrays(folder / f"{name}.npz", _to_arrays(queries), about[name])
        write_sealed(folder / _FILE, {"format": _FORMAT, "created": created, "sets": about})
        return cls(dict(sets), created)

    @classmethod
    def load(cls, folder: str | Path) -> QueryFolder:
        """Reads what :meth:`freeze` wrote.

        Raises:
            FileNotFoundError: there are no frozen queries in the folder.
            ValueError: they are damaged, or not what was frozen.
        """
        path = Path(folder) / _FILE
        if not path.exists():
            raise FileNotFoundError(f"no queries in {folder}; `mgmp queries` freezes some")
        try:
            found = unseal(files.read_bytes(path))
            if found["format"] != _FORMAT:
                raise ValueError(f"its format is {found['format']!r}, expected {_FORMAT!r}")
            sets = {name: _read(Path(folder), about) for name, about in found["sets"].items()}
            return cls(sets, str(found["created"]))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(
                f"the queries in {folder} are damaged ({error}); freeze them again, and record "
                "all models on them"
            ) from error

    def created_of(self, digests: Iterable[str]) -> str:
        """Gives the time of freezing to whom asked these queries and no others.

        Args:
            digests: of the query sets that were asked.

        Raises:
            ValueError: other queries were asked.
        """
        own = {queries.digest for queries in self.sets.values()}
        if others := set(digests) - own:
            raise ValueError(
                f"the suspect was asked other queries (digest {min(others)[:12]}) than were frozen "
                f"({', '.join(sorted(digest[:12] for digest in own))}); give their own folder"
            )
        return self.created


def _to_arrays(queries: QuerySet) -> dict[str, np.ndarray]:
    if queries.modality != "texts":
        return {"inputs": queries.inputs}
    texts = [text.encode("utf-8", "surrogatepass") for text in queries.inputs]
    return {
        "bytes": np.frombuffer(b"".join(texts), np.uint8),
        "lengths": np.array([len(text) for text in texts], np.int64),
    }


def _is_frozen(folder: Path, about: Mapping[str, Any]) -> bool:
    """Says whether a file holds these queries: a freeze that was cut off is taken up."""
    try:
        return _read(folder, about).digest == about["digest"]
    except (KeyError, TypeError, AttributeError, ValueError, OSError):
        return False


def _read(folder: Path, about: Mapping[str, Any]) -> QuerySet:
    arrays, _ = files.read_arrays(folder / Path(about["file"]).name)
    if about["modality"] == "texts":
        ends = np.cumsum(arrays["lengths"])
        whole = arrays["bytes"].tobytes()
        starts = ends - arrays["lengths"]
        texts = [
            whole[a:b].decode("utf-8", "surrogatepass") for a, b in zip(starts, ends, strict=True)
        ]
        queries = QuerySet.texts(texts)
    elif about["modality"] == "images":
        queries = QuerySet.images(arrays["inputs"])
    else:
        queries = QuerySet.rows(arrays["inputs"])
    if queries.digest != about["digest"]:
        raise ValueError(f"{about['file']} holds other queries than were frozen")
    return queries
