"""``mgmp fit``: makes a verifier of a folder of recorded answers."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

from tyro.conf import Positional

from mgmp_jax.cli.command import Command, Outcome, check_places


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fit(Command):
    """Fit a verifier to recorded answers of models that you know.

    mgmp fit references/ --out verifier/

    The folder says by its names what each model is: source.npz; pool/TASK/homologous*.npz and
    pool/TASK/non_homologous*.npz; siblings/*.npz; controls/*.npz; calibration/*.npz.
    """

    references: Positional[Path]
    """Folder of recorded answers."""
    out: Path
    """Folder of the verifier, to be made."""
    seed: int = 0
    """Of the training."""

    def run(self) -> Outcome:
        """Fits the verifier; a training that was stopped goes on."""
        from mgmp_jax.reference_folder import read_references
        from mgmp_jax.training import console
        from mgmp_jax.verifier import Verifier

        if self.seed < 0:
            raise ValueError(f"--seed must be at least 0, got {self.seed}")
        references = read_references(self.references)
        if not references.pool and len(references.siblings) < 2:
            raise ValueError(
                f"{self.references} holds neither a pool nor two siblings: nothing can be asked; "
                "add pool/TASK/homologous.npz and non_homologous.npz, or siblings/*.npz"
            )
        check_places((self.references,), out=self.out / "verifier.npz")
        if (self.out / "verifier.npz").exists():
            raise FileExistsError(
                f"{self.out} holds a verifier already, which reports may name; choose another --out"
            )
        working = self.out / ".training"
        console.stderr = True
        try:
            verifier = Verifier.fit(references, seed=self.seed, folder=working)
        finally:
            console.stderr = False
        verifier.save(self.out)
        shutil.rmtree(working, ignore_errors=True)
        methods = [
            {"method": m.name, "question": m.question, "asks": m.asks} for m in verifier.methods
        ]
        lines = [f"{m['question']}: {m['method']}, asks {m['asks']} queries" for m in methods]
        m, siblings = len(verifier.calibration), len(references.siblings)
        about = {
            "folder": str(self.out),
            "methods": methods,
            "siblings": siblings,
            "calibration_models": m,
        }
        least = f"no p of lineage below {1 / (siblings + 1):.3g}"
        if "lineage" not in {m.question for m in verifier.methods}:
            least = "lineage is not asked; it takes at least two"
        text = (
            f"{self.out}: {siblings} siblings ({least}), "
            f"{m} calibration models (no p of knowledge below {1 / (m + 1):.3g})"
        )
        return Outcome("\n".join([text, *lines]), about)
