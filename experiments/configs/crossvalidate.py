"""What the paper leaves open: three stages of variants that are compared on pool tasks.

    python experiments/crossvalidate.py --preset small --stage 1 --data-dir DIR

Five folds of 24, 6 and 8 variants. The best of the third stage scored 0.985.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from configs import cifar

Group = tuple[str, str, dict[str, Any], dict[str, dict[str, Any]]]
"""A variant of a row, a prefix of names, what is changed in all, and in each by name
(:func:`_rows.changed`)."""

_GUESS = {"response": "logits", "learning_rate": 1e-3}
_BARE = {"assemble": "addition", "generators": ()}

FIRST: list[Group] = [
    (
        "paper, without generator",
        "paper, without generator: ",
        {**_GUESS, "epochs": 100},
        {
            "": {},
            "probabilities": {"response": "probabilities"},
            "log-probabilities": {"response": "log-probabilities"},
            "20 epochs": {"epochs": 20},
            "400 epochs": {"epochs": 400},
            "learning rate 1e-4": {"learning_rate": 1e-4},
            "learning rate 1e-2": {"learning_rate": 1e-2},
            "dropout 0.5": {"dropout": 0.5},
            "classifier width 32": {"classifier_width": 32},
        },
    ),
    (
        "paper",
        "paper: ",
        _GUESS,
        {
            "": {},
            "sum": {"reduction": "sum"},
            "tau 0.1": {"temperature": 0.1},
            "tau 2": {"temperature": 2.0},
            "lambda 1e-2": {"weight_decay": 1e-2},
            "learning rate 1e-4": {"learning_rate": 1e-4},
            "log-probabilities": {"response": "log-probabilities"},
            "no contrastive terms": {"similarity_weight": 0.0, "cohesion_weight": 0.0},
            "concatenation": {"assemble": "concatenation"},
            "four times the epochs": {"times_epochs": 4},
        },
    ),
    (
        "extended",
        "extended: ",
        {"background": False},
        {
            "alignment and context only": _BARE,
            "alignment only": {**_BARE, "context": False},
            "checkpoints only": {**_BARE, "context": False, "align": False},
            "no background, no checkpoints": {"checkpoints": False},
            "no background": {},
        },
    ),
]
"""One thing at a time."""

SECOND: list[Group] = [
    (
        "paper, without generator",
        "paper: ",
        {},
        {
            "learning rate 1e-2, probabilities": {"response": "probabilities", "epochs": 100},
            "learning rate 1e-2, log-probabilities": {
                "response": "log-probabilities",
                "epochs": 100,
            },
            "learning rate 1e-2, 400 epochs": {},
        },
    ),
    (
        "paper",
        "paper: with generator, ",
        {"learning_rate": 1e-3},
        {
            "probabilities": {"response": "probabilities"},
            "log-probabilities, learning rate 1e-2": {"learning_rate": 1e-2},
            "log-probabilities, concatenation": {"assemble": "concatenation"},
        },
    ),
]
"""What the first stage's best changes, each by itself, give together."""

THIRD: list[Group] = [
    (
        "extended",
        "extended: ",
        {},
        {"alignment and context only": _BARE, "background only": {"generators": ()}},
    )
]
"""What each part of the extended method brings; each generator is added by itself."""

STAGES = {1: FIRST, 2: SECOND, 3: THIRD}


@dataclasses.dataclass(frozen=True)
class Args(cifar.Args):
    """Choose what the paper leaves open, leaving out one pool task at a time."""

    stage: Literal[1, 2, 3] = 1
    """Which comparison."""
