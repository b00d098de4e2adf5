from pathlib import Path

import numpy as np
import pytest

from mgmp_jax import adapters
from mgmp_jax.adapters.pixels import Pixels
from mgmp_jax.queries import QuerySet

onnx = pytest.importorskip("onnx", reason="pip install onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="pip install 'mgmp_jax[onnx]'")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

RNG = np.random.default_rng(61)
IMAGES = QuerySet.images(RNG.integers(0, 256, (11, 6, 5, 3), np.uint8))
ROWS = QuerySet.rows(RNG.normal(size=(11, 4)))
WEIGHTS = RNG.normal(size=(6 * 5 * 3, 7)).astype(np.float32)


def save(path: Path, nodes: list, inputs: dict, outputs: dict, weights: dict) -> Path:
    """Writes a model of a few nodes; inputs and outputs are (dtype, shape) by name."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, *about) for name, about in inputs.items()],
        [helper.make_tensor_value_info(name, *about) for name, about in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


def linear(path: Path, shape: list, dtype: int = TensorProto.FLOAT) -> Path:
    """Writes a model that flattens images, or rows, and multiplies by the weights."""
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["f"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["logits"]),
        helper.make_node("ArgMax", ["logits"], ["label"], axis=1, keepdims=0),
    ]
    weights = WEIGHTS if len(shape) == 4 else WEIGHTS[:4]
    outputs = {
        "logits": (TensorProto.FLOAT, [shape[0], 7]),
        "label": (TensorProto.INT64, [shape[0]]),
    }
    return save(path, nodes, {"x": (dtype, shape)}, outputs, {"w": weights})


@pytest.mark.parametrize("first", ["n", 1, 4, 16])
@pytest.mark.parametrize(
    ("shape", "channels_first"),
    [([3, 6, 5], True), ([6, 5, 3], False), ([3, "h", "w"], True), (["c", "h", "w"], True)],
)
def test_layout_and_batch_size_are_read_from_the_model(
    first, shape: list, channels_first: bool, tmp_path: Path
) -> None:
    path = linear(tmp_path / "m.onnx", [first, *shape])
    expected = Pixels(channels_first=channels_first)(IMAGES.inputs).reshape(11, -1) @ WEIGHTS
    found = adapters.record(path, IMAGES, batch_size=5, name="m")
    np.testing.assert_allclose(found.values, expected, atol=1e-4)
    assert found.model == "m"


@pytest.mark.parametrize("dtype", ["UINT8", "INT32", "INT64", "FLOAT16", "DOUBLE"])
def test_the_dtype_is_read_from_the_model(dtype: str, tmp_path: Path) -> None:
    path = linear(tmp_path / "m.onnx", ["n", 6, 5, 3], getattr(TensorProto, dtype))
    scale = 1 if "INT" in dtype else 255
    expected = (IMAGES.inputs / scale).reshape(11, -1) @ WEIGHTS
    found = adapters.record(path, IMAGES)
    np.testing.assert_allclose(found.values, expected, rtol=1e-2, atol=2e-2)


def test_queries_that_an_integer_input_cannot_hold_are_refused(tmp_path: Path) -> None:
    path = linear(tmp_path / "m.onnx", ["n", 6, 5, 3], TensorProto.INT8)
    with pytest.raises(ValueError, match=r"takes tensor\(int8\), which cannot hold the queries"):
        adapters.record(path, IMAGES)
    path = linear(tmp_path / "r.onnx", ["n", 4], TensorProto.INT64)
    with pytest.raises(ValueError, match=r"takes tensor\(int64\), which cannot hold the queries"):
        adapters.record(path, ROWS)
    path = linear(tmp_path / "u.onnx", ["n", 6, 5, 3], TensorProto.UINT8)
    with pytest.raises(ValueError, match=r"pixels as they are; leave mean and std out"):
        adapters.record(path, IMAGES, pixels=Pixels(0.5, 0.5))


def test_images_are_resized_to_what_the_model_takes_and_normalised_as_told(tmp_path: Path) -> None:
    path = linear(tmp_path / "m.onnx", ["n", 3, 6, 5])
    large = QuerySet.images(np.random.default_rng(62).integers(0, 256, (3, 12, 10, 3), np.uint8))
    pixels = Pixels((0.4, 0.5, 0.6), 0.2, size=(6, 5))
    expected = pixels(large.inputs).reshape(3, -1) @ WEIGHTS
    found = adapters.record(path, large, pixels=Pixels((0.4, 0.5, 0.6), 0.2))
    np.testing.assert_allclose(found.values, expected, atol=1e-4)


def test_an_output_is_chosen_by_name(tmp_path: Path) -> None:
    path = linear(tmp_path / "m.onnx", ["n", 4])
    logits = ROWS.inputs @ WEIGHTS[:4]
    found = adapters.record(path, ROWS, output="label", kind="labels", batch_size=4)
    assert found.values.argmax(axis=1).tolist() == logits.argmax(axis=1).tolist()
    np.testing.assert_allclose(adapters.record(path, ROWS).values, logits, atol=1e-4)
    with pytest.raises(ValueError, match=r"no output 'x'; choose output= of: 'logits' tensor\(fl"):
        adapters.record(path, ROWS, output="x")


def test_labels_before_probabilities_are_not_taken_for_them(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ArgMax", ["x"], ["label"], axis=1, keepdims=0),
        helper.make_node("Softmax", ["x"], ["probabilities"]),
    ]
    outputs = {
        "label": (TensorProto.INT64, ["n"]),
        "probabilities": (TensorProto.FLOAT, ["n", 4]),
    }
    path = save(tmp_path / "m.onnx", nodes, {"x": (TensorProto.FLOAT, ["n", 4])}, outputs, {})
    with pytest.raises(ValueError, match=r"gives whole numbers, and probabilities are wanted"):
        adapters.record(path, ROWS, kind="probabilities")
    assert adapters.record(path, ROWS, kind="labels").kind == "labels"
    found = adapters.record(path, ROWS, kind="probabilities", output="probabilities")
    np.testing.assert_allclose(found.values.sum(axis=1), 1, atol=1e-5)


def test_several_inputs_come_from_the_tokenizer(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gather", ["w", "ids"], ["e"]),
        helper.make_node("Unsqueeze", ["mask", "last"], ["m"]),
        helper.make_node("Cast", ["m"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["e", "f"], ["k"]),
        helper.make_node("ReduceSum", ["k", "one"], ["y"], keepdims=0),
    ]
    inputs = {name: (TensorProto.INT64, [2, "l"]) for name in ("ids", "mask")}
    weights = {"w": WEIGHTS, "last": np.array([2]), "one": np.array([1])}
    path = save(tmp_path / "m.onnx", nodes, inputs, {"y": (TensorProto.FLOAT, [2, 7])}, weights)
    texts = QuerySet.texts(["ab", "abc", "c", "caab", "a"])

    def tokenize(texts: list[str]) -> dict[str, np.ndarray]:
        ids = [[ord(letter) - 96 for letter in text.ljust(5, "`")] for text in texts]
        return {"ids": np.array(ids), "mask": np.array(ids) > 0, "unused": np.array(ids)}

    found = adapters.record(path, texts, tokenize=tokenize)
    expected = [sum(WEIGHTS[ord(letter) - 96] for letter in text) for text in texts.inputs]
    np.testing.assert_allclose(found.values, expected, atol=1e-5)
    with pytest.raises(ValueError, match=r"needs the inputs \['ids', 'mask'\]; \['mask'\] were"):
        adapters.record(path, texts, tokenize=lambda t: tokenize(t)["ids"])


def test_wrong_queries_say_what_the_model_takes(tmp_path: Path) -> None:
    path = linear(tmp_path / "m.onnx", ["n", 3, 6, 5])
    with pytest.raises(ValueError, match=r"takes x tensor\(float\)\['n', 3, 6, 5\] and failed on"):
        adapters.record(path, ROWS)


def test_sessions_and_external_data_are_read(tmp_path: Path) -> None:
    path = linear(tmp_path / "m.onnx", ["n", 4])
    expected = adapters.record(onnxruntime.InferenceSession(str(path)), ROWS)
    model = onnx.load(path)
    outside = tmp_path / "outside.onnx"
    onnx.save(model, outside, save_as_external_data=True, location="w.bin", size_threshold=0)
    found = adapters.record(adapters.open_model(f"onnx:{outside}"), ROWS)
    np.testing.assert_array_equal(found.values, expected.values)
    (tmp_path / "w.bin").unlink()
    with pytest.raises(ValueError, match=r"external data must lie beside it"):
        adapters.open_model(f"onnx:{outside}")


def test_damaged_and_missing_files_are_refused(tmp_path: Path) -> None:
    path = linear(tmp_path / "m.onnx", ["n", 4])
    whole = path.read_bytes()
    for content in (b"", whole[:20], whole[: len(whole) // 2], b"no model at all"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"m.onnx is damaged or no ONNX model"):
            adapters.open_model(f"onnx:{path}")
    with pytest.raises(FileNotFoundError, match=r"no file .*expected an .onnx file"):
        adapters.open_model(f"onnx:{tmp_path}/none.onnx")


@pytest.mark.filterwarnings("ignore")  # the exporter's own
def test_a_torch_module_and_its_export_answer_alike(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="pip install 'mgmp_jax[torch]'")
    pytest.importorskip("onnxscript", reason="pip install onnxscript")
    torch.manual_seed(4)
    layers = [torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU()]
    module = torch.nn.Sequential(
        *layers, torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(32, 5)
    ).eval()
    batch = torch.export.Dim("batch")
    torch.onnx.export(
        module,
        (torch.zeros(2, 3, 6, 5),),
        str(tmp_path / "m.onnx"),
        dynamo=True,
        dynamic_shapes=({0: batch},),
        verbose=False,
    )
    pixels = Pixels((0.4, 0.5, 0.6), (0.2, 0.3, 0.25))
    mine = adapters.record(module, IMAGES, pixels=pixels)
    theirs = adapters.record(tmp_path / "m.onnx", IMAGES, pixels=pixels, batch_size=4)
    np.testing.assert_allclose(theirs.values, mine.values, atol=1e-4)
