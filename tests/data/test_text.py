import dataclasses
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from mgmp_jax import data
from mgmp_jax.data import text, topics
from mgmp_jax.data.buckets import bucket, trim
from mgmp_jax.data.tokenizer import Tokenizer

WHY = "pip install 'mgmp_jax[text]'"
pytest.importorskip("tokenizers", reason=WHY)
pyarrow = pytest.importorskip("pyarrow", reason=WHY)
parquet = pytest.importorskip("pyarrow.parquet", reason=WHY)


def write(folder: Path, name: str, file: str = "train.parquet", **columns: list) -> Path:
    path = folder / name / file
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table(columns), path)
    return folder


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    texts = topics.generate("topics10", "train", 200).texts
    return Tokenizer.learn(texts, tmp_path_factory.mktemp("vocabulary"), 16, vocab_size=500)


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [
        ("ag_news", 10_546, 1_054),
        ("amazon_review_full", 11_455, 1_145),
        ("dbpedia_14", 6_600, 1_000),
        ("20_newsgroups", 11_239, 7_466),
    ],
)
def test_real_sets(real_data: Path, name: str, train: int, test: int) -> None:
    for split, most in (("train", train), ("test", test)):
        texts = text.load_texts(name, split, real_data / "text")
        assert 0.95 * most < len(texts) <= most
        assert len(texts.labels) == len(texts)
        assert set(np.unique(texts.labels)) == set(range(data.NUM_CLASSES[name]))
        assert all(t.strip() for t in texts.texts)


def test_yahoo_and_yelp_in_the_layout_of_the_hub(tmp_path: Path) -> None:
    rows = 30
    write(
        tmp_path,
        "yahoo_answers_topics",
        "data/train-00000-of-00001.parquet",
        id=list(range(rows)),
        topic=[i % 10 for i in range(rows)],
        question_title=[f"title {i}" for i in range(rows)],
        question_content=[""] * rows,
        best_answer=[f"answer {i}" for i in range(rows)],
    )
    yahoo = text.load_texts("yahoo_answers_topics", "train", tmp_path)
    assert len(yahoo) == rows
    for one, label in zip(yahoo.texts, yahoo.labels, strict=True):
        number = int(one.split()[1])
        assert one == f"title {number} answer {number}"
        assert label == number % 10
    for part in (0, 1):
        write(
            tmp_path,
            "yelp_review_full",
            f"yelp_review_full/test-0000{part}-of-00002.parquet",
            label=[part, 4],
            text=[f"review {part}", "  "],
        )
    yelp = text.load_texts("yelp_review_full", "test", tmp_path)
    assert sorted(yelp.texts) == ["review 0", "review 1"]
    assert yelp.num_classes == 5


