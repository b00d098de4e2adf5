"""Many suspects: a ranked table with control of the false discovery rate."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib
import json
import logging
import math
import pickle
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy import stats

from mgmp_jax import files, folders
from mgmp_jax.adapters.frameworks import import_framework
from mgmp_jax.answers import Answers, load_answers
from mgmp_jax.answers_table import read_group, row_groups
from mgmp_jax.ray_cluster import connected
from mgmp_jax.sealed_lines import OfAnotherError, SealedLines
from mgmp_jax.store.attempt import adopt, settings, use_threads
from mgmp_jax.verdict_rules import check_limits
from mgmp_jax.verifier import Verifier

__all__ = ["COLUMNS", "Portion", "fewest_found", "find_suspects", "rank", "scan", "write_table"]

_FORMAT = "mgmp_jax.scan.v1"
_REMEDY = "delete it to scan anew"
_IN_A_TASK = 64  # suspects that a machine of a cluster takes on at least, where there are as many

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


@dataclasses.dataclass(frozen=True)
class Portion:
    """Some of the suspects in a file: what is read, or sent to another machine, at a time.

    Args:
        path: of a file of answers of one model, or of a table of many.
        group: the row group of a table.
        start: the row of its first suspect.
        count: how many suspects there are.
    """

    path: Path
    group: int | None = None
    start: int = 0
    count: int = 1

    @property
    def names(self) -> list[str]:
        """Of its suspects: the path, and of those in a table ``#`` and the row."""
        if self.group is None:
            return [str(self.path)]
        return [f"{self.path}#{self.start + i}" for i in range(self.count)]


def find_suspects(paths: Sequence[str | Path]) -> list[Portion]:
    """Lists the suspects in files and below folders, each file once, in order.

    Args:
        paths: files of answers or tables of them (``.parquet``), or folders of both. A table that
            an earlier scan wrote into a folder is passed over.

    Raises:
        FileNotFoundError: there is no such file or folder, or nothing in a folder.
        ValueError: none is given, or a ranking.
        ImportError: a table needs pyarrow.
    """
    if not paths:
        raise ValueError("give at least one file of answers, or a folder of them; got none")
    found: dict[Path, Path] = {}
    for path in map(Path, [paths] if isinstance(paths, str | Path) else paths):
        if not path.exists():
            raise FileNotFoundError(f"no file or folder {path}")
        within = [path]
        if path.is_dir():
            answers = (one for one in folders.walk(path) if one.suffix in (".npz", ".parquet"))
            within = sorted(one for one in answers if not _is_ranking(one))
        if not within:
            raise FileNotFoundError(
                f"no .npz of answers and no table of many (.parquet) in {path}; `mgmp record` "
                "writes answers"
            )
        elif _is_ranking(path):
            raise ValueError(f"{path} is a ranking that a scan wrote; give answers")
        for one in within:
            found.setdefault(one.resolve(), one)
    return [portion for path in found.values() for portion in _portions(path)]


