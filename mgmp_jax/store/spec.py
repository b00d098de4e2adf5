"""What a model of the store is, and how models descend from each other."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from typing import Any, Literal

from mgmp_jax.arrays import check_whole
from mgmp_jax.data.tokenizer import Tokens
from mgmp_jax.training.recipe import Recipe

__all__ = ["ModelSpec", "fields"]


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """Names all that makes a model what it is; equal specs are one model.

    Args:
        arch: a name that :func:`mgmp_jax.models.create` knows.
        width: of the architecture, ``None`` for its own.
        data: a name that :func:`mgmp_jax.data.load` knows.
        subset: which of the disjoint class subsets, ``None`` for all classes.
        num_examples: how many training examples, ``None`` for all.
        skip: how many training examples are passed over before them.
        tokens: how texts become the token ids that it reads; ``None`` for images.
        start: the model whose weights it starts from, ``None`` for none.
        pretrained: the digest of the checkpoint it starts from where ``start`` is ``None``;
            without either it starts from random weights.
        head: whether the last layer of ``start`` is kept or initialised anew.
        teacher: the model whose answers on the examples take the place of their labels.
        answers: what a teacher answers: probabilities, or its label only.
        seed: of initialisation, batch order, augmentation and dropout.
        recipe: how it is trained.
        subsets: into how many subsets the classes are cut, ``None`` for
            :data:`mgmp_jax.data.NUM_SUBSETS`.

    Raises:
        ValueError: a number is not whole or too small, or ``head`` or ``answers`` is unknown.
    """

    arch: str
    data: str
    recipe: Recipe
    width: int | None = None
    subset: int | None = None
    num_examples: int | None = None
    skip: int = 0
    tokens: Tokens | None = None
    start: ModelSpec | None = None
    pretrained: str | None = None
    head: Literal["keep", "reinit"] = "keep"
    teacher: ModelSpec | None = None
    answers: Literal["probabilities", "labels"] = "probabilities"
    seed: int = 0
    subsets: int | None = None

    def __post_init__(self) -> None:
        least = {"width": 1, "subset": 0, "num_examples": 1, "skip": 0, "seed": 0, "subsets": 1}
        for name, number in least.items():
            value = getattr(self, name)
            if value is not None or name in ("skip", "seed"):
                check_whole(name, value, number)
        if self.subsets is not None and (self.subset is None or self.subset >= self.subsets):
            raise ValueError(
                f"with subsets={self.subsets}, subset must be from 0 to {self.subsets - 1}; got "
                f"{self.subset}"
            )
        for name, choices in (
            ("head", ("keep", "reinit")),
            ("answers", ("probabilities", "labels")),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} must be one of {', '.join(choices)}; got {getattr(self, name)!r}"
                )

    @functools.cached_property
    def address(self) -> str:
        """Gives a readable name, unique to the spec: the folder of the model."""
        text = json.dumps(fields(self), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:10]
        task = self.data if self.subset is None else f"{self.data}.{self.subset}"
        if self.subsets is not None:
            task += f"of{self.subsets}"
        start = "scratch" if self.pretrained is None else "pretrained"
        if self.start is not None:
            start = f"from-{self.start.address[-6:]}"
        if self.teacher is not None:
            start += f"-taught-by-{self.teacher.address[-6:]}"
        return f"{self.arch}-{task}-{start}-seed{self.seed}-{digest}"

    def sibling(self, seed: int) -> ModelSpec:
        """Names a model made as this one, of the same data, with another seed.

        Raises:
            ValueError: it is this one's own seed.
        """
        if seed == self.seed:
            raise ValueError(f"a sibling needs another seed than the model's own, {seed}")
        return dataclasses.replace(self, seed=seed)

    def cousin(self, seed: int) -> ModelSpec:
        """Names a model made as this one of the training examples that come after its own.

        Raises:
            ValueError: this one has all examples.
        """
        if self.num_examples is None:
            raise ValueError(
                f"{self.address} is trained on all of {self.data}, which leaves nothing for a "
                "cousin; give num_examples"
            )
        return dataclasses.replace(self, seed=seed, skip=self.skip + self.num_examples)

    def descendant(self, task: ModelSpec, head: Literal["keep", "reinit"] = "keep") -> ModelSpec:
        """Names the model ``task``, started from this one's weights."""
        return dataclasses.replace(task, start=self, pretrained=None, head=head)

    def student(
        self, task: ModelSpec, answers: Literal["probabilities", "labels"] = "probabilities"
    ) -> ModelSpec:
        """Names the model ``task``, taught what this one answers instead of its labels.

        With probabilities this is distillation, with labels extraction from labels alone.
        """
        return dataclasses.replace(task, teacher=self, answers=answers)


def fields(made: Any) -> dict[str, Any]:
    """Gives the fields of a spec, or of what holds specs, as JSON holds them.

    Leaves ``subsets`` out where it is not given, so that addresses are as before it existed.
    """

    def given(items: list[tuple[str, Any]]) -> dict[str, Any]:
        return {name: value for name, value in items if (name, value) != ("subsets", None)}

    return dataclasses.asdict(made, dict_factory=given)
