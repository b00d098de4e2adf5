"""The DNA file: what of a verifier can be shown to anybody, with the same bytes every time."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from mgmp_jax import files
from mgmp_jax.config import MGMPConfig
from mgmp_jax.methods import Fitted, FittedMGMP, FittedSiblingTest, FittedSimilarity, Kept
from mgmp_jax.queries import QuerySet
from mgmp_jax.seal import seal, unseal
from mgmp_jax.stamps import check_time, library_version
from mgmp_jax.tensors import format_tensors, parse_tensors
from mgmp_jax.verifier import Verifier, kind_of

__all__ = ["Dna", "check_dna", "read_dna", "write_dna"]

_FORMAT = "mgmp_jax.dna.v1"
_JSON, _TENSORS = "dna.json", "dna.safetensors"
_FIELDS = {
    "library": ("name", "version"),
    "query_sets": ("name", "digest", "modality", "count"),
    "methods": ("kind", "name", "question", "query_set", "config", "fragments", "withheld"),
    "verifier": ("file", "sha256"),
}
_ALIKE = 0.8
_LARGEST_JSON = 2**20


@dataclasses.dataclass(frozen=True, eq=False)
class Dna:
    """The public part of a verifier; :func:`write_dna` makes it, :func:`read_dna` reads it.

    Args:
        about: what ``dna.json`` holds, as its schema says.
        fragments: of the source ``[n, o]``, by the name of the tensor (Eq. 4).
    """

    about: Mapping[str, Any]
    fragments: Mapping[str, np.ndarray]

    @property
    def digest(self) -> str:
        """SHA-256 of all of it: ``dna.json`` holds the digest of the fragments."""
        return self.about["sha256"]

    def __repr__(self) -> str:
        names = [method["name"] for method in self.about["methods"]]
        return f"Dna(source {self.about['source']!r}, methods {names}, {self.digest[:12]})"


def write_dna(
    path: str | Path,
    verifier: Verifier,
    *,
    created: str,
    queries: QuerySet | Mapping[str, QuerySet] | None = None,
) -> Dna:
    """Writes the public part of a verifier: its protocol, and the DNA of the source.

    It holds no query, no response and no latent. Where the fragments of a method are responses,
    or hold them, they are withheld and the file says why. The same verifier, time and queries
    give the same bytes. DNA that is there already is never replaced by another.

    Args:
        path: of a zip where it ends with ``.zip``, else of a folder.
        verifier: the private part, which stays where it is.
        created: when, in ISO 8601 with a time zone.
        queries: the query sets that were asked, by which the file says what kind they are; of
            each only modality, number and digest are written.

    Returns:
        What was written.

    Raises:
        ValueError: there is no DNA that could be shown, the queries are not those that were
            asked, or the time is none.
        FileExistsError: there is another DNA, which stays as it is.
        OSError: the disk is full or the folder cannot be written.

    Warns:
        UserWarning: fragments are almost the source's responses.
    """
    about, fragments = _describe(verifier, check_time(created), queries)
    for method in about["methods"]:
        _warn_if_alike(method["name"], method.get("likeness"))
    tensors = format_tensors(fragments)
    about["tensors"] = {"file": _TENSORS, "sha256": hashlib.sha256(tensors).hexdigest()}
    text = seal(about)
    path = Path(path)
    if path.suffix.lower() == ".zip":
        _write_once(path, {path: _zip({_JSON: text, _TENSORS: tensors})})
    else:
        _write_once(path, {path / _TENSORS: tensors, path / _JSON: text})
    return _parse(text, tensors)


def read_dna(path: str | Path) -> Dna:
    """Reads what :func:`write_dna` wrote; nothing in it is ever executed or unpacked to disk.

    Args:
        path: of the folder or the zip.

    Raises:
        FileNotFoundError: there is no DNA file.
        ValueError: it is damaged, be it by a single bit, or no DNA file.
    """
    path = Path(path)
    if not path.exists() or (path.is_dir() and not (path / _JSON).exists()):
        raise FileNotFoundError(f"no DNA at {path}: it would be a zip, or a folder with {_JSON}")
    raw = b"" if path.is_dir() or not path.is_file() else path.read_bytes()
    try:
        return _parse(*(_read_folder(path) if path.is_dir() else _read_zip(raw)))
    except Exception as error:  # damage takes many forms in a zip
        raise ValueError(
            f"the DNA at {path} is damaged or of another version ({str(error)[:200]}); get it "
            "again from its owner"
        ) from error


def check_dna(dna: Dna, verifier: Verifier) -> None:
    """Checks that a DNA file was made of a private verifier, by making it again.

    Fragments may differ by what other hardware rounds otherwise, a ten-thousandth of the largest.

    Args:
        dna: the public part.
        verifier: the private part that it is said to be made of.

    Raises:
        ValueError: it was made of another verifier; the message says what differs.
    """
    modalities = {one["name"]: one["modality"] for one in dna.about["query_sets"]}
    about, fragments = _describe(verifier, dna.about["created"], None)
    for one in about["query_sets"]:  # a verifier knows no modality
        one["modality"] = modalities.get(one["name"])
    for name in ("verifier", "source", "query_sets", "methods", "calibration"):
        if dna.about[name] != about[name]:
            raise ValueError(
                f"the DNA was made of another verifier: its {name} is {_short(dna.about[name])}, "
                f"the verifier's {_short(about[name])}"
            )
    for name, own in fragments.items():
        largest = float(np.abs(own).max())
        if not np.allclose(dna.fragments[name], own, rtol=0, atol=1e-4 * largest):
            raise ValueError(
                f"the DNA holds other fragments than the verifier gives: {name} differs by up to "
                f"{np.abs(dna.fragments[name] - own).max():.3g}, the largest is {largest:.3g}"
            )


def _write_once(path: Path, contents: Mapping[Path, bytes]) -> None:
    """Writes files, of which the last one makes the DNA; before it is there, nothing is."""
    last = list(contents)[-1]
    if last.exists() and files.read_bytes(last) != contents[last]:
        raise FileExistsError(
            f"{path} holds another DNA already, which stays as it is; choose another place"
        )
    for file, raw in contents.items():
        with files.replacing(file) as unfinished:
            unfinished.write_bytes(raw)


def _describe(
    verifier: Verifier, created: str, queries: QuerySet | Mapping[str, QuerySet] | None
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What ``dna.json`` says but for the digests of the files, and the fragments to be shown."""
    methods, fragments, asked = [], {}, {}
    for i, method in enumerate(verifier.methods):
        digest, count = _asked(method)
        asked[method.asks] = {
            "name": method.asks,
            "digest": digest,
            "modality": _modality(method.asks, digest, count, queries),
            "count": count,
        }
        one, made = _describe_method(method)
        if made is not None:
            fragments[f"methods/{i}/source"] = made
            one["fragments"] = {"tensor": f"methods/{i}/source", "shape": list(made.shape)}
        methods.append(one)
    if not fragments:
        reasons = [one["withheld"] for one in methods if one["withheld"]]
        raise ValueError(
            f"there is no DNA to show: {reasons[0] if reasons else 'the verifier has no MGMP'}"
        )
    about = {
        "format": _FORMAT,
        "created": created,
        "library": {"name": "mgmp_jax", "version": library_version()},
        "source": verifier.source_name,
        "query_sets": list(asked.values()),
        "methods": methods,
        "calibration": len(verifier.calibration),
        "verifier": {"file": "verifier.npz", "sha256": verifier.digest},
    }
    return about, fragments