def scan(
    verifier: Verifier,
    suspects: Sequence[Portion],
    journal: str | Path,
    *,
    threshold: float = 0.9,
    level: float = 0.05,
    cluster: str | None = None,
) -> Iterator[dict[str, Any]]:
    """Verifies one suspect after the other; those in the journal are not verified again.

    A suspect that was changed since, or could not be verified, is verified again, and its new row
    takes the place of the old one: q-values do not know how often it was tested. Of answers only
    one portion is in memory at a time; the rows stay small.

    Args:
        verifier: that is asked.
        suspects: what :func:`find_suspects` found.
        journal: a file to which every row is appended as it is made.
        threshold: as of :meth:`Verifier.verify`.
        level: as of :meth:`Verifier.verify`.
        cluster: the address of a Ray cluster whose machines see the files under the same paths,
            or ``"ray"`` for Ray on this machine alone; rows then come in any order.

    Yields:
        A row of :data:`COLUMNS` a suspect, without q-values. Of a suspect that cannot be verified,
        ``error`` says why.

    Raises:
        ValueError: a limit is out of range; or the journal is damaged, of another verifier,
            threshold or level, or holds suspects that are not asked for.
        BlockingIOError: another process scans into the journal.
        OSError: the disk is full or the folder cannot be written.
        ImportError: Ray is not installed.
        ConnectionError: there is no such cluster.
        ChildProcessError: machines of the cluster failed, again and again.
    """
    check_limits(threshold, level)
    rows: dict[str, dict[str, Any]] = {}
    head = {"format": _FORMAT, "verifier": verifier.digest, "threshold": threshold, "level": level}
    check = functools.partial(_check_head, head, journal)
    take_up = functools.partial(_take_up, rows)
    with SealedLines(Path(journal), head, check, take_up, _REMEDY) as lines:
        done = {name: row["sha256"] for name, row in rows.items() if row.get("error") is None}
        _check_all_given(done, suspects, journal)
        verify = functools.partial(
            _verify_portion, verifier=verifier, threshold=threshold, level=level
        )
        tasks = ((one, {n: done[n] for n in one.names if n in done}) for one in suspects)
        if cluster is None:
            found = (pair for task in tasks for pair in verify(*task))
        else:
            found = _on_cluster(verify, list(tasks), cluster)
        with contextlib.closing(found):
            for name, row in found:
                if row is not None:
                    lines.append(row)
                    rows[name] = row
                yield rows[name]


