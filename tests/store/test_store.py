import dataclasses
import shutil

import numpy as np
import pytest

from mgmp_jax.data.tokenizer import Tokens
from mgmp_jax.queries import QuerySet
from mgmp_jax.store import ModelSpec, ModelStore
from mgmp_jax.store import store as store_module
from mgmp_jax.training import Recipe

RECIPE = Recipe(2, 16, 0.05, augment="none", checkpoints=2)
SOURCE = ModelSpec("alexnet", "glyphs10", RECIPE, width=2, num_examples=64)
STRANGER = ModelSpec("alexnet", "glyphs100", RECIPE, width=2, subset=3, num_examples=48, seed=5)
DESCENDANT = dataclasses.replace(STRANGER, start=SOURCE)
NEW_HEAD = dataclasses.replace(DESCENDANT, head="reinit")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    store = ModelStore(tmp_path_factory.mktemp("models"))
    store.train([DESCENDANT, STRANGER, NEW_HEAD])
    return store


def test_starting_models_are_trained_first_and_all_are_kept(store: ModelStore, monkeypatch) -> None:
    assert all(store.is_trained(s) for s in (SOURCE, DESCENDANT, STRANGER, NEW_HEAD))
    monkeypatch.setattr(store_module, "train_group", lambda *_: pytest.fail("trained twice"))
    store.train([SOURCE, DESCENDANT, STRANGER, NEW_HEAD])
    assert set(store.accuracy(SOURCE)) == {"train", "test"}


def test_a_start_in_the_same_list_is_trained_once(store: ModelStore, monkeypatch) -> None:
    trained: list[ModelSpec] = []
    monkeypatch.setattr(store_module, "train_group", lambda _, group: trained.extend(group))
    monkeypatch.setattr(ModelStore, "is_trained", lambda _, spec: spec in trained)
    store.train([SOURCE, DESCENDANT, NEW_HEAD, STRANGER])
    assert sorted(s.address for s in trained) == sorted(
        s.address for s in (SOURCE, DESCENDANT, NEW_HEAD, STRANGER)
    )
    assert trained[0] == SOURCE


def test_an_address_depends_on_everything_that_made_the_model() -> None:
    changes = [
        {"arch": "resnet18"},
        {"data": "cifar100"},
        {"width": 3},
        {"subset": 4},
        {"num_examples": 49},
        {"start": SOURCE},
        {"head": "reinit"},
        {"skip": 5},
        {"teacher": SOURCE},
        {"answers": "labels"},
        {"seed": 6},
        {"subsets": 10},
        {"recipe": Recipe(3, 16, 0.05)},
    ]
    others = {dataclasses.replace(STRANGER, **change).address for change in changes}
    assert len(others | {STRANGER.address}) == len(changes) + 1


def test_classes_can_be_cut_into_any_number_of_subsets(store: ModelStore) -> None:
    whole = store.classes(STRANGER)
    pairs = [dataclasses.replace(STRANGER, subset=5 * 3 + i, subsets=50) for i in range(5)]
    assert [c for spec in pairs for c in store.classes(spec)] == whole
    assert store.module(pairs[0]).num_outputs == 2
    assert STRANGER.subset == 3 and "glyphs100.15of50" in pairs[0].address
    examples = store.examples(dataclasses.replace(pairs[0], num_examples=None), "test")
    assert set(examples.labels) == {0, 1}
    for subset in (None, 50):
        with pytest.raises(ValueError, match=f"must be from 0 to 49; got {subset}"):
            dataclasses.replace(STRANGER, subset=subset, subsets=50)


@pytest.mark.parametrize("head", ["keep", "reinit"])
def test_descendants_start_from_the_source(store: ModelStore, head: str) -> None:
    spec = dataclasses.replace(DESCENDANT, head=head)
    start, source = store.initial_variables(spec)["params"], store.variables(SOURCE)["params"]
    for layer in source:
        same = np.array_equal(start[layer]["kernel"], source[layer]["kernel"])
        assert same == (layer != "head" or head == "keep")


def test_a_head_of_another_width_cannot_be_kept(store: ModelStore) -> None:
    wide = dataclasses.replace(STRANGER, subset=None, num_examples=32)
    spec = dataclasses.replace(DESCENDANT, start=wide)
    store.train([wide])
    with pytest.raises(ValueError, match=r'cannot keep the head .* choose head="reinit"'):
        store.initial_variables(spec)


