"""The background of a pair cannot be mistaken: no caller hands it over."""

import inspect

import numpy as np
import pytest

from mgmp_jax.background import Background
from mgmp_jax.config import EXTENDED
from mgmp_jax.methods import MGMP, FittedMGMP
from mgmp_jax.methods.fragments import fragment_maker, pool_arrays
from mgmp_jax.references import Pair, ReferenceSet
from mgmp_jax.verifier import Verifier
from tests.families import Family


def arrays(references: ReferenceSet) -> dict[str, np.ndarray]:
    own = references.on("q")
    return pool_arrays(EXTENDED, own, own.source, Background.of(own), None)


def test_every_pair_is_made_with_the_background_that_leaves_its_own_task_out() -> None:
    own = Family(200).references().on("q")
    background, data = Background.of(own), arrays(Family(200).references())
    for i, pair in enumerate(own.pool):
        for side in ("homologous", "non_homologous"):
            (target,) = getattr(pair, side)
            latents = background.matrix(without=pair.task)
            source, fragments = fragment_maker(EXTENDED, own.source, latents)(target)
            np.testing.assert_array_equal(data["source"][i], source)
            np.testing.assert_array_equal(data[side][i], fragments)


def test_a_suspect_is_read_with_the_whole_background() -> None:
    family = Family(200)
    references = family.references()
    fitted = MGMP(EXTENDED.replace(epochs=1)).fit(references)
    np.testing.assert_array_equal(fitted.latents, Background.of(references.on("q")).matrix())


def test_nobody_hands_a_background_over() -> None:
    for function in (MGMP.fit, Verifier.fit, Verifier.verify, FittedMGMP.score):
        assert not {"latents", "background", "tasks"} & set(inspect.signature(function).parameters)


def test_tasks_in_another_order_change_nothing() -> None:
    references = Family(200).references()
    order = [3, 0, 4, 1, 2]
    permuted = ReferenceSet(references.source, [references.pool[i] for i in order])
    for name, values in arrays(permuted).items():
        np.testing.assert_allclose(values, arrays(references)[name][order], atol=1e-5)


def test_a_homologous_model_is_no_background() -> None:
    family = Family(200)
    model = family.tuned(family.own)
    with pytest.raises(ValueError, match=r"homologous.* and .* give equal answers"):
        ReferenceSet(family.model(family.own), [Pair("a", [model], [model]), family.pair("b")])
