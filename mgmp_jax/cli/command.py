"""What all verbs of ``mgmp`` have in common: what comes out of them, and their exit codes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = [
    "HOMOLOGOUS",
    "INCONCLUSIVE",
    "NOT_HOMOLOGOUS",
    "STOPPED",
    "WRONG_INPUT",
    "Command",
    "Outcome",
    "check_places",
    "check_unsigned",
]

NOT_HOMOLOGOUS = 0
WRONG_INPUT = 2
HOMOLOGOUS = 3
INCONCLUSIVE = 4
STOPPED = 130


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a verb gives.

    Args:
        text: for people.
        about: the same for programs, as JSON holds it.
        code: the exit code.
    """

    text: str
    about: dict[str, Any]
    code: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """What every verb can be asked."""

    json: bool = False
    """Print the outcome as JSON."""

    def run(self) -> Outcome:
        """Does what the verb says."""
        raise NotImplementedError


def check_places(read: Iterable[Path | None], **written: Path | None) -> None:
    """Refuses to write where something is read, or to write two things in one place.

    Args:
        read: files and folders that a verb reads.
        written: files that it writes, by option.

    Raises:
        ValueError: a file would take the place of another, or of something in a folder that is
            read.
        IsADirectoryError: a folder lies there.
    """
    taken = {path.resolve(): path for path in read if path is not None}
    for option, path in written.items():
        if path is None:
            continue
        place = path.resolve()
        for other in (place, *place.parents):
            if other in taken and (other == place or other.is_dir()):
                raise ValueError(
                    f"--{option} {path} would change {taken[other]}, which is given too; choose "
                    "another place"
                )
        if place.is_dir():
            raise IsADirectoryError(f"--{option} must be a file, and {path} is a folder")
        taken[place] = path


def check_unsigned(path: Path) -> None:
    """Refuses to change what is signed, or to add to it.

    Raises:
        FileExistsError: a signature lies beside it, or beside a folder that it is in.
    """
    from mgmp_jax.signing import signature_of

    place = path.resolve()
    for signed in (place, *place.parents[:-1]):  # the last one has no name
        signature = signature_of(signed)
        if signature.exists():
            raise FileExistsError(
                f"{signed} is signed ({signature.name}) and would not be what was signed; choose "
                "another place"
            )
