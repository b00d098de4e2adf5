"""The library without its extras: what they install is made impossible to import."""

import subprocess
import sys
import textwrap
from pathlib import Path

LIBRARY = [
    "losses",
    "adapters",
    "adapters.python",
    "answers",
    "cli",
    "queries",
    "query_folder",
    "reference_folder",
    "responses",
    "references",
    "scan",
    "similarities",
    "background",
    "methods",
    "verifier",
    "evidence",
    "reporting",
    "training",
    "store",
    "models",
    "data",
    "dna",
    "curvature",
    "transformations",
    "weights",
    "adapters",
    "adapters.array_files",
    "adapters.equinox",
    "adapters.flax",
    "adapters.huggingface",
    "adapters.onnx",
    "adapters.pixels",
    "adapters.recorded",
    "adapters.sklearn",
    "adapters.torch",
    "archive",
    "signing",
    "statements",
]
EXTRAS = [
    "PIL",
    "array_record",
    "cyclonedx",
    "datasets",
    "equinox",
    "fcntl",  # Windows has none
    "huggingface_hub",
    "importlib_resources",
    "in_toto_attestation",
    "jinja2",
    "matplotlib",
    "model_signing",
    "onnxruntime",
    "pandas",
    "pyarrow",
    "safetensors",
    "sklearn",
    "skops",
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


def test_adapters_say_what_to_install_and_read_functions_without(tmp_path: Path) -> None:
    for name in ("m.onnx", "m.skops", "m.safetensors", "m.parquet", "config.json"):
        (tmp_path / name).write_text("{}")
    printed = without_extras(f"""
        import numpy as np
        from mgmp_jax import adapters
        from mgmp_jax.queries import QuerySet

        queries = QuerySet.rows(np.eye(4))
        assert len(adapters.record(lambda rows: rows, queries)) == 4
        folder = {str(tmp_path)!r}
        open(folder + "/model.safetensors", "w").close()
        for line in ("onnx:m.onnx", "sklearn:m.skops", "torch:m.py:load", "equinox:m.py:load",
                     "hf:", "recorded:m.safetensors", "recorded:m.parquet"):
            adapter, _, target = line.partition(":")
            try:
                path = folder + "/" + target
                adapters.record(adapters.open_model(adapter + ":" + path), queries)
            except ImportError as error:
                print(adapter, error)
    """)
    assert printed.splitlines() == [
        "onnx this needs onnxruntime: pip install 'mgmp_jax[onnx]'",
        "sklearn this needs sklearn: pip install 'mgmp_jax[sklearn]'",
        "torch this needs torch: pip install 'mgmp_jax[torch]'",
        "equinox this needs equinox: pip install 'mgmp_jax[equinox]'",
        "hf this needs torch: pip install 'mgmp_jax[hf]'",
        "recorded this needs safetensors: pip install 'mgmp_jax[text]'",
        "recorded this needs pyarrow: pip install 'mgmp_jax[text]'",
    ]
