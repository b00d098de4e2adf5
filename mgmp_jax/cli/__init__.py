"""The ``mgmp`` command: an owner's whole story, from frozen queries to a report.

Nothing slow is imported before a verb runs, so that ``--help`` answers at once. Exit codes: 0 not
homologous, or done; 3 homologous; 4 inconclusive; 2 wrong usage or input; 1 internal error.
"""

from __future__ import annotations

import io
import json
import os
import sys
import warnings
from collections.abc import Sequence

from mgmp_jax.cli.command import STOPPED, WRONG_INPUT

__all__ = ["main"]

_ABOUT = """Was this model trained starting from that one? From responses alone.

queries, record, fit, verify: freeze what is asked, record what each model answers, fit a verifier
to the models that you know, verify a suspect. Each verb shows an example with --help, and --version
is answered, too."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a verb and returns the exit code.

    Args:
        arguments: of the command line; by default those that the process was given.
    """
    if [*(sys.argv[1:] if arguments is None else arguments)] == ["--version"]:
        from mgmp_jax.stamps import library_version

        return 0 if _say(library_version()) else WRONG_INPUT
    try:
        import tyro
    except ImportError:
        print("error: the command line needs tyro: pip install 'mgmp_jax[cli]'", file=sys.stderr)
        return WRONG_INPUT
    from mgmp_jax.cli.verbs import VERBS

    try:
        command = tyro.extras.subcommand_cli_from_dict(
            VERBS, prog="mgmp", description=_ABOUT, args=arguments
        )
    except BrokenPipeError:  # of --help, whose reader has seen enough
        _close_output()
        return 0
    warnings.showwarning = _warn
    try:
        outcome = command.run()
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        print(f"error: {_printable(str(error))}", file=sys.stderr)
        return WRONG_INPUT
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return STOPPED
    text = json.dumps(outcome.about, indent=1) if command.json else _printable(outcome.text)
    return outcome.code if _say(text) else WRONG_INPUT


def _say(text: str) -> bool:
    """Prints to whatever encoding the output has, and says whether it could."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        print(text, flush=True)
    except BrokenPipeError:  # its reader has seen enough
        _close_output()
    except OSError as error:
        print(f"error: the outcome cannot be printed: {error}", file=sys.stderr)
        _close_output()
        return False
    return True


def _close_output() -> None:
    """Sends to nowhere what is still to be printed, or the end of the process fails too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _warn(message: Warning | str, *_: object) -> None:
    print(f"warning: {_printable(str(message))}", file=sys.stderr)


def _printable(text: str) -> str:
    """Text in which names from files cannot command a terminal."""
    from mgmp_jax.report import one_line

    return "\n".join(map(one_line, text.split("\n")))
