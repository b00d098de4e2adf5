"""Table 5 of the paper, and what is changed one by one in the paper's method.

    python experiments/ablation.py --preset small --data-dir DIR

After the models of cifar.py Table 5 took 37 minutes on two CPU cores, the changes 12. Accuracies go
from 0.50 to 0.65.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from configs.common import ImageArgs

TABLE_5 = {
    "ResNet50, addition, |o| = 10": 0.9193,
    "ViT-small, addition, |o| = 10": 0.9004,
    "ViT-base, addition, |o| = 10": 0.9137,
    "ResNet50, concatenation, |o| = 20": 0.9264,
    "ResNet50, concatenation, |o| = 60": 0.9416,
    "ResNet50, concatenation, |o| = 110": 0.9478,
}
"""The paper's accuracy of each generator, assembly and width of a fragment."""

WIDTHS: dict[str, dict[str, int | None]] = {
    "demo": {"resnet50": 4, "vit-small": 12, "vit-base": 24},
    "small": {"resnet50": 8, "vit-small": 48, "vit-base": 96},
    "paper": {"resnet50": None, "vit-small": None, "vit-base": None},
}
"""Of the generators; ``None`` is an architecture's own."""

CHANGES: dict[str, dict[str, Any]] = {
    "unchanged": {},
    "τ = 0.1": {"temperature": 0.1},
    "τ = 1": {"temperature": 1.0},
    "λ = 0": {"weight_decay": 0.0},
    "λ = 0.01": {"weight_decay": 0.01},
    "logits": {"response": "logits"},
    "probabilities": {"response": "probabilities"},
    "without L_S": {"similarity_weight": 0.0},
    "without L_I": {"cohesion_weight": 0.0},
    "without L_S and L_I": {"similarity_weight": 0.0, "cohesion_weight": 0.0},
    "sums in L_S and L_I": {"reduction": "sum"},
    "ten times the epochs": {"times_epochs": 10},
}
"""Of the paper's method (:func:`_rows.changed`)."""


@dataclasses.dataclass(frozen=True)
class Args(ImageArgs):
    """Fill Table 5 of the paper, and change one thing at a time in its method."""

    seeds: int = 1
    """How many times each variant is trained."""