def test_responses_are_taken_once_of_every_kept_epoch_and_kind(
    store: ModelStore, monkeypatch
) -> None:
    queries = store.queries(SOURCE, count=21)
    final, early = (
        store.responses(DESCENDANT, queries),
        store.responses(DESCENDANT, queries, epoch=1),
    )
    assert final.values.shape == (21, 10)
    assert not np.array_equal(final.values, early.values)
    probs = store.responses(DESCENDANT, queries, kind="probabilities")
    np.testing.assert_allclose(probs.values.sum(axis=1), 1, rtol=1e-5)
    logprobs = store.responses(DESCENDANT, queries, kind="log-probabilities")
    np.testing.assert_allclose(np.exp(logprobs.values), probs.values, rtol=1e-4)
    assert store.responses(DESCENDANT, queries, kind="embedding").values.shape == (21, 128)
    store.responses(NEW_HEAD, queries, kind="embedding")
    monkeypatch.setattr(ModelStore, "variables", lambda *_: pytest.fail("computed twice"))
    np.testing.assert_array_equal(store.responses(DESCENDANT, queries).values, final.values)
    assert store.responses(NEW_HEAD, queries).values.shape == (21, 10)


def test_models_trained_together_equal_models_trained_alone(store: ModelStore, tmp_path) -> None:
    together = ModelStore(tmp_path)
    together.train([SOURCE])
    together.train([STRANGER, DESCENDANT, NEW_HEAD], together=3)
    assert not list(tmp_path.glob("together-*/state"))
    queries = store.queries(SOURCE, count=8)
    for spec in (STRANGER, DESCENDANT, NEW_HEAD):
        np.testing.assert_allclose(
            together.responses(spec, queries).values,
            store.responses(spec, queries).values,
            atol=2e-3,
        )


def test_models_of_unequal_data_are_not_trained_together(tmp_path, monkeypatch) -> None:
    groups = []
    monkeypatch.setattr(store_module, "train_group", lambda _, group: groups.append(group))
    other = dataclasses.replace(STRANGER, num_examples=20)
    ModelStore(tmp_path).train([STRANGER, other, dataclasses.replace(STRANGER, seed=6)], together=3)
    assert [[spec.num_examples for spec in group] for group in groups] == [[48, 48], [20]]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (dataclasses.replace(STRANGER, subset=10), "subsets 0 to 9, got 10"),
        (dataclasses.replace(SOURCE, arch="lenet"), "unknown architecture 'lenet'"),
        (
            dataclasses.replace(SOURCE, recipe=Recipe(1, 65, 0.1)),
            "batch_size must be from 1 to the 64 examples there are, got 65",
        ),
    ],
)
def test_impossible_models_are_refused(tmp_path, spec: ModelSpec, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ModelStore(tmp_path).train([spec])


def test_more_images_than_there_are_is_said(tmp_path) -> None:
    arrays = tmp_path / "cifar10" / "train"
    arrays.mkdir(parents=True)
    np.save(arrays / "image.npy", np.zeros((20, 32, 32, 3), np.uint8))
    np.save(arrays / "label.npy", np.arange(20, dtype=np.int32) % 10)
    spec = dataclasses.replace(SOURCE, data="cifar10", num_examples=21)
    with pytest.raises(ValueError, match="21 examples, but its part of cifar10 has 20"):
        ModelStore(tmp_path / "models", tmp_path).train([spec])


def test_siblings_and_cousins_share_the_recipe(store: ModelStore) -> None:
    sibling, cousin = SOURCE.sibling(7), SOURCE.cousin(8)
    images = [store.examples(spec, "train").inputs for spec in (SOURCE, sibling, cousin)]
    np.testing.assert_array_equal(images[0], images[1])
    assert images[2].shape == images[0].shape
    assert not (images[2][:, None] == images[0]).all(axis=(2, 3, 4)).any()
    assert len({SOURCE.address, sibling.address, cousin.address}) == 3
    assert sibling.descendant(STRANGER).start == sibling
    with pytest.raises(ValueError, match="leaves nothing for a cousin; give num_examples"):
        dataclasses.replace(SOURCE, num_examples=None).cousin(1)


@pytest.mark.parametrize("answers", ["probabilities", "labels"])
def test_a_student_learns_the_teachers_answers(store: ModelStore, answers) -> None:
    student = SOURCE.student(dataclasses.replace(STRANGER, seed=9), answers)
    store.train([student])
    examples = store.examples(student, "train")
    taught = store.responses(SOURCE, QuerySet.images(examples.inputs), kind="probabilities").values
    expected = taught.argmax(axis=1) if answers == "labels" else taught
    np.testing.assert_allclose(examples.labels, expected, atol=1e-6)
    assert store.module(student).num_outputs == 10
    assert 0 <= store.accuracy(student)["test"] <= 1


def test_skipping_more_than_there_is_says_what_there_is(store: ModelStore, tmp_path) -> None:
    folder = tmp_path / "cifar10" / "train"
    folder.mkdir(parents=True)
    np.save(folder / "image.npy", np.zeros((20, 32, 32, 3), np.uint8))
    np.save(folder / "label.npy", np.zeros(20, np.uint8))
    spec = dataclasses.replace(SOURCE, data="cifar10", num_examples=10, skip=15)
    with pytest.raises(ValueError, match=r"10 examples after the first 15, but .* has 20"):
        ModelStore(tmp_path / "models", tmp_path).examples(spec, "train")


def test_queries_must_be_such_as_the_model_reads(store: ModelStore) -> None:
    with pytest.raises(ValueError, match="reads images"):
        store.responses(SOURCE, QuerySet.texts(["a text"]))
    with pytest.raises(ValueError, match=r"reads images \[32, 32, 3\], got \[64, 64, 3\]"):
        store.responses(SOURCE, QuerySet.images(np.zeros((2, 64, 64, 3), np.uint8)))
    queries = store.queries(SOURCE, "test", 3)
    with pytest.raises(ValueError, match="are logits, which cannot be converted to top-k"):
        store.responses(SOURCE, queries, kind="top-k")
    with pytest.raises(FileNotFoundError, match=r"no checkpoint 9 .* there are \[1, 2\]"):
        store.responses(SOURCE, queries, epoch=9)


@pytest.mark.parametrize("count", [0, 65])
def test_more_queries_than_there_are_are_refused(store: ModelStore, count: int) -> None:
    with pytest.raises(ValueError, match=f"count must be from 1 to the 64 .*, got {count}"):
        store.queries(SOURCE, count=count)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arch": "distilbert"}, "distilbert reads texts; give tokens"),
        ({"tokens": Tokens("v", 10, 4)}, "alexnet reads images; leave tokens out"),
    ],
)
def test_a_model_and_its_tokens_must_fit(store: ModelStore, change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        store.module(dataclasses.replace(SOURCE, **change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "width must be a whole number, at least 1; got 0"),
        ({"num_examples": 1.5}, "num_examples must be a whole number"),
        ({"skip": -1}, "skip must be a whole number, at least 0; got -1"),
        ({"seed": None}, "seed must be a whole number"),
        ({"head": "new"}, "head must be one of keep, reinit; got 'new'"),
    ],
)
def test_an_impossible_spec_is_refused(change: dict, message: str) -> None:
    spec = dataclasses.replace(SOURCE)
    for name, value in change.items():  # past the type checker of the tests
        object.__setattr__(spec, name, value)
    with pytest.raises(ValueError, match=message):
        spec.__post_init__()


