"""Options and sizes that several commands have. Nothing in this folder imports JAX."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

Arch = Literal["resnet18", "alexnet", "vit-small"]
Recipe = tuple[int, int, float]
"""Epochs, batch size and highest learning rate."""
WIDTHS: tuple[dict[str, int], dict[str, int], dict[str, int]] = (
    {"resnet18": 8, "alexnet": 8, "vit-small": 48},
    {"resnet18": 16, "alexnet": 16, "vit-small": 48},
    {},
)
"""Of models in the presets demo, small and paper, where they are not an architecture's own."""

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """How large everything is; ``None`` is all there is."""

    widths: dict[str, int]
    """By architecture, where it is not its own."""
    source: Recipe
    target: Recipe
    examples: tuple[int | None, int | None]
    """That the source is trained on, and a target."""
    checkpoints: int
    """Along the training of a target."""
    num_queries: int | None
    mgmp: dict[str, Any]
    """What of the paper's MGMP is changed."""
    seeds: int = 1
    """How many times MGMP is trained."""
    times: dict[str, float] = dataclasses.field(default_factory=dict)
    """By what the epochs of source and targets are multiplied, by architecture, where not by 1: one
    that is slow gets fewer, one that learns slowly more."""

    def lengthen(self, epochs: int, arch: str) -> int:
        """Multiplies epochs as ``times`` says for an architecture."""
        return int(epochs * self.times.get(arch, 1))


def presets(make: Callable[..., T], **fields: tuple[Any, Any, Any]) -> dict[str, T]:
    """Makes the presets demo, small and paper: of each field the first, second and third value."""
    return {
        name: make(**{field: values[i] for field, values in fields.items()})
        for i, name in enumerate(("demo", "small", "paper"))
    }


@dataclasses.dataclass(frozen=True)
class Args:
    """Where things lie, and how large they are."""

    preset: Literal["demo", "small", "paper"] = "paper"
    """How large everything is: minutes on two CPU cores, up to hours, or the paper's scale."""
    data_dir: Path | None = None
    """Folder of the data sets; by default MGMP_DATA_DIR or ~/tensorflow_datasets."""
    out: Path = Path("runs")
    """Folder for models and results, for one state of the data in --data-dir and for one command at
    a time; commands share the models in it."""
    jobs: int | None = None
    """How many processes train models on this machine; by default one for each CPU core, or one
    where there is a GPU."""
    cluster: str | None = None
    """Address of a Ray cluster that trains models instead, whose machines see --out and --data-dir;
    "ray" starts Ray on this machine."""
    num_gpus: float = 0.0
    """Of a GPU that each model takes on the cluster: 0.25 trains four on one."""
    distributed: bool = False
    """Train each model and MGMP together with other processes, on one host or many: the same
    command in each, with the same --out. JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and
    JAX_PROCESS_ID say which; on Slurm, Open MPI and TPU nothing need be set."""


@dataclasses.dataclass(frozen=True)
class ImageArgs(Args):
    """The same, with a choice of images."""

    instead: ClassVar[str] = "The generated glyphs need no data: --data glyphs"
    data: Literal["cifar", "glyphs"] = "cifar"
    """CIFAR-10 and CIFAR-100, or generated digits and letters."""


def at_least_one(name: str, value: int) -> int:
    """Returns the value of an option, or raises ``ValueError`` where it is below 1."""
    if value < 1:
        raise ValueError(f"--{name} must be at least 1, got {value}")
    return value


def check_subsets(pool: tuple[int, ...], evaluation: tuple[int, ...]) -> None:
    """Raises ``ValueError`` unless these are disjoint choices of the subsets 0 to 9."""
    if len(pool) < 2 or not evaluation:
        raise ValueError(
            "give at least two --pool-subsets, for a background of their models, and at least one "
            f"of --eval-subsets, each of 0 to 9; got {list(pool)} and {list(evaluation)}"
        )
    unknown = sorted(set(pool + evaluation) - set(range(10)))
    if unknown:
        raise ValueError(f"subsets are 0 to 9, got {unknown}")
    if len(set(pool + evaluation)) < len(pool + evaluation):
        raise ValueError(
            f"pool subsets {list(pool)} and evaluation subsets {list(evaluation)} must be "
            "disjoint and without repetition: MGMP is evaluated on tasks it never saw"
        )
