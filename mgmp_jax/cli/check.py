"""``mgmp check``: is this what was signed, and does it still say the same?"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tyro.conf import Positional

from mgmp_jax.cli.command import Command, Outcome


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check(Command):
    """Check a signature, a DNA file against its verifier, or a report by scoring again.

    mgmp check report/ --public-key public.pem --verifier verifier/ --suspect suspect.npz

    Exit code 2 where something is not what it says.
    """

    path: Positional[Path]
    """What to check: anything signed, a DNA file, or the folder of a report."""
    public_key: Path | None = None
    """PEM file of the signer's public key; or"""
    chain: tuple[Path, ...] = ()
    """PEM files of the certificates that are trusted, the root among them."""
    signature: Path | None = None
    """The signature; by default PATH.sig."""
    verifier: Path | None = None
    """Private verifier that a DNA file or a report is said to be made of."""
    suspect: Path | None = None
    """File of the answers that a report is said to judge."""

    def run(self) -> Outcome:
        """Does all checks that were asked for."""
        if self.suspect is not None and self.verifier is None:
            raise ValueError("give --verifier, which scores the answers of --suspect again")
        signed = self.public_key is not None or bool(self.chain)
        if self.signature is not None and not signed:
            raise ValueError("give --public-key or --chain, by which --signature is checked")
        done = []
        if signed:
            from mgmp_jax.signing import check_signature

            check_signature(
                self.path,
                public_key=self.public_key,
                chain=self.chain,
                signature=self.signature,
            )
            done.append("the signature is by this key, and nothing was changed since")
        if self.verifier is not None:
            done.append(self._make_again(self.verifier))
        if not done:
            raise ValueError("nothing to check: give --public-key or --chain, --verifier, or both")
        return Outcome("\n".join(done), {"path": str(self.path), "checked": done})

    def _make_again(self, folder: Path) -> str:
        from mgmp_jax.archive import check_dna, read_dna
        from mgmp_jax.verifier import Verifier

        verifier = Verifier.load(folder)
        report = self.path / "report.json" if self.path.is_dir() else self.path
        if report.suffix != ".json" or not report.exists():
            if self.suspect is not None:
                raise ValueError(f"{self.path} is no report, so --suspect has no part in it")
            check_dna(read_dna(self.path), verifier)
            return "the verifier gives this DNA"
        if self.suspect is None:
            raise ValueError("give --suspect, the answers that the report judged")
        from mgmp_jax import files
        from mgmp_jax.answers import load_answers
        from mgmp_jax.statements import check_report, check_statements

        check_report(files.read_settings(report), verifier, load_answers(self.suspect))
        same = "the verifier says of these answers what report.json says"
        if not self.path.is_dir():
            return same
        source = verifier.source_name or "source"
        checked = check_statements(self.path, self.suspect, source)
        more = sorted({path.name for path in self.path.iterdir()} - set(checked))
        return (
            f"{same}, and so do {', '.join(checked[1:])}; not read: {', '.join(more) or 'nothing'}"
        )
