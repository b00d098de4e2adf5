import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mgmp_jax import adapters
from mgmp_jax.queries import QuerySet

torch = pytest.importorskip("torch", reason="pip install 'mgmp_jax[hf]'")
transformers = pytest.importorskip("transformers", reason="pip install 'mgmp_jax[hf]'")
tokenizers = pytest.importorskip("tokenizers", reason="pip install 'mgmp_jax[hf]'")
image = pytest.importorskip("PIL.Image", reason="pip install 'mgmp_jax[hf]'")

WORDS = ["a", "rose", "is", "not", "lily", "white", "red", "here"]
RNG = np.random.default_rng(71)
TEXTS = QuerySet.texts([" ".join(RNG.choice(WORDS, size=n)) for n in RNG.integers(1, 30, size=13)])
IMAGES = QuerySet.images(RNG.integers(0, 256, (7, 20, 24, 3), np.uint8))


def tokenizer(words: list[str], **special: str):
    """A tokenizer of whole words."""
    vocab = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocab, unk_token="[UNK]"))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    inner.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", **special
    )


SMALL = {
    "vocab_size": 20,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 20,
    "num_labels": 3,
    "pad_token_id": 0,
}


def save_bert(folder: Path, words: list[str], seed: int = 0):
    torch.manual_seed(seed)
    model = transformers.BertForSequenceClassification(transformers.BertConfig(**SMALL)).eval()
    model.save_pretrained(folder)
    tokenizer(words, pad_token="[PAD]").save_pretrained(folder)
    return model


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    save_bert(folder, WORDS)
    return folder


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vit")
    torch.manual_seed(1)
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=16,
        patch_size=8,
        num_labels=4,
    )
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        json.dumps(
            {
                "image_processor_type": "ViTImageProcessor",
                "size": {"height": 16, "width": 16},
                "image_mean": [0.4, 0.5, 0.6],
                "image_std": [0.2, 0.3, 0.4],
                "resample": 2,
            }
        )
    )
    return folder


def one_by_one(model, words: list[str], texts: tuple[str, ...]) -> np.ndarray:
    """Answers to texts that are never padded, from ids that are looked up by hand."""
    rows = []
    for text in texts:
        ids = [4 + words.index(word) if word in words else 1 for word in text.split()][:18]
        with torch.no_grad():
            rows.append(model(torch.tensor([[2, *ids, 3]])).logits[0].numpy())
    return np.stack(rows)


@pytest.mark.parametrize("batch_size", [1, 4, 32])
def test_texts_are_read_by_the_tokenizer_of_the_folder(bert: Path, batch_size: int) -> None:
    model = transformers.BertForSequenceClassification.from_pretrained(bert).eval()
    found = adapters.record(bert, TEXTS, batch_size=batch_size, name="m")
    np.testing.assert_allclose(found.values, one_by_one(model, WORDS, TEXTS.inputs), atol=1e-5)
    assert found.about == {"kind": "logits", "queries": TEXTS.digest, "model": "m"}


def test_logits_become_the_wanted_kind(bert: Path) -> None:
    logits = adapters.record(bert, {"a": TEXTS})["a"]
    for kind in ("probabilities", "labels"):
        found = adapters.record(bert, {"a": TEXTS}, kind=kind)["a"]
        np.testing.assert_allclose(found.values, logits.to(kind).values, atol=1e-6)
    with pytest.raises(ValueError, match=r"logits, which cannot be converted to top-k"):
        adapters.record(bert, TEXTS, kind="top-k")


def test_a_folder_with_another_tokenizer_reads_the_same_texts(tmp_path: Path, bert: Path) -> None:
    words = ["red", "white", "lily", "rose"]
    model = save_bert(tmp_path, words, seed=5)
    found = adapters.record(adapters.open_model(f"hf:{tmp_path}"), TEXTS)
    np.testing.assert_allclose(found.values, one_by_one(model, words, TEXTS.inputs), atol=1e-5)
    assert found.queries == adapters.record(bert, TEXTS).queries


@pytest.mark.parametrize("change", [{"padding_side": "left"}, {"pad_token": "[UNK]"}], ids=str)
def test_padding_that_would_change_answers_is_not_asked_for(tmp_path: Path, change: dict) -> None:
    torch.manual_seed(6)
    config = transformers.GPT2Config(
        vocab_size=20, n_embd=16, n_layer=1, n_head=2, n_positions=40, num_labels=3, pad_token_id=0
    )
    transformers.GPT2ForSequenceClassification(config).save_pretrained(tmp_path)
    tokenizer(WORDS, **{"pad_token": "[PAD]", **change}).save_pretrained(tmp_path)
    many, one = (adapters.record(tmp_path, TEXTS, batch_size=size) for size in (13, 1))
    np.testing.assert_allclose(many.values, one.values, atol=1e-5)


def test_code_on_a_hub_that_a_folder_names_is_not_loaded(tmp_path: Path, bert: Path) -> None:
    shutil.copytree(bert, tmp_path / "bert")
    path = tmp_path / "bert" / "config.json"
    named = json.loads(path.read_text()) | {"attn_implementation": "evil/kernel"}
    path.write_text(json.dumps(named))
    found = adapters.record(tmp_path / "bert", TEXTS)
    np.testing.assert_allclose(found.values, adapters.record(bert, TEXTS).values, atol=1e-6)


