"""Shapes are checked at run time in the tests: jaxtyping annotations, by beartype."""

import os
from pathlib import Path

# Two workers share two cores: threads that wait for each other make t-SNE 15 times as slow.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import pytest
from jaxtyping import install_import_hook

ROOT = Path(__file__).parents[1]
CHECKED = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "mgmp_jax").rglob("*.py")
)
install_import_hook(
    [name for name in CHECKED if name not in ("mgmp_jax", "mgmp_jax.losses")], "beartype.beartype"
)

# Compiling takes most of the suite's time; the flags below halve what is left of it. The
# environment is for the commands that tests start.
SETTINGS = {
    "jax_compilation_cache_dir": os.environ.get(
        "JAX_COMPILATION_CACHE_DIR", str(ROOT / ".jax_cache")
    ),
    "jax_disable_most_optimizations": True,
    "jax_persistent_cache_min_compile_time_secs": 0.0,
}
for name, value in SETTINGS.items():
    os.environ[name.upper()] = str(value)
    jax.config.update(name, value)
jax.config.update("jax_numpy_rank_promotion", "raise")
if jax.__version_info__ < (0, 11):  # a release that does not know a flag ends the process
    FLAGS = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {FLAGS}".strip()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """A folder of packed real data with the script that unpacks it, where there is one."""
    folder = Path(os.environ.get("MGMP_DATA_DIR", "."))
    if not (folder / "prepare_tfds.py").is_file():
        pytest.skip(f"no real data: {folder}/prepare_tfds.py is absent (MGMP_DATA_DIR)")
    return folder
