"""Vision transformers (Dosovitskiy et al., 2021)."""

from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

__all__ = ["ViT"]

_LayerNorm = partial(nn.LayerNorm, epsilon=1e-6)


class _Block(nn.Module):
    num_heads: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        width = x.shape[-1]
        y = _LayerNorm(dtype=self.dtype, name="norm1")(x)
        x = x + nn.MultiHeadDotProductAttention(self.num_heads, dtype=self.dtype, name="attn")(y)
        y = _LayerNorm(dtype=self.dtype, name="norm2")(x)
        y = nn.Dense(4 * width, dtype=self.dtype, name="fc1")(y)
        y = nn.gelu(y, approximate=False)
        return x + nn.Dense(width, dtype=self.dtype, name="fc2")(y)


class ViT(nn.Module):
    """Pre-norm vision transformer with a class token and learned positions.

    Args:
        num_outputs: width of the output.
        width: of the tokens; a multiple of ``num_heads``.
        depth: number of blocks.
        num_heads: of each attention.
        patch_size: side of a patch in pixels; divides the sides of the image.
        dtype: of the computation; parameters and outputs are float32.
    """

    num_outputs: int
    width: int
    num_heads: int
    depth: int = 12
    patch_size: int = 4
    dtype: Any = jnp.float32

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers in the parameter tree, last first."""
        blocks = [f"block{i}" for i in range(self.depth, 0, -1)]
        return ("head", "norm", *blocks, "patches", "cls", "positions")

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b outputs"]:
        """Outputs ``[b, outputs]`` for normalised images."""
        del train
        if self.width % self.num_heads:
            raise ValueError(
                f"width must be a multiple of the {self.num_heads} heads, got {self.width}"
            )
        if x.shape[1] % self.patch_size or x.shape[2] % self.patch_size:
            raise ValueError(
                f"images of {x.shape[1]}x{x.shape[2]} cannot be cut into patches of "
                f"{self.patch_size}; choose a patch_size that divides both sides"
            )
        patch = (self.patch_size, self.patch_size)
        x = nn.Conv(self.width, patch, patch, padding=0, dtype=self.dtype, name="patches")(x)
        x = x.reshape(len(x), -1, self.width)
        cls = self.param("cls", nn.initializers.zeros, (1, 1, self.width))
        positions = self.param(
            "positions", nn.initializers.normal(0.02), (1, x.shape[1] + 1, self.width)
        )
        cls = jnp.broadcast_to(cls.astype(x.dtype), (len(x), 1, self.width))
        x = jnp.concatenate([cls, x], axis=1) + positions.astype(x.dtype)
        for i in range(1, self.depth + 1):
            x = _Block(self.num_heads, self.dtype, name=f"block{i}")(x)
        x = _LayerNorm(name="norm")(x[:, 0].astype(jnp.float32))
        self.sow("intermediates", "features", x)
        return nn.Dense(self.num_outputs, name="head")(x)
