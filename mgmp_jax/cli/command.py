"""What all verbs of ``mgmp`` have in common: what comes out of them, and their exit codes."""

from __future__ import annotations

import dataclasses
from typing import Any

__all__ = [
    "HOMOLOGOUS",
    "INCONCLUSIVE",
    "NOT_HOMOLOGOUS",
    "STOPPED",
    "WRONG_INPUT",
    "Command",
    "Outcome",
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
