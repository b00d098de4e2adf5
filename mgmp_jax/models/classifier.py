"""The provenance classifier f_p: three fully connected layers with ReLU and dropout."""

from flax import linen as nn
from jaxtyping import Array, Float

__all__ = ["Classifier"]


class Classifier(nn.Module):
    """Logit that a pair of fragments is homologous (paper, 4.2.3).

    Args:
        width: of the two hidden layers.
        dropout: rate after each hidden layer.
    """

    width: int = 128
    dropout: float = 0.1

    @nn.compact
    def __call__(self, x: Float[Array, "... d"], *, train: bool) -> Float[Array, "..."]:
        """Logits ``[...]`` for pairs of fragments ``[..., d]``."""
        for i in (1, 2):
            x = nn.relu(nn.Dense(self.width, name=f"fc{i}")(x))
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(1, name="head")(x)[..., 0]
