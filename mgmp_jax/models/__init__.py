"""Flax Linen models by name: ``models.create("resnet18", num_outputs=10)``."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float, Int

from mgmp_jax.models.alexnet import AlexNet
from mgmp_jax.models.classifier import Classifier
from mgmp_jax.models.resnet import ResNet
from mgmp_jax.models.start import abstract_variables, initial_variables
from mgmp_jax.models.transformer import Transformer
from mgmp_jax.models.vit import ViT

__all__ = [
    "TEXT_MODELS",
    "AlexNet",
    "Classifier",
    "Model",
    "ResNet",
    "Transformer",
    "ViT",
    "abstract_variables",
    "create",
    "features",
    "initial_variables",
    "names",
]


@runtime_checkable
class Model(Protocol):
    """What :func:`create` returns: a Linen module with its layers named, last first."""

    num_outputs: int
    layers: tuple[str, ...]

    def init(self, rngs: Any, *args: Any, **kwargs: Any) -> Any:
        """Initial variables, as Linen's."""
        ...

    def apply(self, variables: Any, *args: Any, **kwargs: Any) -> Any:
        """Outputs, as Linen's."""
        ...


_MODELS: dict[str, Any] = {
    "resnet18": partial(ResNet, stage_sizes=(2, 2, 2, 2)),
    "resnet50": partial(ResNet, stage_sizes=(3, 4, 6, 3), bottleneck=True),
    "alexnet": AlexNet,
    "vit-small": partial(ViT, width=384, num_heads=6),
    "vit-base": partial(ViT, width=768, num_heads=12),
    "distilbert": Transformer,
    "bert-base": partial(Transformer, style="bert", depth=12, head_dropout=0.1),
    "minilm": partial(Transformer, style="bert", width=384, head_dropout=0.1),
}

TEXT_MODELS = ("distilbert", "bert-base", "minilm")
"""The models that read token ids; the others read images."""


def names() -> tuple[str, ...]:
    """The names that :func:`create` knows."""
    return tuple(_MODELS)


def create(name: str, *, num_outputs: int, **options: Any) -> Any:
    """The Linen module called ``name``, applied as ``module.apply(variables, x, train=False)``.

    Args:
        name: one of :func:`names`.
        num_outputs: width of the output, at least 1.
        **options: of the architecture, as its class documents them; all have ``width``
            and ``dtype``.

    Returns:
        A :class:`Model`: a Linen module from images ``[b, h, w, c]``, or token ids ``[b, l]``, to
        ``[b, outputs]``.

    Raises:
        ValueError: the name is unknown or an option does not exist.
    """
    if name not in _MODELS:
        raise ValueError(f"unknown architecture {name!r}; choose one of {', '.join(_MODELS)}")
    if num_outputs < 1:
        raise ValueError(f"num_outputs must be at least 1, got {num_outputs}")
    try:
        return _MODELS[name](num_outputs=num_outputs, **options)
    except TypeError as error:
        raise ValueError(f"{name} does not take these options: {error}") from error


def features(
    model: Any, variables: Mapping[str, Any], x: Float[Array, "b h w c"] | Int[Array, "b l"]
) -> tuple[Float[Array, "b outputs"], Float[Array, "b features"]]:
    """Outputs and embeddings, in evaluation mode.

    The embedding is the input of the last layer, of a text the first token's last hidden state.
    """
    outputs, state = model.apply(variables, x, train=False, mutable=["intermediates"])
    return outputs, state["intermediates"]["features"][0]
