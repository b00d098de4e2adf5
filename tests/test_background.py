import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from mgmp_jax.background import Background, ResidualFragments
from mgmp_jax.dna import align, assemble
from mgmp_jax.linear import standardise
from mgmp_jax.methods import EXTENDED, MGMP, SiblingTest
from mgmp_jax.references import Pair, ReferenceSet
from mgmp_jax.responses import Responses
from mgmp_jax.verifier import Verifier
from tests.families import Family

N = 200


def constant(value: float, width: int = 1) -> Responses:
    values = np.full((N, width), value, np.float32)
    values[0] += 1  # or it would answer every query alike
    return Responses(values, "logits", "q")


def references(*tasks: float, siblings: int = 0) -> ReferenceSet:
    pool = [Pair(f"{t}", [constant(50 + t)], [constant(70 + t), constant(t)]) for t in tasks]
    return ReferenceSet(constant(-5), pool, [constant(90 + i) for i in range(siblings)])


def test_the_background_of_a_pair_leaves_its_own_task_out() -> None:
    background = Background.of(references(1, 2, 3).on("q"), constant(9, 2))
    assert background.matrix()[1].tolist() == [9, 9, 1, 2, 3]
    assert background.matrix(without="2")[1].tolist() == [9, 9, 1, 3]


def test_siblings_join_it() -> None:
    background = Background.of(references(1, siblings=2).on("q"))
    assert background.matrix()[1].tolist() == [90, 91, 1]
    assert background.matrix(without="1")[1].tolist() == [90, 91]


def test_as_many_siblings_join_it_as_the_queries_allow() -> None:
    many = references(1, 2, siblings=90)
    with pytest.warns(UserWarning, match="76 of 90 siblings join the background: it may be 80"):
        background = Background.of(many.on("q"), constant(9, 2))
    assert background.siblings == 76 and background.matrix().shape == (N, 2 + 76 + 2)
    assert background.matrix()[1, 2:5].tolist() == [90, 91, 92]
    family = Family(100)
    crowded = dataclasses.replace(family.references(2, siblings=12), controls=[])
    quick = [MGMP(EXTENDED.replace(epochs=1, batch_size=50)), SiblingTest()]
    with pytest.warns(UserWarning, match="of 12 siblings join the background"):
        verifier = Verifier.fit(crowded, quick)  # together they are 72 wide, of at most 40
    assert verifier.verify(family.tuned(family.own)).knowledge.score is not None
    generator = Responses(family.noise(), "embedding", "q")
    with pytest.raises(ValueError, match="generator and non-homologous models are 41 wide"):
        Verifier.fit(family.references(7), [MGMP(EXTENDED.replace(epochs=1), generator)])


def test_one_task_alone_leaves_nothing() -> None:
    with pytest.raises(ValueError, match="at least two tasks, siblings or a generator; got 1 task"):
        Background.of(references(1).on("q"))
    with pytest.raises(ValueError, match="different query sets"):
        Background.of(references(1, 2).on("q"), Responses(np.eye(N), "embedding", "others"))


def test_fragments_are_about_those_of_two_regressions_one_after_the_other() -> None:
    rng = np.random.default_rng(0)
    known, background = rng.normal(size=(2, 1000, 4))
    source = known + background @ rng.normal(size=(4, 4))
    target = known @ rng.normal(size=(4, 6)) + 0.5 * rng.normal(size=(1000, 6))
    s, t = ResidualFragments(background, source).of(target, align=True)
    z, *both = (jnp.asarray(x, jnp.float32) for x in (background, source, target))
    left = [assemble(z, y, "residual") for y in both]
    expected = standardise(left[0]), align(*left)
    np.testing.assert_allclose(s, expected[0], atol=1e-3)
    np.testing.assert_allclose(t, expected[1], atol=0.05)
    assert np.corrcoef(s.ravel(), t.ravel())[0, 1] > 0.8
    same, plain = ResidualFragments(background, source).of(target, align=False)
    np.testing.assert_array_equal(same, s)
    np.testing.assert_allclose(plain, standardise(left[1]), atol=1e-3)


@pytest.mark.parametrize("width", [10, 60, 120])
def test_a_wide_target_that_knows_nothing_seems_to_know_nothing(width: int) -> None:
    rng = np.random.default_rng(1)
    source, noise = rng.normal(size=(300, 10)), rng.normal(size=(300, width))
    s, t = ResidualFragments(rng.normal(size=(300, 50)), source).of(noise, align=True)
    assert abs(np.corrcoef(s.ravel(), t.ravel())[0, 1]) < 0.1


def test_what_is_too_wide_is_refused() -> None:
    rng = np.random.default_rng(2)
    source, wide = rng.normal(size=(300, 10)), rng.normal(size=(300, 150))
    with pytest.raises(ValueError, match="the background is 150 wide on 300 queries"):
        ResidualFragments(wide, source)
    with pytest.raises(ValueError, match="the target's responses are 150 wide on 300 queries"):
        ResidualFragments(source, source).of(wide, align=True)
