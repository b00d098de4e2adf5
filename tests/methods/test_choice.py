import dataclasses

import numpy as np
import pytest

from mgmp_jax.answers import answers_to
from mgmp_jax.config import EXTENDED, PAPER_WITHOUT_GENERATOR
from mgmp_jax.methods import MGMP, ChosenMGMP, Method, choice
from mgmp_jax.references import Pair, ReferenceSet
from mgmp_jax.verifier import Verifier
from tests.families import Family

GOOD = EXTENDED.replace(batch_size=100, epochs=20)
USELESS = GOOD.replace(learning_rate=0.0, epochs=1)
PLAIN = PAPER_WITHOUT_GENERATOR.replace(batch_size=100, epochs=2)


@pytest.fixture(scope="module")
def family() -> Family:
    return Family(300)


@pytest.fixture(scope="module")
def references(family: Family) -> ReferenceSet:
    return family.references(tasks=4, controls=2)


def test_the_best_on_tasks_left_out_is_fitted_to_all_of_them(
    references: ReferenceSet, capsys: pytest.CaptureFixture
) -> None:
    method = ChosenMGMP([MGMP(USELESS), MGMP(GOOD)], name="chosen")
    assert isinstance(method, Method)
    fitted = method.fit(references, seed=3)
    same = MGMP(GOOD, name="chosen").fit(references, seed=3)
    assert fitted.config == same.config and fitted.name == "chosen"
    said = capsys.readouterr().out.replace("\n", " ")
    assert "candidate 0, MGMP: loss 0.69" in said and "left out, chosen" in said
    for name, array in same.to_arrays()[1].items():
        np.testing.assert_array_equal(fitted.to_arrays()[1][name], array)


