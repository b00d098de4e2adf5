import inspect
from pathlib import Path

import numpy as np
import pytest

from mgmp_jax import adapters
from mgmp_jax.queries import QuerySet

IMAGES = QuerySet.images(np.random.default_rng(0).integers(0, 256, (10, 4, 4, 3), np.uint8))
TEXTS = QuerySet.texts(["a", "bb", "ccc"])


def means(images: np.ndarray) -> np.ndarray:
    assert images.dtype == np.uint8
    return images.mean(axis=(1, 2))


def test_a_function_is_asked_in_batches_about_raw_queries() -> None:
    sizes = []

    def answer(images: np.ndarray) -> np.ndarray:
        sizes.append(len(images))
        return means(images)

    found = adapters.record(answer, IMAGES, kind="embedding", name="m", batch_size=4)
    assert sizes == [4, 4, 2]
    assert found.about == {"kind": "embedding", "queries": IMAGES.digest, "model": "m"}
    np.testing.assert_allclose(found.values, means(IMAGES.inputs), rtol=1e-6)


def test_a_model_may_change_its_inputs_and_reuse_its_outputs() -> None:
    before, buffer = IMAGES.inputs.copy(), np.empty((4, 3))

    def answer(images: np.ndarray) -> np.ndarray:
        out = buffer[: len(images)]
        out[:] = means(images)
        images[:] = 0
        return out

    found = adapters.record(answer, IMAGES, kind="embedding", batch_size=4)
    np.testing.assert_allclose(found.values, means(before), rtol=1e-6)
    np.testing.assert_array_equal(IMAGES.inputs, before)


def test_texts_come_as_strings_and_labels_may_be_numbers() -> None:
    found = adapters.record(lambda texts: [len(t) for t in texts], TEXTS, kind="labels")
    assert found.values.argmax(axis=1).tolist() == [1, 2, 3]


def test_several_query_sets_are_asked_by_name() -> None:
    found = adapters.record(means, {"training": IMAGES, "unseen": IMAGES.take(3)})
    assert {name: len(one) for name, one in found.items()} == {"training": 10, "unseen": 3}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda x: means(x)[:1], r"gave an array of shape \(1, 3\) for 4 queries"),
        (lambda x: 3.0, r"gave an array of shape \(\) for 4 queries"),
        (lambda x: np.zeros((len(x), len(x))), r"with rows of shape \(2,\), those before"),
        (lambda x: {"logits": 1}, r"must be (an array of )?real numbers|cannot be read"),
        (lambda x: np.full((len(x), 2), np.nan), r"finite"),
    ],
)
def test_answers_that_are_none_are_refused(answer, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        adapters.record(answer, IMAGES, batch_size=4)


def test_what_nobody_reads_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no adapter reads a builtins.int; give a function"):
        adapters.record(3, IMAGES)


@pytest.mark.parametrize("queries", [IMAGES.inputs, {"training": IMAGES.inputs}])
def test_arrays_are_no_queries(queries) -> None:
    with pytest.raises(ValueError, match=r"must be a QuerySet, .* got ndarray: QuerySet.images"):
        inspect.unwrap(adapters.record)(means, queries)


def test_a_kind_that_there_is_not_is_refused_before_anything_is_asked() -> None:
    unchecked = inspect.unwrap(adapters.record)  # as a user has it
    with pytest.raises(ValueError, match=r"kind must be one of .* got 'scores'"):
        unchecked(lambda _: pytest.fail("asked"), IMAGES, kind="scores")


def test_options_of_other_adapters_are_refused() -> None:
    with pytest.raises(ValueError, match=r"a function is asked without pixels; its options are"):
        adapters.record(means, IMAGES, pixels=None)


def test_a_model_is_opened_by_a_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def load():\n    return lambda x: x.mean(axis=(1, 2))\nnumber = 3\n")
    (tmp_path / "beside.py").write_text("width = 3\n")
    (tmp_path / "data.py").write_text(
        "from __future__ import annotations\nimport dataclasses\nimport beside\n\n\n"
        "@dataclasses.dataclass\nclass Model:\n    width: int = beside.width\n\n"
        "    def __call__(self, x):\n        return x.mean(axis=(1, 2))[:, : self.width]\n"
    )
    assert len(adapters.record(adapters.open_model(f"python:{tmp_path}/data.py:Model"), IMAGES))
    answer = adapters.open_model(f"python:{path}:load")
    assert len(adapters.record(answer, IMAGES)) == 10
    path.write_text(path.read_text() + "def sized(width):\n    return load()\n")
    with pytest.raises(ValueError, match=r"sized in .* needs width; write a function without"):
        adapters.open_model(f"python:{path}:sized")
    with pytest.raises(ValueError, match=r"has no function 'number'"):
        adapters.open_model(f"python:{path}:number")
    with pytest.raises(ValueError, match=r"expected FILE.py:NAME, got"):
        adapters.open_model(f"python:{path}")
    with pytest.raises(FileNotFoundError, match=r"no file"):
        adapters.open_model(f"python:{path}x.py:load")
    for line in ("mine.py", "pickle:mine.pkl", "python:"):
        with pytest.raises(ValueError, match=r"ADAPTER:TARGET"):
            adapters.open_model(line)


@pytest.mark.parametrize("end", ["sys.exit(0)", "raise RuntimeError('cuda oom')", "1 / 0"])
@pytest.mark.parametrize("where", ["file", "function", "model"])
def test_what_an_owners_code_raises_is_said_of_it(tmp_path: Path, end: str, where: str) -> None:
    here = {"file": ("", "", end), "function": ("", end, ""), "model": (end, "", "")}[where]
    in_model, in_function, in_file = (line or "pass" for line in here)
    (tmp_path / "mine.py").write_text(
        f"import sys\ndef load():\n    def model(x):\n        {in_model}\n    {in_function}\n"
        f"    return model\n{in_file}\n"
    )
    said = {
        "file": r"mine\.py cannot be run: ",
        "function": r"load in .*mine\.py gave no model: ",
        "model": r"m failed at queries 0 to 9: ",
    }[where]
    with pytest.raises(ValueError, match=said + "(SystemExit: 0|RuntimeError: cuda oom|ZeroDiv)"):
        adapters.record(adapters.open_model(f"python:{tmp_path}/mine.py:load"), IMAGES, name="m")


def test_progress_is_told_over_all_query_sets() -> None:
    rows = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    sets = {"training": QuerySet.rows(rows), "unseen": QuerySet.rows(rows[:4] + 1)}
    told = []
    adapters.record(lambda x: x, sets, batch_size=3, progress=lambda *both: told.append(both))
    assert told == [(3, 11), (6, 11), (7, 11), (10, 11), (11, 11)]
