import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mgmp_jax import adapters
from mgmp_jax.adapters.pixels import Pixels
from mgmp_jax.queries import QuerySet

sklearn = pytest.importorskip("sklearn", reason="pip install 'mgmp_jax[sklearn]'")
skops = pytest.importorskip("skops.io", reason="pip install 'mgmp_jax[sklearn]'")

from sklearn.ensemble import RandomForestClassifier  # noqa: E402
from sklearn.feature_extraction.text import CountVectorizer  # noqa: E402
from sklearn.linear_model import LinearRegression, LogisticRegression  # noqa: E402
from sklearn.neighbors import KNeighborsClassifier  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import FunctionTransformer, StandardScaler  # noqa: E402

RNG = np.random.default_rng(41)
X = RNG.normal(size=(60, 4)).astype(np.float32)
NAMES = np.array(["rose", "aster", "lily"])[RNG.integers(3, size=60)]
ROWS = QuerySet.rows(X)


@pytest.fixture(scope="module")
def flowers():
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(X, NAMES)


def test_the_kind_chooses_the_method(flowers) -> None:
    for kind, method in (
        ("logits", "decision_function"),
        ("probabilities", "predict_proba"),
        ("log-probabilities", "predict_log_proba"),
    ):
        found = adapters.record(flowers, ROWS, kind=kind, batch_size=7)
        np.testing.assert_allclose(found.values, getattr(flowers, method)(X), rtol=1e-4)
        assert found.kind == kind


def test_labels_are_places_among_the_classes(flowers) -> None:
    found = adapters.record(flowers, ROWS, kind="labels", batch_size=7)
    named = flowers.classes_[found.values.argmax(axis=1)]
    assert named.tolist() == flowers.predict(X).tolist()


def test_of_two_classes_the_logits_give_the_probabilities() -> None:
    model = LogisticRegression().fit(X, NAMES == "lily")
    found = adapters.record(model, ROWS).to("probabilities")
    np.testing.assert_allclose(found.values, model.predict_proba(X), atol=1e-5)


def test_an_estimator_without_the_method_says_what_it_can() -> None:
    model = RandomForestClassifier(5, random_state=0).fit(X, NAMES)
    with pytest.raises(ValueError, match=r"no decision_function.*can answer .*'probabilities'"):
        adapters.record(model, ROWS)
    assert adapters.record(model, ROWS, kind="top-k").values.shape == (60, 3)
    regression = LinearRegression().fit(X, X[:, 0])
    found = adapters.record(regression, ROWS, kind="embedding")
    np.testing.assert_allclose(found.values[:, 0], X[:, 0], atol=1e-4)


def test_images_become_rows_of_the_width_that_it_takes() -> None:
    images = QuerySet.images(
        np.random.default_rng(42).integers(0, 256, (30, 2, 3, 3), dtype=np.uint8)
    )
    flat = images.inputs.reshape(30, 18).astype(np.float32)
    model = KNeighborsClassifier(3).fit(flat, np.arange(30) % 3)
    found = adapters.record(model, images, kind="probabilities", batch_size=8)
    np.testing.assert_allclose(found.values, model.predict_proba(flat))
    pixels = Pixels(channels_first=False)
    scaled = KNeighborsClassifier(3).fit(pixels(images.inputs).reshape(30, 18), np.arange(30) % 3)
    again = adapters.record(scaled, images, kind="probabilities", pixels=pixels)
    np.testing.assert_allclose(again.values, found.values)
    with pytest.raises(ValueError, match=r"takes rows of 18 numbers.*give 4"):
        adapters.record(model, ROWS, kind="labels")
    unknowing = FunctionTransformer(lambda x: x)
    with pytest.raises(ValueError, match=r"does not say how many numbers it takes"):
        adapters.record(unknowing, images, kind="embedding")


def test_texts_and_tables_are_read() -> None:
    texts = ["a rose", "a lily", "an aster here"] * 4
    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(texts, list("rla") * 4)
    found = adapters.record(model, QuerySet.texts(texts), batch_size=5)
    np.testing.assert_allclose(found.values, model.decision_function(texts), rtol=1e-5)
    counts = adapters.record(model[0], QuerySet.texts(texts), kind="embedding")
    np.testing.assert_array_equal(counts.values, model[0].transform(texts).toarray())
    pandas = pytest.importorskip("pandas", reason="pip install pandas")
    named = LogisticRegression().fit(pandas.DataFrame(X, columns=list("abcd")), NAMES)
    assert len(adapters.record(named, ROWS)) == 60


def test_a_skops_file_is_read(flowers, tmp_path: Path) -> None:
    skops.dump(flowers, tmp_path / "m.skops")
    model = adapters.open_model(f"sklearn:{tmp_path}/m.skops")
    np.testing.assert_array_equal(
        adapters.record(model, ROWS).values, adapters.record(flowers, ROWS).values
    )
    with pytest.raises(FileNotFoundError, match=r"no file"):
        adapters.open_model(f"sklearn:{tmp_path}/none.skops")
    skops.dump([1, 2], tmp_path / "list.skops")
    with pytest.raises(ValueError, match=r"holds a list; expected a fitted estimator"):
        adapters.open_model(f"sklearn:{tmp_path}/list.skops")


class Evil:
    def __reduce__(self):
        return Path.write_text, (Path("executed"), "x")


def test_hostile_files_are_refused_and_nothing_is_executed(
    flowers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "m.skops"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ValueError, match=r"damaged or no skops file.*pickles are not read"):
        adapters.open_model(f"sklearn:{path}")
    skops.dump(make_pipeline(FunctionTransformer(Path.write_text), flowers), path)
    with pytest.raises(ValueError, match=r"types that skops does not trust: pathlib.*write_text"):
        adapters.open_model(f"sklearn:{path}")
    skops.dump(flowers, path)
    whole = path.read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"damaged or no skops file"):
            adapters.open_model(f"sklearn:{path}")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", "{}")
    with pytest.raises(ValueError, match=r"damaged or no skops file"):
        adapters.open_model(f"sklearn:{path}")
    assert not Path("executed").exists()


def test_a_skops_file_holds_what_it_says(flowers, tmp_path: Path) -> None:
    path = tmp_path / "m.skops"
    skops.dump(flowers, path, compression=zipfile.ZIP_DEFLATED)
    assert adapters.open_model(f"sklearn:{path}").n_features_in_ == flowers.n_features_in_
    raw = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        said = archive.infolist()[0].file_size
    place = raw.index(b"PK\x01\x02")
    raw[place + 24 : place + 28] = (said - 1).to_bytes(4, "little")
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=r"damaged or no skops file .*and holds more\)"):
        adapters.open_model(f"sklearn:{path}")
    skops.dump(flowers, path, compression=zipfile.ZIP_BZIP2)
    with pytest.raises(ValueError, match=r"packed by method 12; pack it again, stored or deflated"):
        adapters.open_model(f"sklearn:{path}")