def test_what_is_left_out_has_no_part_in_the_training(
    references: ReferenceSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, fit_together = [], choice.fit_together

    def noting(fits):
        seen.extend(fit.references for fit in fits)
        return fit_together(fits)

    monkeypatch.setattr(choice, "fit_together", noting)
    (found,) = ChosenMGMP([MGMP(GOOD)]).left_out(references)
    tasks = [pair.task for pair in references.pool]
    assert [[p.task for p in rest.pool] for rest in seen] == [
        [task for task in tasks if task != left_out] for left_out in tasks
    ]
    assert not any(rest.controls or rest.calibration for rest in seen)
    assert list(found.accuracy) == list(found.loss) == tasks and found.unfit is None
    assert np.mean(list(found.accuracy.values())) > 0.8 and 0 < found.mean_loss < np.log(2)


def test_the_loss_is_that_of_both_models_of_the_task(
    family: Family, references: ReferenceSet
) -> None:
    (found,) = ChosenMGMP([MGMP(GOOD)]).left_out(references)
    first, *others = references.pool
    method = MGMP(GOOD).fit(ReferenceSet(references.source, others))
    near, far = (
        method.fragment_scores(answers_to(models[-1], method.asks)).astype(float)
        for models in (first.homologous, first.non_homologous)
    )
    expected = -(np.log(np.maximum(near, 1e-3)) + np.log(np.maximum(1 - far, 1e-3))).mean() / 2
    assert found.loss[first.task] == pytest.approx(expected, rel=1e-6)


def test_candidates_that_cannot_be_fitted_are_passed_over(family: Family) -> None:
    pool = [
        Pair(f"task {w}", [family.tuned(family.own, w)], [family.tuned(family.noise(), w)])
        for w in (4, 5, 7)
    ]
    references = ReferenceSet(family.model(family.own), pool)
    plain = MGMP(PLAIN)
    found = ChosenMGMP([plain, MGMP(GOOD)]).left_out(references)
    assert "must be equally wide" in (found[0].unfit or "") and found[0].mean_loss == np.inf
    assert ChosenMGMP([plain, MGMP(GOOD)]).fit(references).config.align
    with pytest.raises(
        ValueError, match=r"none of the candidates can be fitted: [^;]* wide; [^;]*$"
    ):
        ChosenMGMP([plain, plain]).fit(references)


def test_a_verifier_is_made_of_it_and_a_training_resumed(
    references: ReferenceSet, tmp_path
) -> None:
    methods = [ChosenMGMP([MGMP(USELESS), MGMP(GOOD)])]

    def fit() -> Verifier:
        return Verifier.fit(references, methods=methods, folder=tmp_path / "training")

    verifier = fit()
    metrics = {path: path.read_bytes() for path in (tmp_path / "training").rglob("metrics.jsonl")}
    assert len(metrics) == 2 * len(references.pool) + 1
    assert fit().methods[0].settings == verifier.methods[0].settings
    assert all(path.read_bytes() == before for path, before in metrics.items())
    verifier.save(tmp_path / "verifier")
    (method,) = Verifier.load(tmp_path / "verifier").methods
    assert method.settings["config"]["epochs"] == 20


def test_the_last_models_of_a_task_are_judged_and_the_first_of_equals_is_chosen(
    capsys: pytest.CaptureFixture,
) -> None:
    family = Family(300, seed=1)
    pool = [family.pair(f"task {i}", checkpoints=2) for i in range(3)]
    strange = Pair(
        "strange",
        [family.tuned(family.noise()), pool[0].homologous[1]],
        [pool[0].non_homologous[1]],
    )
    references = ReferenceSet(family.model(family.own), [strange, *pool[1:]])
    (found,) = ChosenMGMP([MGMP(GOOD)]).left_out(references)
    assert found.accuracy["strange"] > 0.75
    named = [MGMP(GOOD), MGMP(GOOD.replace(dropout=GOOD.dropout))]
    losses = {one.mean_loss for one in ChosenMGMP(named).left_out(references)}
    assert len(losses) == 1
    ChosenMGMP(named).fit(references)
    first, second = [one for one in capsys.readouterr().out.splitlines() if "candidate" in one]
    assert "chosen" in first and "chosen" not in second


def test_a_folder_of_another_choice_is_refused(references: ReferenceSet, tmp_path) -> None:
    ChosenMGMP([MGMP(USELESS)]).fit(references, folder=tmp_path)
    with pytest.raises(ValueError, match="holds an MGMP trained with other"):
        ChosenMGMP([MGMP(USELESS.replace(dropout=0.5))]).fit(references, folder=tmp_path)


def test_candidates_that_would_fail_the_owner_are_unfit(family: Family) -> None:
    def pool() -> list[Pair]:
        return [
            Pair(f"task {i}", [family.tuned(family.own, 6)], [family.tuned(family.noise(), 6)])
            for i in range(3)
        ]

    def unfit(**more) -> list[str]:
        references = ReferenceSet(family.model(family.own), pool(), **more)
        tried = [MGMP(PLAIN), MGMP(GOOD.replace(align=False)), MGMP(GOOD)]
        return [one.unfit or "" for one in ChosenMGMP(tried).left_out(references)]

    siblings = [family.model(family.noise()) for _ in range(2)]
    plain, *others = unfit(siblings=siblings)
    assert "no background for the siblings to join" in plain and others == ["", ""]
    wide = [family.tuned(family.noise(), 8)]
    for group in ("controls", "calibration"):
        plain, unaligned, aligned = unfit(**{group: wide})
        assert "must be equally wide" in plain and "must be equally wide" in unaligned
        assert aligned == ""
    poorer = [family.tuned(family.noise(), 6).to("probabilities")]
    assert "cannot be converted to logits" in unfit(controls=poorer)[0]


def test_one_that_diverges_is_passed_over(family: Family) -> None:
    pool = [
        Pair(f"task {i}", [family.tuned(family.own, 6)], [family.tuned(family.noise(), 6)])
        for i in range(3)
    ]
    references = ReferenceSet(family.model(family.own), pool)
    wild = MGMP(PAPER_WITHOUT_GENERATOR.replace(batch_size=100, epochs=30, learning_rate=1e30))
    found = ChosenMGMP([wild, MGMP(USELESS)]).left_out(references)
    assert "the loss is nan" in (found[0].unfit or "") and found[1].unfit is None


def test_impossible_choices_are_refused(family: Family) -> None:
    with pytest.raises(ValueError, match="at least one MGMP, all asking one query set; got 0"):
        ChosenMGMP([])
    with pytest.raises(ValueError, match=r"got 2 that ask \['training', 'unseen'\]"):
        ChosenMGMP([MGMP(), dataclasses.replace(MGMP(), asks="unseen")])
    with pytest.raises(ValueError, match="must have at least three; got 2"):
        ChosenMGMP([MGMP(GOOD)]).fit(family.references(tasks=2))
