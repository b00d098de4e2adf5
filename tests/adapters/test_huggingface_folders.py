"""Folders of classifiers with tokenizers and image processors of their own, on raw queries."""

from pathlib import Path

import numpy as np
import pytest

from mgmp_jax import adapters
from mgmp_jax.queries import QuerySet

torch = pytest.importorskip("torch", reason="pip install torch")
transformers = pytest.importorskip("transformers", reason="pip install 'mgmp_jax[hf]'")
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "film", "was", "good", "bad", "##s"]
TEXTS = QuerySet.texts(["the film was good", "bad films", "the the the", "good"])
IMAGES = QuerySet.images(np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8))


def text_folder(folder: Path, order: int = 1) -> Path:
    """A tiny classifier whose tokenizer numbers the words in an order of its own."""
    folder.mkdir()
    words = WORDS[:5] + WORDS[5:][::order]
    tokenizer = transformers.BertTokenizer(vocab={word: i for i, word in enumerate(words)})
    tokenizer.save_pretrained(folder)
    torch.manual_seed(order)
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8, max_position_embeddings=12, num_labels=3,
    )  # fmt: skip
    transformers.BertForSequenceClassification(config).eval().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("order", [1, -1])
def test_texts_are_read_by_the_tokenizer_of_the_folder(tmp_path: Path, order: int) -> None:
    folder = text_folder(tmp_path / "m", order)
    found = adapters.record(adapters.open_model(f"hf:{folder}"), TEXTS, batch_size=3)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for text, values in zip(TEXTS.inputs, found.values, strict=True):
        with torch.no_grad():
            expected = model(**tokenizer(text, return_tensors="pt")).logits[0]
        np.testing.assert_allclose(values, expected.numpy(), atol=1e-5)


def test_long_texts_are_cut_to_the_length_of_the_model(tmp_path: Path) -> None:
    model = adapters.open_model(f"hf:{text_folder(tmp_path / 'm')}")
    found = adapters.record(model, QuerySet.texts(["good " * 40, "bad " * 40]))
    assert found.values.shape == (2, 3)
    with pytest.raises(ValueError, match=r"the classifier reads texts"):
        adapters.record(model, IMAGES)


def test_images_are_read_by_the_processor_of_the_folder(tmp_path: Path) -> None:
    pytest.importorskip("PIL", reason="pip install 'mgmp_jax[hf]'")
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        image_size=8, patch_size=4, num_labels=3,
    )  # fmt: skip
    model = transformers.ViTForImageClassification(config).eval()
    model.save_pretrained(tmp_path)
    processor = transformers.ViTImageProcessor(size={"height": 8, "width": 8})
    processor.save_pretrained(tmp_path)
    found = adapters.record(adapters.open_model(f"hf:{tmp_path}"), IMAGES, batch_size=2)
    with torch.no_grad():
        inputs = processor(list(IMAGES.inputs), return_tensors="pt")
        expected = model(**inputs).logits.numpy()
    np.testing.assert_allclose(found.values, expected, atol=1e-5)


def test_pickled_weights_and_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no config.json in"):
        adapters.open_model(f"hf:{tmp_path}")
    folder = text_folder(tmp_path / "m")
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"is no readable Hugging Face classifier"):
        adapters.open_model(f"hf:{folder}")
    weights.unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match=r"pickled weights .* are not read"):
        adapters.open_model(f"hf:{folder}")
