"""Token ids: from a checkpoint's tokenizer.json or vocab.txt, or from a learnt vocabulary."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mgmp_jax.data import topics
from mgmp_jax.data.tokenizer import Tokenizer

pytest.importorskip("tokenizers", reason="pip install 'mgmp_jax[text]'")

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "##s", "The"]
VOCABULARY += ["[", "]", "pad", "PAD", "é", "e"]


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vocabulary")
    texts = topics.generate("topics10", "train", 200).texts
    Tokenizer.learn(texts, folder, 16, vocab_size=500)
    return folder


@pytest.fixture
def tokenizer(learnt: Path) -> Tokenizer:
    return Tokenizer.load(learnt, 16)


def write_vocabulary(folder: Path, lines: list[str] = VOCABULARY, **config: Any) -> Path:
    (folder / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if config:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def words(tokens: np.ndarray, vocabulary: list[str] = VOCABULARY) -> list[str]:
    return [vocabulary[i] for i in tokens if i]


def test_tokens_are_padded_cut_and_framed(tokenizer: Tokenizer) -> None:
    short, long = "bado.", "bado " * 40
    tokens = tokenizer.encode([short, long])
    assert tokens.shape == (2, 16)
    assert tokens.dtype == np.int32
    assert tokens[0, 0] == 2
    n = np.count_nonzero(tokens[0])
    assert tokens[0, n - 1] == 3
    assert not tokens[0, n:].any()
    assert np.count_nonzero(tokens[1]) == 16
    assert tokens[1, -1] == 3
    assert tokens.max() < tokenizer.tokens.vocab_size


def test_texts_are_encoded_once(tmp_path: Path, learnt: Path, monkeypatch) -> None:
    cached = Tokenizer.load(learnt, 16, tmp_path)
    tokens = cached.encode(["bado", "kite"])
    assert len(list(tmp_path.iterdir())) == 1
    monkeypatch.setattr(cached, "_backend", None)
    np.testing.assert_array_equal(cached.encode(["bado", "kite"]), tokens)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b"\x93NUMPY broken"),
        lambda path: np.save(path, np.zeros((2, 9), np.int32)),
        lambda path: np.save(path, np.zeros((2, 16))),
        lambda path: np.save(path, np.full((2, 16), 10**6, np.int32)),
    ],
)
def test_damage_in_the_cache_is_named(
    tmp_path: Path, learnt: Path, damage: Callable[[Path], Any]
) -> None:
    cached = Tokenizer.load(learnt, 16, tmp_path)
    cached.encode(["bado", "kite"])
    (path,) = tmp_path.iterdir()
    damage(path)
    with pytest.raises(ValueError, match=rf"{path.name} is damaged.*delete it and run"):
        cached.encode(["bado", "kite"])


def test_a_learnt_vocabulary_is_kept(tmp_path: Path) -> None:
    texts = topics.generate("topics10", "train", 50).texts
    first = Tokenizer.learn(texts, tmp_path, 8)
    again = Tokenizer.learn(["other words altogether"], tmp_path, 8)
    assert first.tokens == again.tokens
    assert Tokenizer.load(tmp_path, 8).tokens.vocab_size == first.tokens.vocab_size


def test_the_same_texts_give_the_same_vocabulary_in_every_process(tmp_path: Path) -> None:
    script = (
        "import sys; from mgmp_jax.data import topics; from mgmp_jax.data.tokenizer import "
        "Tokenizer; texts = topics.generate('topics10', 'train', 300).texts; "
        "print(Tokenizer.learn(texts, sys.argv[1], 16, vocab_size=400).tokens.vocabulary)"
    )
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    digests = {
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / str(i))],
            env={**environment, "PYTHONHASHSEED": str(i)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for i in range(2)
    }
    texts = topics.generate("topics10", "train", 300).texts
    for i in range(2, 5):
        tokenizer = Tokenizer.learn(texts, tmp_path / str(i), 16, vocab_size=400)
        digests.add(f"{tokenizer.tokens.vocabulary}\n")
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a", "  "], "text 1 is an empty text"),
        ([], "give at least one text"),
        ("one text", "give a list of texts"),
        (["a", "half a pair \ud800"], "text 1 holds half a surrogate pair"),
    ],
)
def test_what_is_no_text_is_refused(tokenizer: Tokenizer, texts: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tokenizer.encode(texts)


def test_special_tokens_in_a_text_are_plain_text(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(write_vocabulary(tmp_path), 16, lowercase=True)
    (row,) = tokenizer.encode(["the [PAD] cat [SEP] sat"])
    got = words(row)
    assert got == ["[CLS]", "the", "[", "pad", "]", "cat", "[", "[UNK]", "]", "sat", "[SEP]"]
    assert row[len(got) :].tolist() == [0] * (16 - len(got))


def change_json(folder: Path, target: Path, change: Callable[[dict], Any]) -> Path:
    content = json.loads((folder / "tokenizer.json").read_text())
    change(content)
    (target / "tokenizer.json").write_text(json.dumps(content))
    return target


def test_padding_that_is_spelt_as_an_ordinary_token_is_refused(
    learnt: Path, tmp_path: Path
) -> None:
    def ordinary(content: dict) -> None:
        for token in content["added_tokens"]:
            token["special"] = False

    tokenizer = Tokenizer.load(change_json(learnt, tmp_path, ordinary), 16)
    with pytest.raises(ValueError, match=r"text 1 spells \[PAD\]"):
        tokenizer.encode(["bado", "bado [PAD] bado"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(post_processor=None), r"between \[CLS\] and \[SEP\].*post-processor"),
        (lambda c: c["post_processor"]["special_tokens"].pop("[SEP]"), "cannot encode these texts"),
        (lambda c: c.pop("model"), "cannot be read"),
        (lambda c: c["model"]["vocab"].update({"a": 10**30}), "cannot be read"),
        (lambda c: c["model"]["vocab"].update({"a": 4 * 10**9}), "token ids must be below"),
    ],
)
def test_a_tokenizer_that_is_damaged_or_does_not_frame_is_refused(
    learnt: Path, tmp_path: Path, change: Callable[[dict], Any], message: str
) -> None:
    with pytest.raises(ValueError, match=rf"tokenizer.json.*{message}"):
        Tokenizer.load(change_json(learnt, tmp_path, change), 16)


def test_a_tokenizer_without_a_token_for_unknown_words_says_so(
    learnt: Path, tmp_path: Path
) -> None:
    def drop(content: dict) -> None:
        del content["model"]["vocab"]["[UNK]"]
        content["added_tokens"] = [t for t in content["added_tokens"] if t["id"] != 1]

    tokenizer = Tokenizer.load(change_json(learnt, tmp_path, drop), 16)
    with pytest.raises(ValueError, match=r"cannot encode these texts.*UNK"):
        tokenizer.encode(["☃"])


def test_vocabularies_with_holes_are_as_large_as_their_largest_id(
    learnt: Path, tmp_path: Path
) -> None:
    def skip_ids(content: dict) -> None:
        content["model"]["vocab"]["snowman"] = 600

    tokenizer = Tokenizer.load(change_json(learnt, tmp_path, skip_ids), 16)
    assert tokenizer.tokens.vocab_size == 601


def test_vocab_txt_alone_needs_to_be_told_the_case(tmp_path: Path) -> None:
    folder = write_vocabulary(tmp_path)
    with pytest.raises(ValueError, match=r"give lowercase=True .* \(2 of its tokens have capital"):
        Tokenizer.load(folder, 16)
    for lowercase, expected in ((True, ["the", "cat", "##s"]), (False, ["The", "cat", "##s"])):
        tokenizer = Tokenizer.load(folder, 16, lowercase=lowercase)
        assert words(tokenizer.encode(["The cats"])[0]) == ["[CLS]", *expected, "[SEP]"]
    assert tokenizer.tokens.vocab_size == len(VOCABULARY)


def test_the_config_beside_vocab_txt_tells_the_case(tmp_path: Path) -> None:
    folder = write_vocabulary(tmp_path, do_lower_case=False, strip_accents=True)
    assert words(Tokenizer.load(folder, 16).encode(["The é"])[0]) == ["[CLS]", "The", "e", "[SEP]"]
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true, "strip_accents": "x"}')
    with pytest.raises(ValueError, match=r"tokenizer_config.json holds an option of another type"):
        Tokenizer.load(folder, 16)


def test_the_code_of_a_checkpoint_is_never_run(tmp_path: Path, monkeypatch) -> None:
    auto_map = {"AutoTokenizer": ["evil.Evil", None], "AutoConfig": "evil.Evil"}
    folder = write_vocabulary(tmp_path, do_lower_case=True, auto_map=auto_map)
    (folder / "config.json").write_text(json.dumps({"model_type": "x", "auto_map": auto_map}))
    (folder / "evil.py").write_text("open(__file__ + '.ran', 'w').close()\nclass Evil: ...\n")
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    assert Tokenizer.load(folder, 16).tokens.vocab_size == len(VOCABULARY)
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "evil.py",
        "tokenizer_config.json",
        "vocab.txt",
    ]


@pytest.mark.filterwarnings("ignore:Deprecated in 0.9.0. WordPiece:DeprecationWarning")
def test_vocab_txt_gives_the_ids_of_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="pip install 'mgmp_jax[text]'")
    texts = ["The cats sat, the [cat]!", "  Thé 漢 cat\tsat\n", "unknown words the"]
    for lowercase in (True, False):
        folder = write_vocabulary(tmp_path, do_lower_case=lowercase, model_type="bert")
        theirs = transformers.BertTokenizerFast.from_pretrained(folder, do_lower_case=lowercase)
        expected = theirs(texts, padding="max_length", max_length=16)["input_ids"]
        ours = Tokenizer.load(folder, 16).encode(texts)
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"\xff\xfe", "is not UTF-8"),
        (b"the\ncat\n", r"lacks \[PAD\], \[UNK\], \[CLS\], \[SEP\]"),
    ],
)
def test_a_damaged_vocab_txt_is_named(tmp_path: Path, raw: bytes, message: str) -> None:
    (tmp_path / "vocab.txt").write_bytes(raw)
    with pytest.raises(ValueError, match=rf"vocab.txt.*{message}"):
        Tokenizer.load(tmp_path, 16, lowercase=True)


def test_line_ends_and_byte_order_marks_of_windows_are_read(tmp_path: Path) -> None:
    raw = "\r\n".join([*VOCABULARY, ""]).encode("utf-8-sig")
    (tmp_path / "vocab.txt").write_bytes(raw)
    tokenizer = Tokenizer.load(tmp_path, 16, lowercase=True)
    assert words(tokenizer.encode(["the cat"])[0]) == ["[CLS]", "the", "cat", "[SEP]"]


def test_padding_has_the_id_zero(tmp_path: Path) -> None:
    folder = write_vocabulary(tmp_path, ["the", *VOCABULARY[:5]])
    with pytest.raises(ValueError, match=r"has \[PAD\] as token 1; expected 0"):
        Tokenizer.load(folder, 16, lowercase=True)


def test_only_regular_files_are_read(tmp_path: Path, learnt: Path) -> None:
    os.mkfifo(tmp_path / "tokenizer.json")
    os.mkfifo(tmp_path / "vocab.txt")
    with pytest.raises(FileNotFoundError, match=r"no tokenizer.json or vocab.txt in"):
        Tokenizer.load(tmp_path, 16)
    with pytest.raises(FileNotFoundError, match="its user has no home"):
        Tokenizer.load("~no-such-user-here/x", 16)
    with pytest.raises(ValueError, match="says itself whether texts are lower-cased"):
        Tokenizer.load(learnt, 16, lowercase=True)
    with pytest.raises(ValueError, match="max_length must be at least 3, got 2"):
        Tokenizer.load(learnt, 2)