def test_only_so_many_training_texts_as_the_paper_uses(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(text, "MAX_TRAIN", 7)
    for split in ("train", "test"):
        columns = {"text": [f"text {i}" for i in range(20)], "label": [i % 4 for i in range(20)]}
        write(tmp_path, "ag_news", f"{split}.parquet", **columns)
    first, second = (text.load_texts("ag_news", "train", tmp_path) for _ in range(2))
    assert len(first) == 7
    assert first.texts == second.texts
    assert first.texts != tuple(f"text {i}" for i in range(7))
    assert len(text.load_texts("ag_news", "test", tmp_path)) == 20


def test_chosen_rows_are_the_first_with_texts_in_a_random_order_of_all(
    tmp_path: Path, monkeypatch
) -> None:
    rng, rows = np.random.default_rng(7), []
    for part, n in enumerate((50, 0, 83)):
        columns = {
            name: [[None, "", "  ", f"{name} {part} {i}"][rng.integers(4)] for i in range(n)]
            for name in ("title", "description")
        }
        labels = rng.integers(4, size=n).tolist()
        write(tmp_path, "ag_news", f"train-{part}.parquet", label=labels, **columns)
        write(tmp_path, "ag_news", f"test-{part}.parquet", label=labels, **columns)
        texts = [
            f"{title or ''} {more or ''}" for title, more in zip(*columns.values(), strict=True)
        ]
        rows += zip(texts, labels, strict=True)
    order = np.random.default_rng(0).permutation(len(rows))
    expected = [(" ".join(rows[i][0].split()), rows[i][1]) for i in order if rows[i][0].strip()]
    assert 60 < len(expected) < len(rows)
    monkeypatch.setattr(text, "_ROWS_AT_ONCE", 7)
    monkeypatch.setattr(text, "MAX_TRAIN", 40)
    for split, wanted in (("train", expected[:40]), ("test", expected)):
        got = text.load_texts("ag_news", split, tmp_path)
        assert [" ".join(one.split()) for one in got.texts] == [one for one, _ in wanted]
        assert got.labels.tolist() == [label for _, label in wanted]


def test_memory_holds_the_chosen_rows_and_no_other_columns(tmp_path: Path, monkeypatch) -> None:
    n, long = 6000, "x" * 4000
    columns = {"label": [0] * n, "text": [f"{long} {i}" for i in range(n)]}
    columns["unread"] = pyarrow.array([b"\xff"] * n).view(pyarrow.string())  # no UTF-8
    write(tmp_path, "ag_news", **columns)
    monkeypatch.setattr(text, "_ROWS_AT_ONCE", 100)
    monkeypatch.setattr(text, "MAX_TRAIN", 100)
    text.load_texts("ag_news", "train", tmp_path)
    tracemalloc.start()
    try:
        assert len(text.load_texts("ag_news", "train", tmp_path)) == 100
        assert tracemalloc.get_traced_memory()[1] < 0.1 * n * len(long)
    finally:
        tracemalloc.stop()


def test_rows_of_a_later_batch_are_named_by_their_number_in_the_file(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(text, "_ROWS_AT_ONCE", 2)
    write(tmp_path, "ag_news", text=[b"a", b"b", b"\xff"], label=[0, 1, 2])
    with pytest.raises(ValueError, match="UTF-8 in row 2"):
        text.load_texts("ag_news", "train", tmp_path)
    write(tmp_path, "ag_news", text=["a"] * 6, label=[0, 1, 2, 3, 3, 4])
    with pytest.raises(ValueError, match="row 5 of the column 'label' has 4"):
        text.load_texts("ag_news", "train", tmp_path)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": ["a", "b"], "label": [0, 4]}, "must be 0 to 3; row 1 of the column 'label' has"),
        ({"text": ["a"], "label": [-1]}, "must be 0 to 3; row 0 of the column 'label' has -1"),
        ({"text": ["a"], "label": ["sports"]}, "whole numbers, .* 'label' .* type str in row 0"),
        ({"text": ["a", "b"], "label": [0, 0.97]}, "whole numbers, but .* type float in row 0"),
        ({"text": ["a", "b"], "label": [[0], [1]]}, "whole numbers, but .* type list in row 0"),
        ({"text": ["a", "b"], "label": [0, None]}, "whole numbers, but .* type NoneType in row 1"),
        ({"text": ["a", "b"], "label": [True, False]}, "whole numbers, but .* type bool in row 0"),
        ({"text": [["a", "b"]], "label": [0]}, "'text' must hold texts, but row 0 is of type list"),
        ({"text": [{"a": "b"}], "label": [0]}, "'text' must hold texts, but .* type dict"),
        ({"text": [float("nan")], "label": [0]}, "'text' must hold texts, but .* type float"),
        ({"text": [None, 3], "label": [0, 0]}, "'text' must hold texts, but row 1 is of type int"),
        ({"text": [b"a", b"\xff"], "label": [0, 0]}, "'text' holds bytes .* not UTF-8 in row 1"),
        (
            {"title": ["a"], "description": [7], "label": [0]},
            "'description' must hold texts, but row 0 is of type int",
        ),
        ({"words": ["a"], "label": [0]}, r"must have the columns .* got \['label', 'words'\]"),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, columns: dict, message: str) -> None:
    with pytest.raises(ValueError, match=rf"ag_news/train.parquet: .*{message}"):
        text.load_texts("ag_news", "train", write(tmp_path, "ag_news", **columns))


def test_a_set_of_empty_texts_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "ag_news", text=[" ", None], label=[0, 1])
    with pytest.raises(ValueError, match="ag_news has no texts in its split 'train'"):
        text.load_texts("ag_news", "train", tmp_path)


def test_bytes_are_decoded_and_nothing_is_an_empty_text(tmp_path: Path) -> None:
    columns = {"title": [b"gut", "größer".encode()], "description": [None, b"b"], "label": [0, 3]}
    texts = text.load_texts("ag_news", "train", write(tmp_path, "ag_news", **columns))
    assert dict(zip(texts.texts, texts.labels, strict=True)) == {"gut": 0, "größer b": 3}
    words = pyarrow.array(["a", "b", "a"]).dictionary_encode()
    write(tmp_path, "yelp_review_full", text=words, label=[0, 1, 0])
    yelp = text.load_texts("yelp_review_full", "train", tmp_path)
    assert sorted(yelp.texts) == ["a", "a", "b"]