def test_a_tokenizer_that_cannot_pad_is_asked_one_by_one(tmp_path: Path) -> None:
    torch.manual_seed(6)
    config = transformers.GPT2Config(
        vocab_size=20, n_embd=16, n_layer=1, n_head=2, n_positions=20, num_labels=3
    )
    model = transformers.GPT2ForSequenceClassification(config).eval()
    model.save_pretrained(tmp_path)
    tokenizer(WORDS).save_pretrained(tmp_path)
    found = adapters.record(tmp_path, TEXTS)
    np.testing.assert_allclose(found.values, one_by_one(model, WORDS, TEXTS.inputs), atol=1e-5)


def test_images_are_read_by_the_image_processor_of_the_folder(vit: Path) -> None:
    model = transformers.ViTForImageClassification.from_pretrained(vit).eval()
    resized = [
        np.asarray(image.fromarray(one).resize((16, 16), image.Resampling.BILINEAR))
        for one in IMAGES.inputs
    ]
    pixels = (np.stack(resized) / 255 - [0.4, 0.5, 0.6]) / [0.2, 0.3, 0.4]
    with torch.no_grad():
        expected = model(torch.tensor(pixels.transpose(0, 3, 1, 2)).float()).logits.numpy()
    for model in (vit, str(vit), adapters.open_model(f"hf:{vit}")):
        found = adapters.record(model, IMAGES, batch_size=3)
        np.testing.assert_allclose(found.values, expected, atol=1e-5)


def test_a_folder_is_asked_about_what_it_classifies(bert: Path, vit: Path) -> None:
    with pytest.raises(ValueError, match=r"m classifies texts, and the queries are images"):
        adapters.record(bert, IMAGES, name="m")
    with pytest.raises(ValueError, match=r"classifies images, and the queries are texts"):
        adapters.record(vit, {"training": IMAGES, "unseen": TEXTS})


def copy(folder: Path, to: Path, *but: str) -> Path:
    for path in folder.iterdir():
        if path.name not in but:
            (to / path.name).write_bytes(path.read_bytes())
    return to


def change(path: Path, **values) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_pickles_are_not_read(bert: Path, tmp_path: Path) -> None:
    copy(bert, tmp_path, "model.safetensors")
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"holds no safetensors, and pickles such as pytorch_mod"):
        adapters.record(tmp_path, TEXTS)
    (tmp_path / "other.safetensors").write_bytes((bert / "model.safetensors").read_bytes())
    with pytest.raises(ValueError, match=r"its weights cannot be read"):
        adapters.record(tmp_path, TEXTS)


def test_code_of_the_folder_is_not_run(bert: Path, tmp_path: Path) -> None:
    copy(bert, tmp_path)
    (tmp_path / "mine.py").write_text("raise SystemExit('executed')\n")
    change(
        tmp_path / "config.json",
        model_type="mine",
        auto_map={"AutoConfig": "mine.C", "AutoModelForSequenceClassification": "mine.M"},
    )
    with pytest.raises(ValueError, match=r"its weights cannot be read"):
        adapters.record(tmp_path, TEXTS)


@pytest.mark.parametrize("cut", [0, 20, 2000])
def test_damaged_weights_are_refused(bert: Path, tmp_path: Path, cut: int) -> None:
    path = copy(bert, tmp_path) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"its weights cannot be read"):
        adapters.record(tmp_path, TEXTS)


def test_weights_that_are_missing_are_not_made_up(bert: Path, tmp_path: Path) -> None:
    save = pytest.importorskip("safetensors.torch", reason="pip install 'mgmp_jax[hf]'")
    path = copy(bert, tmp_path) / "model.safetensors"
    tensors = save.load_file(path)
    save.save_file(
        {name: t for name, t in tensors.items() if "classifier" not in name},
        path,
        metadata={"format": "pt"},
    )
    with pytest.raises(ValueError, match=r"lacks weights .*\['classifier.bias', 'classifier.wei"):
        adapters.record(tmp_path, TEXTS)
    copy(bert, tmp_path)
    change(tmp_path / "config.json", hidden_size=32)
    with pytest.raises(ValueError, match=r"its weights cannot be read"):
        adapters.record(tmp_path, TEXTS)


def test_folders_that_lack_something_say_what(bert: Path, vit: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no config.json"):
        adapters.open_model(f"hf:{tmp_path}")
    for folder, files, message in (
        (bert, ["tokenizer.json", "tokenizer_config.json"], "has no tokenizer with a vocabulary"),
        (vit, ["preprocessor_config.json"], "its image processor cannot be read"),
    ):
        lacking = tmp_path / folder.name
        lacking.mkdir()
        with pytest.raises(ValueError, match=message):
            adapters.open_model(f"hf:{copy(folder, lacking, *files)}")
    copy(bert, tmp_path)
    change(tmp_path / "config.json", architectures=["BertModel"])
    with pytest.raises(ValueError, match=r"'BertModel'; expected a classifier"):
        adapters.record(tmp_path, TEXTS)
