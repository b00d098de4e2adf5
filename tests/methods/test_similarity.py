import pytest

from mgmp_jax.methods import Similarity
from mgmp_jax.similarities import linear_cka
from tests.families import Family


def test_a_similarity_scores_suspects_against_the_source() -> None:
    family = Family(100)
    references = family.references()
    fitted = Similarity("linear CKA").fit(references)
    suspect = family.tuned(family.own)
    assert fitted.score(suspect) == pytest.approx(float(linear_cka(references.source, suspect)))
    about, arrays = fitted.to_arrays()
    assert type(fitted).from_arrays(about, arrays).score(suspect) == fitted.score(suspect)


def test_what_cannot_be_read_is_said() -> None:
    with pytest.raises(ValueError, match="unknown similarity 'CKA'; choose one of linear CKA"):
        Similarity("CKA")
    family = Family(8)
    fitted = Similarity("mutual k-NN").fit(family.references())
    reason = fitted.reads(family.tuned(family.own))
    assert reason is not None and "k must be from 1 to" in reason
