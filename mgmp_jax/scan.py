"""Many suspects: a ranked table with control of the false discovery rate."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from scipy import stats

from mgmp_jax import files
from mgmp_jax.answers import load_answers
from mgmp_jax.verifier import Verifier

__all__ = ["COLUMNS", "fewest_found", "find_suspects", "rank", "scan", "write_table"]

_QUESTIONS = ("lineage", "knowledge")
COLUMNS = (
    "file",
    "suspect",
    *(f"{q}_{column}" for q in _QUESTIONS for column in ("verdict", "score", "p_value", "q_value")),
    "error",
)
"""Of the table. A q-value is a p-value adjusted by Benjamini and Hochberg for all suspects."""


def fewest_found(suspects: int, m: int, alpha: float) -> int:
    """Computes how many suspects Benjamini-Hochberg finds at least, if any.

    With ``m`` calibration models or siblings no p-value is below ``1 / (m + 1)``, so ``k`` of
    ``suspects`` can be found only where ``m + 1 >= suspects / (alpha k)``.

    Args:
        suspects: how many there are.
        m: how many calibration models or siblings.
        alpha: the false discovery rate.

    Returns:
        The least number; above ``suspects`` nothing can be found.
    """
    return math.ceil(round(suspects / (alpha * (m + 1)), 9))


def find_suspects(paths: Sequence[str | Path]) -> list[Path]:
    """Lists the files of answers among files and below folders, each once, in order.

    Args:
        paths: files, or folders of ``.npz``.

    Raises:
        FileNotFoundError: there is no such file or folder, or no ``.npz`` in a folder.
        ValueError: none is given.
    """
    if not paths:
        raise ValueError("give at least one file of answers, or a folder of them; got none")
    found: dict[Path, Path] = {}
    for path in map(Path, paths):
        if not path.exists():
            raise FileNotFoundError(f"no file or folder {path}")
        within = sorted(path.rglob("*.npz")) if path.is_dir() else [path]
        if not within:
            raise FileNotFoundError(f"no .npz of answers in {path}; `mgmp record` writes them")
        for one in within:
            found.setdefault(one.resolve(), one)
    return list(found.values())


def scan(
    verifier: Verifier,
    suspects: Sequence[Path],
    journal: str | Path,
    *,
    threshold: float = 0.9,
    level: float = 0.05,
) -> Iterator[dict[str, Any]]:
    """Verifies one suspect after the other; those in the journal are not verified again.

    A file that was changed since, or could not be verified, is verified again.

    Args:
        verifier: that is asked.
        suspects: files of answers.
        journal: a file to which every row is appended as it is made.
        threshold: as of :meth:`Verifier.verify`.
        level: as of :meth:`Verifier.verify`.

    Yields:
        A row of :data:`COLUMNS` a suspect, without q-values. Of a file that cannot be verified,
        ``error`` says why.

    Raises:
        ValueError: the journal is damaged, of another verifier, threshold or level, or holds
            suspects that are not asked for: q-values count all tests that were made.
        OSError: the disk is full or the folder cannot be written.
    """
    head = {"verifier": verifier.digest, "threshold": threshold, "level": level}
    journal = Path(journal)
    before = _read_journal(journal, head)
    forgotten = sorted(set(before or {}) - {str(path) for path in suspects})
    if forgotten:
        raise ValueError(
            f"{journal} holds {len(forgotten)} suspects that are not given now, the first is "
            f"{forgotten[0]}. All tests that were made count: give them too, or choose another "
            "--out"
        )
    journal.parent.mkdir(parents=True, exist_ok=True)
    with journal.open("a", encoding="utf-8") as file:
        if before is None:
            file.write(json.dumps(head) + "\n")
        for path in suspects:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            row = (before or {}).get(str(path))
            if row is None or row["sha256"] != digest or row.get("error") is not None:
                row = {**_verify(verifier, path, threshold, level), "sha256": digest}
                file.write(json.dumps(row) + "\n")
                file.flush()
            yield row


def rank(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Adds q-values and sorts: what most surely depends on the source first.

    Args:
        rows: of :func:`scan`.

    Returns:
        The same rows with all of :data:`COLUMNS`, sorted by lineage, then by knowledge.
    """
    ranked = [dict.fromkeys(COLUMNS) | row for row in rows]
    for question in _QUESTIONS:
        tested = [row for row in ranked if row[f"{question}_p_value"] is not None]
        if tested:
            q = stats.false_discovery_control([row[f"{question}_p_value"] for row in tested])
            for row, value in zip(tested, q, strict=True):
                row[f"{question}_q_value"] = float(value)
    return sorted(ranked, key=_place)


