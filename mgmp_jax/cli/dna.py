"""``mgmp dna``: the part of a verifier that may be shown."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tyro.conf import Positional

from mgmp_jax.cli.command import Command, Outcome


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dna(Command):
    """Write the DNA file of the source: its fragments and the protocol, without any example.

    mgmp dna verifier/ --queries queries/ --out source.dna.zip
    """

    verifier: Positional[Path]
    """Folder that `mgmp fit` made; it stays private."""
    out: Path
    """A .zip, or a folder."""
    queries: Path | None = None
    """Folder of the frozen queries, by which the file says what kind they are."""

    def run(self) -> Outcome:
        """Writes it."""
        from mgmp_jax.archive import write_dna
        from mgmp_jax.query_folder import QueryFolder
        from mgmp_jax.stamps import now
        from mgmp_jax.verifier import Verifier

        sets = None if self.queries is None else QueryFolder.load(self.queries).sets
        written = write_dna(self.out, Verifier.load(self.verifier), created=now(), queries=sets)
        about = {"file": str(self.out), "digest": written.digest}
        return Outcome(f"{self.out}: digest {written.digest}", about)
