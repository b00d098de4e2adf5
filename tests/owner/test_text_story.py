"""Texts: Hugging Face folders whose tokenizers differ, from raw queries to a verdict on lineage."""

import json
from pathlib import Path

import numpy as np
import pytest

from mgmp_jax.cli import main
from mgmp_jax.data import topics

torch = pytest.importorskip("torch", reason="PyTorch is not installed (pip install torch)")
transformers = pytest.importorskip("transformers", reason="pip install 'mgmp_jax[hf]'")
pytest.importorskip("tyro", reason="pip install 'mgmp_jax[cli]'")
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def classifier(seed: int, words: int, classes: int):
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=len(SPECIAL) + words, hidden_size=16, num_hidden_layers=2,
        num_attention_heads=2, intermediate_size=32, max_position_embeddings=64,
        num_labels=classes, initializer_range=0.5,
    )  # fmt: skip
    return transformers.BertForSequenceClassification(config).eval()


def write(folder: Path, model, words: list[str]) -> None:
    vocabulary = {word: i for i, word in enumerate([*SPECIAL, *words])}
    transformers.BertTokenizer(vocab=vocabulary).save_pretrained(folder)
    model.save_pretrained(folder)


def descend(source, order: np.ndarray, seed: int):
    """A descendant with other classes, whose tokenizer numbers the words in another order."""
    model = classifier(seed, len(order), 4)
    state = {k: v for k, v in source.state_dict().items() if not k.startswith("classifier")}
    table = "bert.embeddings.word_embeddings.weight"
    rows = np.concatenate([np.arange(len(SPECIAL)), len(SPECIAL) + order])
    state[table] = state[table][rows]
    model.load_state_dict(state, strict=False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model


def mgmp(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_a_descendant_with_another_tokenizer_is_found(tmp_path: Path, capsys) -> None:
    texts = topics.generate("topics10", "test", 600).texts
    words = sorted({word for text in texts for word in text.lower().split() if word.isalpha()})
    other = np.random.default_rng(0).permutation(len(words))
    (tmp_path / "texts.txt").write_text("\n".join(text.replace("\n", " ") for text in texts))
    source = classifier(0, len(words), 10)
    write(tmp_path / "source", source, words)
    for i in range(19):
        write(tmp_path / f"siblings/{i:02}", classifier(1 + i, len(words), 10), words)
    shuffled = [words[i] for i in other]
    write(tmp_path / "stolen", descend(source, other, 50), shuffled)
    write(tmp_path / "innocent", classifier(60, len(words), 4), shuffled)
    queries = tmp_path / "queries"
    assert mgmp("queries", tmp_path / "texts.txt", "--count", 500, "--out", queries) == 0

    def record(model: str, out: str) -> Path:
        path = tmp_path / f"{out}.npz"
        asked = ("--queries", queries, "--out", path)
        assert mgmp("record", "--model", f"hf:{tmp_path / model}", *asked) == 0
        return path

    record("source", "references/source")
    for i in range(19):
        record(f"siblings/{i:02}", f"references/siblings/{i:02}")
    assert mgmp("fit", tmp_path / "references", "--out", tmp_path / "verifier") == 0
    found = {}
    for name in ("stolen", "innocent"):
        suspect = record(name, name)
        capsys.readouterr()
        code = mgmp("verify", tmp_path / "verifier", suspect, "--json")
        found[name] = code, json.loads(capsys.readouterr().out)["verdicts"]["lineage"]
    assert found == {"stolen": (3, "homologous"), "innocent": (4, "inconclusive")}