def write_table(path: str | Path, rows: Sequence[dict[str, Any]]) -> None:
    """Writes rows as CSV or Parquet, by the ending of the path.

    Args:
        path: of the file, ``.csv`` or ``.parquet``.
        rows: of :func:`rank`.

    Raises:
        ValueError: the path has another ending.
        ImportError: Parquet needs pyarrow; the message says what to install.
        OSError: the disk is full or the folder cannot be written.
    """
    path = Path(path)
    if path.suffix == ".csv":
        import csv

        with files.replacing(path) as unfinished, unfinished.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows({name: _plain(row[name]) for name in COLUMNS} for row in rows)
    elif path.suffix == ".parquet":
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError as error:
            raise ImportError("Parquet needs pyarrow: pip install 'mgmp_jax[cli]'") from error
        numbers = ("_score", "_p_value", "_q_value")
        fields = [
            pa.field(name, pa.float64() if name.endswith(numbers) else pa.string())
            for name in COLUMNS
        ]
        with files.replacing(path) as unfinished:
            pq.write_table(pa.Table.from_pylist(list(rows), pa.schema(fields)), unfinished)
    else:
        raise ValueError(f"the table must end in .csv or .parquet, got {path}")


def _plain(cell: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@") else cell


def _verify(verifier: Verifier, path: Path, threshold: float, level: float) -> dict[str, Any]:
    row: dict[str, Any] = {"file": str(path)}
    try:
        report = verifier.verify(load_answers(path), threshold=threshold, level=level)
    except (ValueError, OSError) as error:
        return {**row, "error": str(error)}
    row["suspect"] = report.suspect
    for question in _QUESTIONS:
        answer = getattr(report, question)
        row[f"{question}_verdict"] = answer.verdict
        row[f"{question}_score"] = answer.score
        row[f"{question}_p_value"] = answer.p_value
    return row


def _read_journal(path: Path, head: dict[str, Any]) -> dict[str, dict[str, Any]] | None:
    """Rows by file; a last line that was cut off is left out, and taken off the journal."""
    if not path.exists():
        return None
    whole, _, cut = path.read_bytes().rpartition(b"\n")
    try:
        lines = [files.parse_json(line) for line in whole.splitlines()]
        rows = {row["file"]: row for row in lines[1:] if row["sha256"]}
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(
            f"the journal {path} is damaged ({error}); delete it to scan anew"
        ) from error
    if cut:
        with path.open("rb+") as file:
            file.truncate(len(whole) + bool(whole))
    if not lines:
        return None
    if lines[0] != head:
        raise ValueError(
            f"{path} was begun with another verifier, threshold or level; choose another --out, or "
            "delete it to scan anew"
        )
    return rows


def _place(row: dict[str, Any]) -> tuple[Any, ...]:
    def ascending(value: float | None) -> tuple[bool, float]:
        return value is None, value or 0.0

    return (
        *ascending(row["lineage_p_value"]),
        *ascending(None if row["lineage_score"] is None else -row["lineage_score"]),
        *ascending(row["knowledge_p_value"]),
        *ascending(None if row["knowledge_score"] is None else -row["knowledge_score"]),
        row["file"],
    )
