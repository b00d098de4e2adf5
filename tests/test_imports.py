"""The library without its extras: what they install is made impossible to import."""

import subprocess
import sys
import textwrap
from pathlib import Path

LIBRARY = [
    "losses",
    "queries",
    "responses",
    "references",
    "similarities",
    "background",
    "methods",
    "verifier",
    "training",
    "store",
    "models",
    "data",
    "dna",
    "curvature",
    "transformations",
    "weights",
    "archive",
    "signing",
    "statements",
]
EXTRAS = [
    "PIL",
    "array_record",
    "cyclonedx",
    "datasets",
    "fcntl",  # Windows has none
    "huggingface_hub",
    "importlib_resources",
    "in_toto_attestation",
    "matplotlib",
    "model_signing",
    "pandas",
    "pyarrow",
    "safetensors",
    "sklearn",
    "tensorflow_datasets",
    "tokenizers",
    "torch",
    "transformers",
    "tyro",
]
BLOCK = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS}:
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)

sys.meta_path.insert(0, Absent())
"""


def without_extras(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", BLOCK + textwrap.dedent(code)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_of_the_library_imports_without_the_extras() -> None:
    failed = without_extras(f"""
        import importlib

        for name in {LIBRARY}:
            try:
                importlib.import_module(f"mgmp_jax.{{name}}")
            except ImportError as error:
                print(f"mgmp_jax.{{name}}: {{error}}")
    """)
    assert not failed, failed


def test_losses_responses_and_similarities_work_without_the_extras(tmp_path: Path) -> None:
    without_extras(f"""
        import numpy as np
        from mgmp_jax.losses import dna_loss
        from mgmp_jax.queries import QuerySet
        from mgmp_jax.responses import Responses
        from mgmp_jax.similarities import linear_cka

        rng = np.random.default_rng(0)
        source, homologous, other = rng.normal(size=(3, 50, 4)).astype(np.float32)
        assert np.isfinite(dna_loss(source, homologous, other, temperature=0.5))
        queries = QuerySet.images(rng.integers(0, 256, (50, 8, 8, 3), dtype=np.uint8))
        given = Responses(source, "logits", queries.digest, "mine")
        given.save({str(tmp_path / "mine.npz")!r})
        again = Responses.load({str(tmp_path / "mine.npz")!r})
        np.testing.assert_array_equal(again.values, given.values)
        assert linear_cka(given, again) > 0.999
    """)
