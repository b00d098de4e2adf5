"""What the paper leaves open: three stages of variants that are compared on pool tasks.

    python experiments/crossvalidate.py --preset small --stage 1 --data-dir DIR

The committed stages had five folds of 24, 9 and 8 variants. The best of the third scored 0.997.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from configs import cifar

Changes = dict[str, Any]
"""Of a variant of MGMP (:func:`_variants.changed`)."""

PLAIN = "paper, without generator"
LOGITS, PROBABILITIES, LOGS = (
    {"response": response} for response in ("logits", "probabilities", "log-probabilities")
)
BARE = {"assemble": "addition", "generators": ()}

STAGES: dict[int, dict[tuple[str, str], tuple[Changes, dict[str, Changes]]]] = {
    1: {
        (PLAIN, f"{PLAIN}: "): (
            {**LOGITS, "learning_rate": 1e-3, "epochs": 100},
            {
                "": {},
                "probabilities": PROBABILITIES,
                "log-probabilities": LOGS,
                "20 epochs": {"epochs": 20},
                "400 epochs": {"epochs": 400},
                "learning rate 1e-4": {"learning_rate": 1e-4},
                "learning rate 1e-2": {"learning_rate": 1e-2},
                "dropout 0.5": {"dropout": 0.5},
                "classifier width 32": {"classifier_width": 32},
            },
        ),
        ("paper", "paper: "): (
            {**LOGITS, "learning_rate": 1e-3},
            {
                "": {},
                "sum": {"reduction": "sum"},
                "tau 0.1": {"temperature": 0.1},
                "tau 2": {"temperature": 2.0},
                "lambda 1e-2": {"weight_decay": 1e-2},
                "learning rate 1e-4": {"learning_rate": 1e-4},
                "log-probabilities": LOGS,
                "no contrastive terms": {"similarity_weight": 0.0, "cohesion_weight": 0.0},
                "concatenation": {"assemble": "concatenation"},
                "four times the epochs": {"times_epochs": 4},
            },
        ),
        ("extended", "extended: "): (
            {"background": False},
            {
                "alignment and context only": BARE,
                "alignment only": {**BARE, "context": False},
                "checkpoints only": {**BARE, "context": False, "align": False},
                "no background, no checkpoints": {"checkpoints": False},
                "no background": {},
            },
        ),
    },
    2: {
        (PLAIN, "paper: learning rate 1e-2, "): (
            {},
            {
                "probabilities": {**PROBABILITIES, "epochs": 100},
                "log-probabilities": {**LOGS, "epochs": 100},
                "400 epochs": {},
            },
        ),
        ("paper", "paper: with generator, "): (
            {"learning_rate": 1e-3},
            {
                "probabilities": PROBABILITIES,
                "log-probabilities, learning rate 1e-2": {"learning_rate": 1e-2},
                "log-probabilities, concatenation": {"assemble": "concatenation"},
            },
        ),
    },
    3: {
        ("extended", "extended: "): (
            {},
            {"alignment and context only": BARE, "background only": {"generators": ()}},
        ),
    },
}
"""By variant of a row and prefix of names: what is changed in all, and in each by name.

First one thing at a time; then what the best of these give together; then what each part of the
extended method brings, where each generator is added by itself."""


@dataclasses.dataclass(frozen=True)
class Args(cifar.Args):
    """Choose what the paper leaves open, leaving out one pool task at a time."""

    stage: Literal[1, 2, 3] = 1
    """Which comparison."""
