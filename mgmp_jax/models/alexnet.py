"""AlexNet (Krizhevsky et al., 2012) in its usual form for 32x32 images."""

from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

__all__ = ["AlexNet"]

_kernel_init = nn.initializers.he_normal()


class AlexNet(nn.Module):
    """Five 3x3 convolutions and three fully connected layers, with dropout.

    Args:
        num_outputs: width of the output.
        width: channels of the first convolution; the others are 3, 6, 4 and 4 times, the
            hidden fully connected layers 64 times as wide (64, 192, 384, 256, 256, 4096).
        dropout: rate before each hidden fully connected layer.
        dtype: of the computation; parameters and outputs are float32.
    """

    num_outputs: int
    width: int = 64
    dropout: float = 0.5
    dtype: Any = jnp.float32

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers in the parameter tree, last first."""
        return ("head", "fc2", "fc1", "conv5", "conv4", "conv3", "conv2", "conv1")

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b outputs"]:
        """Outputs ``[b, outputs]`` for normalised images."""
        pool = partial(nn.max_pool, window_shape=(2, 2), strides=(2, 2))
        for i, multiple in enumerate((1, 3, 6, 4, 4), 1):
            stride = 2 if i == 1 else 1
            x = nn.Conv(
                multiple * self.width,
                (3, 3),
                (stride, stride),
                padding=1,
                kernel_init=_kernel_init,
                dtype=self.dtype,
                name=f"conv{i}",
            )(x)
            x = nn.relu(x)
            if i in (1, 2, 5):
                x = pool(x)
        x = x.reshape(len(x), -1)
        for i in (1, 2):
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
            x = nn.Dense(
                64 * self.width, kernel_init=_kernel_init, dtype=self.dtype, name=f"fc{i}"
            )(x)
            x = nn.relu(x)
        x = x.astype(jnp.float32)
        self.sow("intermediates", "features", x)
        return nn.Dense(self.num_outputs, name="head")(x)
