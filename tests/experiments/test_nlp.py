"""experiments/nlp.py: its rows, its arguments, and a whole run of tiny models."""

import dataclasses
import functools
import json
from pathlib import Path

import nlp
import pytest
from _rows import Row
from configs import nlp as config

from mgmp_jax import models
from mgmp_jax.data import NUM_CLASSES, text
from mgmp_jax.data.tokenizer import Tokens
from mgmp_jax.models.transformer import Transformer
from mgmp_jax.store import ModelStore

TOKENS = Tokens("vocabulary", 100, 64)


def row(pretrained: str | None = None, **arguments: object) -> Row:
    args = config.Args(**arguments)
    return nlp.make_row(args, nlp.choose_tasks(args), TOKENS, pretrained)


def test_rows_are_those_of_the_paper() -> None:
    for number, (arch, source, pool, evaluation, _) in config.ROWS.items():
        got = row(arch=arch, row=number)
        assert got.source.data == source
        assert tuple(pair.task for pair in got.pool) == pool
        assert tuple(pair.task for pair in got.evaluation) == evaluation
        assert {source, *pool, *evaluation} <= set(NUM_CLASSES)
        for pair in got.pool + got.evaluation:
            assert pair.homologous.start == got.source
            assert pair.homologous.head == "reinit"
            assert pair.non_homologous == dataclasses.replace(
                pair.homologous, start=None, head="keep"
            )


def test_stand_ins_are_named_and_never_in_pool_and_evaluation() -> None:
    for number in config.STAND_INS:
        got = row(arch=config.ROWS[number][0], row=number, stand_ins=True)
        tasks = [(p.homologous.data, p.homologous.subset) for p in got.pool + got.evaluation]
        assert len(set(tasks)) == len(tasks)
        assert not {"yahoo_answers_topics", "yelp_review_full"} & {data for data, _ in tasks}
        named = [p.task for p in got.pool + got.evaluation if "(for " in p.task]
        assert len(named) == 2
        for data in {data for data, _ in tasks}:
            subsets = [subset for d, subset in tasks if d == data]
            assert len(subsets) == 1 or None not in subsets


def test_non_homologous_models_start_from_the_checkpoint_or_from_random_weights() -> None:
    public, random = (row(start, preset="small") for start in ("digest", None))
    for got, start, frozen in ((public, "digest", 3), (random, None, 0)):
        for spec in (got.source, got.pool[0].non_homologous):
            assert (spec.pretrained, spec.recipe.frozen) == (start, frozen)
        assert got.pool[0].homologous.recipe.frozen == frozen
    assert public.name != random.name


def test_random_negatives_start_from_random_weights_and_all_else_from_the_checkpoint() -> None:
    easy, hard = (row("digest", preset="small", random_negatives=on) for on in (True, False))
    assert easy.name != hard.name
    assert easy.source == hard.source
    for one, other in zip(easy.pairs, hard.pairs, strict=True):
        assert one.homologous == other.homologous
        recipe = dataclasses.replace(other.non_homologous.recipe, frozen=0)
        negative = dataclasses.replace(other.non_homologous, recipe=recipe, pretrained=None)
        assert one.non_homologous == negative


def test_random_negatives_need_a_checkpoint_for_all_else(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give --pretrained"):
        nlp.main(config.Args(random_negatives=True, out=tmp_path / "out"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"row": 4}, r"rows of distilbert in Table 2 are \[1, 2, 3\], got 4"),
        ({"row": 2, "stand_ins": True}, r"row 2 has no stand-ins"),
        ({"preset": "demo", "row": 1}, "no --row and no --stand-ins"),
        ({"seeds": 0}, "--seeds must be at least 1, got 0"),
        ({"preset": "demo", "eval_subsets": (3,)}, "must be disjoint"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        row(**arguments)


def test_only_an_id_that_is_called_one_is_fetched(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("huggingface_hub", reason="pip install 'mgmp_jax[text]'")
    asked = []
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda one, **_: asked.append(one))
    monkeypatch.chdir(tmp_path)
    for given in ("runs/minilm", "./runs/minilm", "someone/minilm", "hub:./runs/minilm"):
        with pytest.raises(FileNotFoundError, match=r"no folder .*--pretrained hub:ID"):
            nlp.main(config.Args(pretrained=given, out=tmp_path / "out"))
    assert not asked
    with pytest.raises(FileNotFoundError, match="someone/minilm is no local folder"):
        nlp.main(config.Args(pretrained="hub:someone/minilm", out=tmp_path / "out"))
    assert asked == ["someone/minilm"]


def test_a_whole_run_and_the_same_again(tmp_path: Path, monkeypatch, few_epochs) -> None:
    pytest.importorskip("tokenizers", reason="pip install 'mgmp_jax[text]'")
    demo = config.PRESETS["demo"]
    tiny = dataclasses.replace(
        demo,
        widths={"distilbert": 24},
        max_length=8,
        examples=(160, 30),
        source=(1, 10, 1e-3),
        target=(1, 10, 2e-3),
        checkpoints=1,
        num_queries=120,
        mgmp={"epochs": 1, "batch_size": 20},
    )
    monkeypatch.setitem(config.PRESETS, "demo", tiny)
    monkeypatch.setitem(models._MODELS, "distilbert", functools.partial(Transformer, depth=2))
    args = config.Args(preset="demo", pool_subsets=(3, 6), eval_subsets=(1,), out=tmp_path)
    (results,) = nlp.main(args)
    assert {len(m["evaluation"]) for m in results["methods"].values()} == {2}
    assert len(results["models"]) == 8
    assert results["left_of_the_source"] == {}  # the last layers are new
    monkeypatch.setattr(ModelStore, "train", lambda *_: pytest.fail("trained twice"))
    assert nlp.main(args) == [json.loads(json.dumps(results))]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"preset": "demo"}, "no --row and no --stand-ins"), ({"seeds": 0}, "--seeds must be")],
)
def test_all_rows_do_not_hide_impossible_arguments(
    tmp_path: Path, arguments: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        nlp.main(config.Args(row="all", out=tmp_path, **arguments))


def test_all_rows_name_those_whose_data_are_missing(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(nlp, "run_one", lambda *_: text.load_texts("ag_news", "train", tmp_path))
    assert nlp.main(config.Args(row="all", out=tmp_path)) == []
    printed = " ".join(capsys.readouterr().out.split())
    assert all(f"Row {number} was not run: " in printed for number in (1, 2, 3, 4))
    assert "rows of distilbert in Table 2 are [1, 2, 3], got 4" in printed


def test_all_rows_with_stand_ins_name_those_that_have_none(
    tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(nlp, "run_one", lambda args, *_: {"row": args.row})
    found = nlp.main(config.Args(row="all", stand_ins=True, out=tmp_path))
    assert [one["row"] for one in found] == [1, 3]
    printed = " ".join(capsys.readouterr().out.split())
    assert "Row 2 was not run: row 2 has no stand-ins" in printed
