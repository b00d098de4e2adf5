"""What a row of the paper's Table 1 or 2 is made of: source, pool, evaluation and methods."""

import dataclasses
from collections.abc import Mapping, Sequence

from command import address

from mgmp_jax.config import MGMPConfig
from mgmp_jax.pool import ModelSpec


@dataclasses.dataclass(frozen=True)
class Pair:
    """A homologous and a non-homologous model trained on the same task."""

    task: str
    homologous: ModelSpec
    non_homologous: ModelSpec


@dataclasses.dataclass(frozen=True)
class Method:
    """A variant of MGMP.

    Args:
        config: of the MGMP.
        snapshots: whether the pool is enlarged by the states kept along each training.
        consensus: whether the logits of the pool's non-homologous models join the latents: what
            models answer that never saw the source.
        generators: models whose embeddings are the latents, one a seed, where the generator
            is fixed.
        generator_start: the model from whose starting weights a generator is trained, ``None``
            for random ones.
    """

    config: MGMPConfig
    snapshots: bool
    consensus: bool = False
    generators: tuple[ModelSpec, ...] = ()
    generator_start: ModelSpec | None = None

    def pool_epochs(self, spec: ModelSpec) -> tuple[int, ...]:
        """Which states of a pool model this variant learns from."""
        return spec.recipe.kept_epochs if self.snapshots else (spec.recipe.epochs,)


def methods(
    paper: MGMPConfig,
    without: MGMPConfig,
    extended: MGMPConfig,
    generators: Sequence[ModelSpec],
    generator_start: ModelSpec | None = None,
) -> dict[str, Method]:
    """The paper's method and the library's, each without and with generator.

    Args:
        paper: of the paper's method with generator.
        without: of the paper's method without.
        extended: of the library's.
        generators: the fixed generators of the library's, one a seed.
        generator_start: the model from whose starting weights the paper's generator is trained.
    """
    return {
        "paper, without generator": Method(without, snapshots=False),
        "paper": Method(paper, snapshots=False, generator_start=generator_start),
        "extended, consensus only": Method(extended, snapshots=True, consensus=True),
        "extended": Method(extended, snapshots=True, consensus=True, generators=tuple(generators)),
    }


@dataclasses.dataclass(frozen=True)
class Row:
    """What a row is made of.

    Args:
        name: in words; its folder bears it.
        source: the source model.
        pool: pairs that MGMP learns from.
        evaluation: pairs that it is judged on.
        num_queries: how many of the source's training examples are queries, the first ones;
            ``None`` is all.
        methods: variants of MGMP by name; the last is the one whose pictures are drawn.
        seeds: how many trainings of each.
        paper: the paper's accuracy with and without generator, in words.
    """

    name: str
    source: ModelSpec
    pool: tuple[Pair, ...]
    evaluation: tuple[Pair, ...]
    num_queries: int | None
    methods: Mapping[str, Method]
    seeds: int
    paper: str

    @property
    def address(self) -> str:
        """The name of its folder, unique to all that decides its numbers."""
        return address(self.name, self)


def check_seeds(seeds: int) -> int:
    """The number of seeds, or ``ValueError`` where it is none."""
    if seeds < 1:
        raise ValueError(f"--seeds must be at least 1, got {seeds}")
    return seeds


def check_together(together: int) -> None:
    """Raises ``ValueError`` unless at least one model is to be trained at once."""
    if together < 1:
        raise ValueError(f"--together must be at least 1, got {together}")


def check_subsets(pool: tuple[int, ...], evaluation: tuple[int, ...]) -> None:
    """Raises ``ValueError`` unless these are disjoint choices of the subsets 0 to 9."""
    if len(pool) < 2 or not evaluation:
        raise ValueError(
            "give at least two --pool-subsets, for a consensus of their models, and at least one "
            f"of --eval-subsets, each of 0 to 9; got {list(pool)} and {list(evaluation)}"
        )
    unknown = sorted(set(pool + evaluation) - set(range(10)))
    if unknown:
        raise ValueError(f"subsets are 0 to 9, got {unknown}")
    if len(set(pool + evaluation)) < len(pool + evaluation):
        raise ValueError(
            f"pool subsets {list(pool)} and evaluation subsets {list(evaluation)} must be "
            "disjoint and without repetition: MGMP is judged on tasks it never saw"
        )