def rank(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Adds q-values and sorts: what most surely depends on the source first.

    Args:
        rows: of :func:`scan`.

    Returns:
        The same rows with all of :data:`COLUMNS`, sorted by lineage, then by knowledge. Files of
        equal contents are one suspect; who is not homologous has p = 1, so that q bounds the
        others' false discoveries. What UTF-8 cannot write has backslashes.
    """
    ranked = [
        {name: _writable(cell) for name, cell in (dict.fromkeys(COLUMNS) | row).items()}
        for row in rows
    ]
    for question in _QUESTIONS:
        value, said = f"{question}_p_value", f"{question}_verdict"
        tested, p = [row for row in ranked if row[value] is not None], {}
        for row in tested:
            p[row.get("sha256") or row["file"]] = row[value] if row[said] == "homologous" else 1.0
        if p:
            q = dict(zip(p, stats.false_discovery_control(list(p.values())), strict=True))
            for row in tested:
                row[f"{question}_q_value"] = float(q[row.get("sha256") or row["file"]])
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

        with (
            files.replacing(path) as unfinished,
            unfinished.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows({name: _plain(row[name]) for name in COLUMNS} for row in rows)
    elif path.suffix == ".parquet":
        pa: Any = import_framework("pyarrow", "'mgmp_jax[cli]'")
        pq: Any = import_framework("pyarrow.parquet", "'mgmp_jax[cli]'")
        fields = [
            pa.field(name, pa.float64() if name.endswith(("_score", "_value")) else pa.string())
            for name in COLUMNS
        ]
        with files.replacing(path) as unfinished:
            pq.write_table(pa.Table.from_pylist(list(rows), pa.schema(fields)), unfinished)
    else:
        raise ValueError(f"the table must end in .csv or .parquet, got {path}")


def _writable(cell: Any) -> Any:
    return cell.encode("utf-8", "backslashreplace").decode() if isinstance(cell, str) else cell


def _plain(cell: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@") else cell


def _portions(path: Path) -> Iterator[Portion]:
    counts = []
    if path.suffix == ".parquet":
        with contextlib.suppress(ValueError):  # reading it says why it is no table of answers
            counts = row_groups(path)
    if not any(counts):
        yield Portion(path)
        return
    start = 0
    for group, count in enumerate(counts):
        yield Portion(path, group, start, count)
        start += count


def _is_ranking(path: Path) -> bool:
    """Says whether a file is what :func:`write_table` writes."""
    if path.suffix != ".parquet" or not path.is_file():
        return False
    parquet: Any = import_framework("pyarrow.parquet", "'mgmp_jax[cli]'")
    try:
        return tuple(parquet.read_schema(path).names) == COLUMNS
    except Exception:  # damage takes many forms; reading it as answers says which
        return False


def _verify_portion(
    portion: Portion,
    done: Mapping[str, str | None],
    *,
    verifier: Verifier,
    threshold: float,
    level: float,
) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Gives each suspect's name and row; none where it is still what was verified before."""
    waiting = iter(portion.names)
    try:
        for digest, answers in _read(portion):
            name = next(waiting)
            if done.get(name) == digest:
                yield name, None
                continue
            row: dict[str, Any] = {"file": name, "sha256": digest}
            try:
                report = verifier.verify(answers(), threshold=threshold, level=level)
                row["suspect"] = report.suspect
                for question in _QUESTIONS:
                    answer = getattr(report, question)
                    row[f"{question}_verdict"] = answer.verdict
                    row[f"{question}_score"] = answer.score
                    row[f"{question}_p_value"] = answer.p_value
            except (ValueError, OSError) as error:
                row["error"] = str(error)
            yield name, row
    except (ValueError, OSError) as error:
        for name in waiting:
            yield name, {"file": name, "sha256": None, "error": str(error)}


def _on_cluster(
    verify: Callable[..., Iterator[tuple[str, dict[str, Any] | None]]],
    tasks: Sequence[tuple[Portion, Mapping[str, str | None]]],
    address: str,
) -> Generator[tuple[str, dict[str, Any] | None], None, None]:
    """Gives what ``verify`` gives for each task, by Ray Data, which repeats what a machine lost."""
    with connected(address) as ray:
        data: Any = importlib.import_module("ray.data")
        data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        blocks = min(len(tasks), -(-sum(portion.count for portion, _ in tasks) // _IN_A_TASK))
        items = data.from_items(
            [{"task": pickle.dumps(task)} for task in tasks], override_num_blocks=blocks
        )
        found = items.map(_work, fn_args=[ray.put(verify), settings()])
        try:
            for row in found.iter_rows():
                yield from json.loads(row["found"])
        except ray.exceptions.RayError as error:
            raise ChildProcessError(
                f"the cluster failed ({type(error).__name__}: {str(error)[:500]}); what was "
                "verified is in the journal: run the same command again"
            ) from error


def _work(row: Mapping[str, Any], verify: Any, given: Mapping[str, Any]) -> dict[str, str]:
    """Verifies a portion in a process of Ray's, which takes on one after the other."""
    use_threads(1)
    adopt(given)
    return {"found": json.dumps(list(_fetched(verify)(*pickle.loads(row["task"]))))}


@functools.lru_cache(maxsize=1)
def _fetched(reference: Any) -> Callable[..., Iterator[Any]]:
    """Fetches the verifier once a process."""
    return importlib.import_module("ray").get(reference)


def _read(portion: Portion) -> Iterator[tuple[str, Callable[[], Answers]]]:
    """Gives the digest of each suspect, and what reads its answers."""
    if portion.group is not None:
        yield from read_group(portion.path, portion.group, portion.count)
        return
    if portion.path.suffix == ".parquet":
        row_groups(portion.path)  # says why it is no table of answers
        raise ValueError(f"{portion.path} holds no models")
    raw = files.read_bytes(portion.path)
    yield hashlib.sha256(raw).hexdigest(), functools.partial(load_answers, portion.path)


def _take_up(rows: dict[str, Any], entry: Any) -> None:
    """Takes a line of the journal into ``rows``."""
    if "sha256" not in entry:
        raise ValueError("it is no row")
    rows[entry["file"]] = entry


def _check_head(head: Mapping[str, Any], journal: str | Path, entry: Any) -> None:
    if entry != head:
        raise OfAnotherError(
            f"{journal} was begun with another verifier, threshold or level; choose another --out, "
            "or delete it to scan anew"
        )


def _check_all_given(
    done: Mapping[str, Any], suspects: Sequence[Portion], journal: str | Path
) -> None:
    given = {name for portion in suspects for name in portion.names}
    forgotten = sorted(done.keys() - given)
    if forgotten:
        raise ValueError(
            f"{journal} holds {len(forgotten)} suspects that are not given now, the first is "
            f"{forgotten[0]}. All tests that were made count: give them too, or choose another "
            "--out"
        )


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
