"""How the models of images are made: a preset's source and targets, and recipes by architecture."""

from __future__ import annotations

import math
from typing import Any

from configs.common import Preset

from mgmp_jax.store import ModelSpec
from mgmp_jax.training import Recipe


def source_and_target(preset: Preset, arch: str, data: str) -> tuple[ModelSpec, ModelSpec]:
    """Makes the source and a target of all classes, as long trained as the architecture needs."""

    def model(classes: int, recipe: Any, number: int | None, checkpoints: int = 1) -> ModelSpec:
        epochs, *others = recipe
        recipe = recipe_for((preset.lengthen(epochs, arch), *others), arch, data, checkpoints)
        width = preset.widths.get(arch)
        return ModelSpec(arch, f"{data}{classes}", recipe, width=width, num_examples=number)

    of_source, of_target = preset.examples
    kept = math.ceil(preset.checkpoints * min(preset.times.get(arch, 1), 1))
    return model(10, preset.source, of_source), model(100, preset.target, of_target, kept)


def recipe_for(recipe: Any, arch: str, data: str, checkpoints: int = 1) -> Recipe:
    """Makes a recipe as an architecture needs it: SGD, or Adam for a vision transformer."""
    epochs, batch_size, rate = recipe
    augment = "crop-flip" if data == "cifar" else "none"
    more: dict[str, Any] = {"augment": augment, "checkpoints": checkpoints}
    if arch == "vit-small":
        return Recipe(epochs, batch_size, 1e-3, "adam", 0.0, **more)
    return Recipe(epochs, batch_size, rate / 5 if arch == "alexnet" else rate, **more)