def test_a_model_whose_weights_were_deleted_is_trained_again(store: ModelStore, tmp_path) -> None:
    own = ModelStore(tmp_path)
    shutil.copytree(store.folder / SOURCE.address, tmp_path / SOURCE.address)
    assert own.is_trained(SOURCE)
    shutil.rmtree(tmp_path / SOURCE.address / "weights" / "2")
    assert not own.is_trained(SOURCE)


def test_a_model_that_is_trained_anew_keeps_nothing_of_the_old(store: ModelStore, tmp_path) -> None:
    shutil.copytree(store.folder / SOURCE.address, tmp_path / SOURCE.address)
    own = ModelStore(tmp_path)
    own.responses(SOURCE, QuerySet.images(np.zeros((4, 32, 32, 3), np.uint8)))
    shutil.rmtree(tmp_path / SOURCE.address / "weights" / "2")
    own.train([SOURCE])
    assert own.is_trained(SOURCE)
    assert not list((tmp_path / SOURCE.address).glob("responses/*.npz"))


def test_a_student_and_a_model_of_labels_are_not_stacked(store: ModelStore, tmp_path) -> None:
    shutil.copytree(store.folder / SOURCE.address, tmp_path / SOURCE.address)
    student = dataclasses.replace(SOURCE, teacher=SOURCE, seed=7, answers="probabilities")
    own = ModelStore(tmp_path)
    own.train([student, dataclasses.replace(SOURCE, seed=8)], together=2)
    assert own.is_trained(student)


@pytest.mark.parametrize("subset", [None, 0])
def test_an_unknown_data_set_is_said(tmp_path, subset: int | None) -> None:
    spec = dataclasses.replace(SOURCE, data="cifar11", subset=subset)
    with pytest.raises(ValueError, match="unknown data set 'cifar11'; choose one of cifar10"):
        ModelStore(tmp_path).module(spec)


@pytest.mark.parametrize("name", ["a[1]", "a\\b", "gs:"])
def test_a_folder_that_cannot_keep_models_is_refused_at_once(tmp_path, name: str) -> None:
    with pytest.raises(ValueError, match=r"checkpoints cannot be kept in .* choose a folder"):
        ModelStore(tmp_path / name)
