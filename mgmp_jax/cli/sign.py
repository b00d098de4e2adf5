"""``mgmp sign``: signs a file or folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tyro.conf import Positional

from mgmp_jax.cli.command import Command, Outcome


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sign(Command):
    """Sign a file, or all files of a folder, by the OpenSSF Model Signing format.

    mgmp sign report/ --private-key key.pem

    A key is made by: openssl ecparam -name prime256v1 -genkey -noout -out key.pem
    """

    path: Positional[Path]
    """What to sign: frozen queries, a verifier, a DNA file, a report."""
    private_key: Path
    """PEM file of an elliptic-curve key."""
    certificate: Path | None = None
    """PEM file of a certificate of the key."""
    signature: Path | None = None
    """Where to write the signature; by default PATH.sig."""

    def run(self) -> Outcome:
        """Writes the signature."""
        from mgmp_jax.signing import sign

        written = sign(
            self.path,
            self.private_key,
            signature=self.signature,
            certificate=self.certificate,
        )
        return Outcome(f"Signed: {written}", {"signature": str(written)})