def _describe_method(method: Fitted) -> tuple[dict[str, Any], np.ndarray | None]:
    about: dict[str, Any] = {
        "kind": kind_of(method),
        "name": method.name,
        "question": method.question,
        "query_set": method.asks,
        "config": None,
        "fragments": None,
        "withheld": None,
    }
    about |= cast(Kept, method).settings
    if not isinstance(method, FittedMGMP):
        return about, None
    about["responses"] = method.source.kind
    about["withheld"] = _why_withheld(method.config, method.latents)
    if about["withheld"]:
        return about, None
    fragments = method.source_fragments()
    about["likeness"] = _likeness(fragments, method.source.values)
    return about, fragments


def _why_withheld(config: MGMPConfig, latents: np.ndarray | None) -> str | None:
    """Why fragments may not be shown; ``None`` where they may."""
    if latents is None:
        return "without latents or background the fragments are the source's responses themselves"
    if config.assemble == "concatenation":
        return "under concatenation the fragments hold the latents and the source's responses"
    return None


def _likeness(fragments: np.ndarray, responses: np.ndarray) -> float | None:
    """The mean absolute correlation of fragments and responses; ``None`` of unequal widths."""
    if responses.shape != fragments.shape:
        return None
    one, other = (x - x.mean(axis=0, dtype=np.float64) for x in (fragments, responses))
    scale = np.linalg.norm(one, axis=0) * np.linalg.norm(other, axis=0)
    alike = np.abs(np.sum(one * other, axis=0)) / np.where(scale > 0, scale, 1)
    return round(float(np.mean(alike)), 3)


