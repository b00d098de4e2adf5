"""Figures 1 and 5 and section 3.2 of the paper: what is replaced, and by how many images.

    python experiments/forgetting.py --preset small --data-dir DIR

After the models of cifar.py ResNet18 took 7 minutes on two CPU cores, AlexNet 1.
"""

from __future__ import annotations

import dataclasses

from configs.common import Arch, ImageArgs

REPLACED = (0, 1, 2, 3)
"""How many of a target's last layers are taken from the source."""

IMAGES = 2000
HESSIAN_IMAGES = 500


@dataclasses.dataclass(frozen=True)
class Args(ImageArgs):
    """Draw figures 1 and 5 of the paper, and check section 3.2."""

    archs: tuple[Arch, ...] = ("resnet18", "alexnet")
    """Architectures, each a figure."""
