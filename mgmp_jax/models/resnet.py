"""Residual networks (He et al., 2016) for 32x32 images and for ImageNet-sized ones."""

from functools import partial
from typing import Any, Literal

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

__all__ = ["ResNet"]

_kernel_init = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
_BatchNorm = partial(nn.BatchNorm, momentum=0.9, epsilon=1e-5)


def _conv(features: int, size: int, stride: int, dtype: Any, name: str) -> nn.Conv:
    return nn.Conv(
        features,
        (size, size),
        (stride, stride),
        padding=size // 2,
        use_bias=False,
        kernel_init=_kernel_init,
        dtype=dtype,
        name=name,
    )


class _Stem(nn.Module):
    width: int
    kind: str
    dtype: Any

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        size, stride = (3, 1) if self.kind == "small" else (7, 2)
        x = _conv(self.width, size, stride, self.dtype, "conv")(x)
        x = nn.relu(_BatchNorm(use_running_average=not train, dtype=self.dtype, name="norm")(x))
        if self.kind == "imagenet":
            around = ((0, 0), (1, 1), (1, 1), (0, 0))
            x = nn.max_pool(jnp.pad(x, around), (3, 3), (2, 2))  # x >= 0 after the ReLU
        return x


class _Block(nn.Module):
    """Two 3x3 convolutions or, as a bottleneck, 1x1, 3x3 and 1x1 with four times the width."""

    width: int
    stride: int
    bottleneck: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        norm = partial(_BatchNorm, use_running_average=not train, dtype=self.dtype)
        if self.bottleneck:
            convs = [(self.width, 1, 1), (self.width, 3, self.stride), (4 * self.width, 1, 1)]
        else:
            convs = [(self.width, 3, self.stride), (self.width, 3, 1)]
        y = x
        for i, (features, size, stride) in enumerate(convs, 1):
            y = _conv(features, size, stride, self.dtype, f"conv{i}")(y)
            y = norm(name=f"norm{i}")(y)
            if i < len(convs):
                y = nn.relu(y)
        if x.shape != y.shape:
            x = _conv(y.shape[-1], 1, self.stride, self.dtype, "conv_skip")(x)
            x = norm(name="norm_skip")(x)
        return nn.relu(x + y)


class ResNet(nn.Module):
    """ResNet with batch normalisation.

    Args:
        num_outputs: width of the output.
        stage_sizes: blocks in each stage; (2, 2, 2, 2) is ResNet18, (3, 4, 6, 3) ResNet50.
        bottleneck: bottleneck blocks, as ResNet50 and deeper have.
        width: channels of the first stage; each further stage doubles them.
        stem: ``"small"`` for 32x32 images (3x3, no pooling), ``"imagenet"`` (7x7, pooling).
        dtype: of the computation; parameters and outputs are float32.
    """

    num_outputs: int
    stage_sizes: tuple[int, ...]
    bottleneck: bool = False
    width: int = 64
    stem: Literal["small", "imagenet"] = "small"
    dtype: Any = jnp.float32

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers in the parameter tree, last first."""
        blocks = [
            f"stage{s}_block{b}"
            for s, size in enumerate(self.stage_sizes, 1)
            for b in range(1, size + 1)
        ]
        return ("head", *reversed(blocks), "stem")

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b outputs"]:
        """Outputs ``[b, outputs]`` for normalised images."""
        x = _Stem(self.width, self.stem, self.dtype, name="stem")(x, train=train)
        for s, size in enumerate(self.stage_sizes, 1):
            for b in range(1, size + 1):
                x = _Block(
                    self.width * 2 ** (s - 1),
                    2 if s > 1 and b == 1 else 1,
                    self.bottleneck,
                    self.dtype,
                    name=f"stage{s}_block{b}",
                )(x, train=train)
        x = jnp.mean(x.astype(jnp.float32), axis=(1, 2))
        self.sow("intermediates", "features", x)
        return nn.Dense(self.num_outputs, name="head")(x)