def _warn_if_alike(name: str, likeness: float | None) -> None:
    """Warns where fragments and responses differ by little more than their scale."""
    if likeness is not None and likeness > _ALIKE:
        warnings.warn(
            f"the fragments of {name} are almost the source's responses (correlation "
            f"{likeness:.3f}), which the DNA file shows to whoever reads it: background or latents "
            "explain too little; give the reference set siblings, or do not publish it",
            UserWarning,
            stacklevel=3,
        )


def _asked(method: Fitted) -> tuple[str, int]:
    """The digest of the query set that a method asks, and how many queries it has."""
    if isinstance(method, FittedSiblingTest):
        return method.queries, method.candidates.shape[1]
    if isinstance(method, FittedMGMP | FittedSimilarity):
        return method.source.queries, len(method.source)
    raise ValueError(f"{type(method).__name__} is no method of this library: it has no DNA")


def _modality(
    name: str, digest: str, count: int, queries: QuerySet | Mapping[str, QuerySet] | None
) -> str | None:
    given = queries if isinstance(queries, QuerySet) else (queries or {}).get(name)
    if given is None:
        return None
    if (given.digest, len(given)) != (digest, count):
        raise ValueError(
            f"the query set {name!r} is not the one that was asked (digests {given.digest[:12]} "
            f"and {digest[:12]}); give the frozen one"
        )
    return given.modality


def _parse(text: bytes, tensors: bytes) -> Dna:
    about = unseal(text)
    if about["format"] != _FORMAT:
        raise ValueError(f"its format is {str(about['format'])[:40]!r}, expected {_FORMAT!r}")
    if hashlib.sha256(tensors).hexdigest() != about["tensors"]["sha256"]:
        raise ValueError(f"{_TENSORS} is not what was written: its SHA-256 differs")
    fragments = parse_tensors(tensors)
    shapes = {name: list(array.shape) for name, array in fragments.items()}
    said = [one["fragments"] for one in about["methods"] if one["fragments"] is not None]
    if shapes != {one["tensor"]: one["shape"] for one in said}:
        raise ValueError(f"{_TENSORS} holds other fragments than {_JSON} says")
    check_time(about["created"])
    for part, names in _FIELDS.items():
        for one in about[part] if isinstance(about[part], list) else [about[part]]:
            missing = [name for name in names if name not in one]
            if missing:
                raise ValueError(f"{_JSON} lacks {missing[0]!r} in {part}")
    _ = about["source"], about["calibration"]
    return Dna(about, fragments)


def _read_folder(folder: Path) -> tuple[bytes, bytes]:
    for name in (_JSON, _TENSORS):
        if not (folder / name).is_file():
            raise ValueError(f"{name} is missing")
    if (folder / _JSON).stat().st_size > _LARGEST_JSON:
        raise ValueError(f"{_JSON} is larger than {_LARGEST_JSON} bytes")
    return (folder / _JSON).read_bytes(), (folder / _TENSORS).read_bytes()


def _read_zip(raw: bytes) -> tuple[bytes, bytes]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        members = archive.infolist()
        if sorted(member.filename for member in members) != [_JSON, _TENSORS]:
            raise ValueError(f"expected {_JSON} and {_TENSORS} in it, and nothing else")
        for member in members:
            stored = member.compress_type == zipfile.ZIP_STORED
            sizes = {member.file_size, member.compress_size, min(member.file_size, len(raw))}
            if not stored or len(sizes) > 1:
                raise ValueError(f"{member.filename} is compressed; expected it stored as it is")
        if archive.getinfo(_JSON).file_size > _LARGEST_JSON:
            raise ValueError(f"{_JSON} is larger than {_LARGEST_JSON} bytes")
        return archive.read(_JSON), archive.read(_TENSORS)


def _zip(members: Mapping[str, bytes]) -> bytes:
    """A zip whose bytes depend on nothing but its members."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, raw in members.items():
            info = zipfile.ZipInfo(name)  # of 1980-01-01, stored
            info.create_system, info.external_attr = 3, 0o644 << 16
            archive.writestr(info, raw)
    return stream.getvalue()


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 200 else f"{text[:200]}..."