def test_the_file_of_several_that_is_wrong_is_named(tmp_path: Path) -> None:
    write(tmp_path, "ag_news", "train-0.parquet", text=["a"], label=[0])
    write(tmp_path, "ag_news", "train-1.parquet", text=[3], label=[0])
    with pytest.raises(ValueError, match=r"ag_news/train-1.parquet: the column 'text'"):
        text.load_texts("ag_news", "train", tmp_path)


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "ag_news").mkdir()
    os.mkfifo(tmp_path / "ag_news" / "train.parquet")
    with pytest.raises(FileNotFoundError, match=r"expected ag_news/train\.parquet"):
        text.load_texts("ag_news", "train", tmp_path)
    with pytest.raises(FileNotFoundError, match="its user has no home"):
        text.load_texts("ag_news", "train", "~no-such-user-here/x")


def test_the_code_of_a_data_set_is_never_run(tmp_path: Path, monkeypatch) -> None:
    datasets = pytest.importorskip("datasets", reason="pip install 'mgmp_jax[text]'")
    asked = {}

    def load(hub_id: str, **options: object) -> object:
        asked.update(options)
        return datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]})

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert len(text.load_texts("ag_news", "train", tmp_path, download=True)) == 2
    assert asked == {"split": "train", "trust_remote_code": False}


def test_texts_stay_parallel_to_their_token_ids(tokenizer: Tokenizer) -> None:
    whole = data.load("topics100", "train", limit=300, tokenizer=tokenizer)
    for part in (whole, whole.take(20), whole.take(20, 5), whole.of_classes([7, 3])):
        assert part.texts is not None
        assert len(part.texts) == len(part)
        np.testing.assert_array_equal(tokenizer.encode(part.texts), part.inputs)
    assert whole.take(20, 5).texts == whole.texts[5:25]
    with pytest.raises(ValueError, match="there are 300 inputs, but 2 texts"):
        dataclasses.replace(whole, texts=("a", "b"))


def test_absent_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"amazon_review_full/train.parquet.*no home on"):
        text.load_texts("amazon_review_full", "train", tmp_path, download=True)
    with pytest.raises(FileNotFoundError, match=r"Yelp/yelp_review_full, on the terms"):
        text.load_texts("yelp_review_full", "train", tmp_path)
    (tmp_path / "ag_news").mkdir()
    (tmp_path / "ag_news" / "train.parquet").write_bytes(b"PAR1 no parquet")
    with pytest.raises(ValueError, match=r"train.parquet is not a readable parquet file"):
        text.load_texts("ag_news", "train", tmp_path)


def test_no_network_is_said(tmp_path: Path, monkeypatch) -> None:
    datasets = pytest.importorskip("datasets", reason="pip install 'mgmp_jax[text]'")

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("network is unreachable")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(FileNotFoundError, match=r"fancyzhx/ag_news cannot be had"):
        text.load_texts("ag_news", "train", tmp_path, download=True)


def test_topics_depend_on_their_index_alone_and_carry_their_class() -> None:
    few, many = (topics.generate("topics10", "train", n) for n in (20, 300))
    assert few.texts == many.texts[:20]
    assert topics.generate("topics10", "test", 20).texts != few.texts
    words = [{w for t in many.texts[c::10] for w in t.strip(".").split()} for c in range(10)]
    test = topics.generate("topics10", "test", 100)
    guesses = [
        int(np.argmax([np.mean([w in known for w in t.strip(".").split()]) for known in words]))
        for t in test.texts
    ]
    assert np.mean(guesses == test.labels) > 0.6
    with pytest.raises(ValueError, match="choose topics10 or topics100"):
        topics.generate("topics20", "train", 1)


def test_text_sets_need_a_tokenizer(tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="topics10 is text: give the tokenizer"):
        data.load("topics10", "train")
    examples = data.load("topics100", "train", limit=30, tokenizer=tokenizer)
    assert examples.inputs.shape == (30, 16)
    with pytest.raises(FileNotFoundError, match=r"no tokenizer.json or vocab.txt in"):
        Tokenizer.load(tmp_path, 16)


def test_buckets_hold_their_texts() -> None:
    tokens = np.zeros((5, 10), np.int32)
    for row, n in zip(tokens, (1, 3, 4, 9, 10), strict=True):
        row[:n] = 7
    assert bucket(tokens).tolist() == [3, 3, 6, 9, 10]
    assert trim(tokens[:2]).shape == (2, 3)
    assert trim(tokens[:3]).shape == (3, 6)
    np.testing.assert_array_equal(trim(tokens), tokens)


@pytest.mark.parametrize("counted", [1, 3])
def test_a_file_of_other_rows_than_it_says_is_named(counted: int) -> None:
    rows = {"text": ["a", "b"], "label": [0, 1]}
    table = text._Table("train.parquet", counted, list(rows), lambda _: [rows])
    with pytest.raises(ValueError, match=f"train.parquet is damaged: .* has {counted} rows"):
        text._make_texts("ag_news", "train", [table])
