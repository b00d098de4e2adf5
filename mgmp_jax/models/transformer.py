"""Encoders of text: BERT (Devlin et al., 2019) and DistilBERT (Sanh et al., 2019)."""

from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

__all__ = ["Transformer"]


class Transformer(nn.Module):
    """Post-norm encoder with the classification head of its family.

    A text is its token ids, ``[CLS]`` first, padded on the right with 0; padding is never
    attended to. All tokens belong to the first segment.

    Args:
        num_outputs: width of the output.
        style: BERT has segments, a tanh pooler before the classifier and dropout after
            attention; DistilBERT has none of them and a ReLU layer before the classifier.
        vocab_size: how many token ids there are.
        width: of the tokens; a multiple of ``num_heads``.
        depth: number of layers.
        num_heads: of each attention.
        hidden: width of the feed-forward layers, ``None`` for four times ``width``.
        max_length: the longest text, in tokens.
        dropout: rate on embeddings and layer outputs.
        attention_dropout: rate on attention weights.
        head_dropout: rate before the classifier.
        epsilon: of the layer norms.
        remat: whether activations inside a layer are computed again in the backward pass.
        dtype: of the computation; parameters and outputs are float32.
    """

    num_outputs: int
    style: Literal["bert", "distilbert"] = "distilbert"
    vocab_size: int = 30522
    width: int = 768
    depth: int = 6
    num_heads: int = 12
    hidden: int | None = None
    max_length: int = 512
    dropout: float = 0.1
    attention_dropout: float = 0.1
    head_dropout: float = 0.2
    epsilon: float = 1e-12
    remat: bool = False
    dtype: Any = jnp.float32

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers in the parameter tree, last first."""
        blocks = [f"layer{i}" for i in range(self.depth, 0, -1)]
        return ("classifier", "pre_classifier", *blocks, "embeddings")

    @property
    def sizes(self) -> dict[str, Any]:
        """What decides the shapes of all parameters but the classifier's, by name."""
        names = ("style", "vocab_size", "width", "depth", "num_heads", "max_length")
        sizes = {name: getattr(self, name) for name in names}
        return {**sizes, "hidden": self.hidden or 4 * self.width}

    @nn.compact
    def __call__(self, tokens: Int[Array, "b l"], *, train: bool) -> Float[Array, "b outputs"]:
        """Outputs ``[b, outputs]``; sows the first token's last hidden state as ``features``.

        Raises:
            ValueError: the texts are longer than the position table.
        """
        if self.width % self.num_heads:
            raise ValueError(
                f"width must be a multiple of the {self.num_heads} heads, got {self.width}"
            )
        if tokens.shape[1] > self.max_length:
            raise ValueError(
                f"texts of {tokens.shape[1]} tokens are longer than the position table of "
                f"{self.max_length}; cut them to at most {self.max_length} tokens"
            )
        mask = (tokens != 0)[:, None, None, :]
        shared = {"epsilon": self.epsilon, "dropout": self.dropout, "dtype": self.dtype}
        x = _Embeddings(
            self.vocab_size,
            self.width,
            self.max_length,
            segments=2 if self.style == "bert" else 0,
            name="embeddings",
            **shared,
        )(tokens, train)
        layer = nn.remat(_Layer, static_argnums=(3,)) if self.remat else _Layer
        for i in range(1, self.depth + 1):
            x = layer(
                self.num_heads,
                self.hidden or 4 * self.width,
                attention_dropout=self.attention_dropout,
                dropout_after_attention=self.style == "bert",
                name=f"layer{i}",
                **shared,
            )(x, mask, train)
        first = x[:, 0].astype(jnp.float32)
        self.sow("intermediates", "features", first)
        activation = jnp.tanh if self.style == "bert" else nn.relu
        y = activation(nn.Dense(self.width, name="pre_classifier")(first))
        y = nn.Dropout(self.head_dropout, deterministic=not train)(y)
        return nn.Dense(self.num_outputs, name="classifier")(y)


class _Embeddings(nn.Module):
    vocab_size: int
    width: int
    max_length: int
    segments: int
    dropout: float
    epsilon: float
    dtype: Any

    @nn.compact
    def __call__(self, tokens: Array, train: bool) -> Array:
        init = nn.initializers.normal(0.02)
        x = nn.Embed(self.vocab_size, self.width, embedding_init=init, name="words")(tokens)
        positions = self.param("positions", init, (self.max_length, self.width))
        x = x + positions[None, : tokens.shape[1]]
        if self.segments:
            x = x + self.param("segments", init, (self.segments, self.width))[None, :1]
        x = nn.LayerNorm(self.epsilon, dtype=self.dtype, name="norm")(x)
        return nn.Dropout(self.dropout, deterministic=not train)(x)


class _Layer(nn.Module):
    num_heads: int
    hidden: int
    attention_dropout: float
    dropout_after_attention: bool
    dropout: float
    epsilon: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Array, mask: Array, train: bool) -> Array:
        width = x.shape[-1]
        dense = partial(nn.Dense, dtype=self.dtype, kernel_init=nn.initializers.normal(0.02))
        norm = partial(nn.LayerNorm, self.epsilon, dtype=self.dtype)
        dropout = nn.Dropout(self.dropout, deterministic=not train)
        heads = (*x.shape[:2], self.num_heads, width // self.num_heads)
        query, key, value = (
            dense(width, name=name)(x).reshape(heads) for name in ("query", "key", "value")
        )
        scores = jnp.einsum("bqhd,bkhd->bhqk", query * heads[-1] ** -0.5, key)
        scores = jnp.where(mask, scores.astype(jnp.float32), jnp.finfo(jnp.float32).min)
        weights = jax.nn.softmax(scores, axis=-1).astype(x.dtype)
        weights = nn.Dropout(self.attention_dropout, deterministic=not train)(weights)
        y = jnp.einsum("bhqk,bkhd->bqhd", weights, value).reshape(x.shape)
        y = dense(width, name="out")(y)
        if self.dropout_after_attention:
            y = dropout(y)
        x = norm(name="norm1")(x + y)
        y = nn.gelu(dense(self.hidden, name="fc1")(x), approximate=False)
        return norm(name="norm2")(x + dropout(dense(width, name="fc2")(y)))
