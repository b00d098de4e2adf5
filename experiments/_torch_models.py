"""PyTorch's side of the benchmark: the same models and losses as the library's, in its own idiom.

The residual networks are the library's block by block: tests/models/test_torch_parity.py.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

torch: Any = importlib.import_module("torch")
nn: Any = torch.nn
F: Any = nn.functional

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
RESNETS = {"resnet18": ((2, 2, 2, 2), False), "resnet50": ((3, 4, 6, 3), True)}


class Block(nn.Module):
    """Two 3x3 convolutions or, as a bottleneck, 1x1, 3x3 and 1x1."""

    def __init__(self, inputs: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        self.bottleneck = bottleneck
        outputs = 4 * width if bottleneck else width
        shapes = (
            [(inputs, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1)]
            if bottleneck
            else [(inputs, width, 3, stride), (width, width, 3, 1)]
        )
        for i, (a, b, size, s) in enumerate(shapes, 1):
            setattr(self, f"conv{i}", nn.Conv2d(a, b, size, s, size // 2, bias=False))
            setattr(self, f"norm{i}", nn.BatchNorm2d(b))
        if stride != 1 or inputs != outputs:
            self.conv_skip = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.norm_skip = nn.BatchNorm2d(outputs)

    def forward(self, x: Any) -> Any:
        """Adds what the convolutions make of ``x``."""
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        if self.bottleneck:
            y = self.norm3(self.conv3(F.relu(y)))
        if hasattr(self, "conv_skip"):
            x = self.norm_skip(self.conv_skip(x))
        return F.relu(x + y)


class Stem(nn.Module):
    """What stands before the blocks, for 32x32 images (``"small"``) or for ImageNet's."""

    def __init__(self, width: int, kind: str) -> None:
        super().__init__()
        size, stride, pad = (3, 1, 1) if kind == "small" else (7, 2, 3)
        self.conv = nn.Conv2d(3, width, size, stride, pad, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.pool = nn.MaxPool2d(3, 2, 1) if kind == "imagenet" else nn.Identity()

    def forward(self, x: Any) -> Any:
        """Applies it."""
        return self.pool(F.relu(self.norm(self.conv(x))))


class ResNet(nn.Module):
    """The twin of :class:`mgmp_jax.models.ResNet`."""

    def __init__(
        self,
        outputs: int,
        sizes: tuple[int, ...] = (2, 2, 2, 2),
        bottleneck: bool = False,
        width: int = 64,
        stem: str = "small",
    ) -> None:
        super().__init__()
        self.stem = Stem(width, stem)
        self.blocks, inputs = [], width
        for s, count in enumerate(sizes, 1):
            for b in range(1, count + 1):
                block_width = width * 2 ** (s - 1)
                block = Block(inputs, block_width, 2 if s > 1 and b == 1 else 1, bottleneck)
                setattr(self, f"stage{s}_block{b}", block)
                self.blocks.append(block)
                inputs = block_width * (4 if bottleneck else 1)
        self.head = nn.Linear(inputs, outputs)

    def forward(self, x: Any) -> Any:
        """Computes the outputs of normalised images ``[b, c, h, w]``."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))


class Reader(nn.Module):
    """What reads stored inputs: a residual network uint8 images, DistilBERT token ids."""

    def __init__(self, arch: str, width: int, outputs: int, vocab_size: int = 0) -> None:
        super().__init__()
        self.is_text = arch == "distilbert"
        if self.is_text:
            hf: Any = importlib.import_module("transformers")
            sizes = {"dim": width, "hidden_dim": 4 * width, "vocab_size": vocab_size}
            config = hf.DistilBertConfig(**sizes, num_labels=outputs)
            self.model = hf.DistilBertForSequenceClassification(config).to(DEVICE)
        else:
            sizes, bottleneck = RESNETS[arch]
            layout = torch.channels_last if DEVICE == "cuda" else torch.contiguous_format
            model = ResNet(outputs, sizes, bottleneck, width)
            self.model = model.to(DEVICE, memory_format=layout)

    def forward(self, inputs: Any) -> Any:
        """Computes the outputs, float32; on a GPU in bfloat16 as the library does."""
        with torch.autocast(DEVICE, torch.bfloat16, enabled=DEVICE == "cuda"):
            if self.is_text:
                return self.model(input_ids=inputs, attention_mask=inputs != 0).logits.float()
            return self.model((inputs.permute(0, 3, 1, 2).float() - 127.5) / 63.75).float()


def classifier(width: int, dropout: float = 0.1) -> Any:
    """Makes the twin of :class:`mgmp_jax.models.Classifier` for pairs of fragments together."""
    layers = [nn.Linear(width, 128), nn.ReLU(), nn.Dropout(dropout)]
    layers += [nn.Linear(128, 128), nn.ReLU(), nn.Dropout(dropout), nn.Linear(128, 1)]
    return nn.Sequential(*layers).to(DEVICE)


def dna_loss(source: Any, homologous: Any, non_homologous: Any, temperature: float) -> Any:
    """Computes :func:`mgmp_jax.losses.dna_loss` (Eq. 5 plus Eq. 6, means)."""
    sets = [F.normalize(x, dim=1) for x in (source, homologous, non_homologous)]
    s, t, other = sets
    positive = (s * t).sum(dim=1) / temperature
    similarity = (torch.logsumexp(s @ other.T / temperature, dim=1) - positive).mean()
    pairs = torch.logsumexp(torch.stack([x @ x.T / temperature for x in sets]), dim=0)
    n = len(s)
    return similarity - (pairs.sum() - pairs.diagonal().sum()) / (n * (n - 1))


def mgmp_loss(generator: Any, judge: Any, temperature: float, weight_decay: float) -> Callable:
    """Makes Eq. 7 plus Eq. 8 a function of queries and three models' log-probabilities on them."""

    def loss(queries: Any, *responses: Any) -> Any:
        z = generator(queries)
        s, t, other = (z + y for y in responses)
        logits = judge(torch.cat([torch.cat([s, t], 1), torch.cat([s, other], 1)]))[:, 0]
        labels = torch.cat([torch.ones(len(z)), torch.zeros(len(z))]).to(logits.device)
        weights = sum((p**2).sum() for p in generator.parameters())
        provenance = F.binary_cross_entropy_with_logits(logits, labels)
        return dna_loss(s, t, other, temperature) + weight_decay * weights + provenance

    return loss


def stepping(loss: Callable, optimizer: Any, batch: Callable[[], Any]) -> Callable[[], float]:
    """Makes a call that takes one more step of an optimiser each time, and waits for it."""

    def call() -> float:
        optimizer.zero_grad()
        value = loss(*batch())
        value.backward()
        optimizer.step()
        return value.item()

    return call


def answering(frozen: list[Any]) -> Callable[[Any], list[Any]]:
    """Makes a function of queries that gives each frozen model's log-probabilities."""

    def answer(queries: Any) -> list[Any]:
        with torch.no_grad():
            return [F.log_softmax(model(queries), dim=1) for model in frozen]

    return answer
