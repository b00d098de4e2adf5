import numpy as np
import pytest

from mgmp_jax import mgmp
from mgmp_jax.config import MGMPConfig
from mgmp_jax.responses import Responses
from mgmp_jax.verifier import Verifier
from tests.test_mgmp import EXTENDED, PAPER, QUERIES, RESIDUAL, SOURCE, N, zoo

LATENTS = np.random.default_rng(9).normal(size=(N, 5)).astype(np.float32)


def make(config=RESIDUAL, latents=LATENTS) -> Verifier:
    variables = mgmp.fit(config, QUERIES, SOURCE, zoo(0.7, 5), zoo(0.1, 5, seed=1), latents=latents)
    return Verifier(config, variables, QUERIES, SOURCE, latents)


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    return make()


def test_scores_and_verdicts(verifier: Verifier) -> None:
    relative, stranger = zoo(0.7, 1, seed=3)[0], zoo(0.1, 1, seed=4)[0]
    assert verifier.score(relative) == pytest.approx(verifier.fragment_scores(relative).mean())
    assert verifier.judge(relative, 0.5).verdict == "homologous"
    assert verifier.judge(stranger, 0.5).verdict == "not homologous"
    assert verifier.judge(stranger, 1.0).verdict == "inconclusive"
    assert verifier.judge(relative).p_value is None


def test_calibration_gives_a_p_value_that_is_never_zero(verifier: Verifier) -> None:
    strangers = zoo(0.1, 9, seed=5)
    calibrated = verifier.calibrate(strangers)
    relative = calibrated.judge(zoo(0.7, 1, seed=3)[0])
    assert (relative.p_value, relative.num_calibration) == (pytest.approx(0.1), 9)
    lowest = min(strangers, key=calibrated.score)
    assert calibrated.judge(lowest).p_value == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("config", "latents"),
    [
        (PAPER, None),
        (RESIDUAL, LATENTS),
        (RESIDUAL.replace(assemble="concatenation"), LATENTS),
        (EXTENDED, None),
    ],
)
def test_saved_and_loaded_it_judges_the_same(tmp_path, config: MGMPConfig, latents) -> None:
    make(RESIDUAL.replace(epochs=1)).save(tmp_path)
    original = make(config.replace(epochs=1), latents).calibrate(zoo(0.1, 3, seed=5))
    original.save(tmp_path)
    loaded = Verifier.load(tmp_path)
    suspect = zoo(0.7, 1, seed=3)[0]
    np.testing.assert_array_equal(
        loaded.fragment_scores(suspect), original.fragment_scores(suspect)
    )
    assert loaded.judge(suspect) == original.judge(suspect)


def test_what_does_not_fit_is_said(verifier: Verifier, tmp_path) -> None:
    with pytest.raises(ValueError, match="other queries than those given"):
        Verifier(verifier.config, verifier.variables, QUERIES[::-1], SOURCE)
    for latents, message in (
        (None, "no latents are given"),
        (LATENTS[:5], r"\[n, z\] for the 60 queries, got shape \(5, 5\)"),
        (np.where(LATENTS > 2, np.nan, LATENTS), "not finite"),
    ):
        with pytest.raises(ValueError, match=message):
            Verifier(verifier.config, verifier.variables, QUERIES, SOURCE, latents)
    with pytest.raises(ValueError, match="different query sets"):
        verifier.score(Responses(SOURCE.values, "logits", "other"))
    with pytest.raises(ValueError, match=r"from 0.5 to 1, got 0.3"):
        verifier.judge(SOURCE, threshold=0.3)
    with pytest.raises(FileNotFoundError, match="no verifier in"):
        Verifier.load(tmp_path)
    (tmp_path / "verifier.json").write_text('{"config": {"nonsense": 1}, "calibration": []}')
    with pytest.raises(ValueError, match=r"is damaged.*Delete that folder"):
        Verifier.load(tmp_path)
    verifier.save(tmp_path)
    (tmp_path / "latents.npy").unlink()
    with pytest.raises(ValueError, match="no latents are given"):
        Verifier.load(tmp_path)
