import pickle
from pathlib import Path

import numpy as np
import pytest

from mgmp_jax import adapters
from mgmp_jax.queries import QuerySet

pytest.importorskip("sklearn", reason="pip install 'mgmp_jax[sklearn]'")
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline

X = np.random.default_rng(0).normal(size=(40, 5))
Y = np.array(["ape", "bear", "cat"])[np.argmax(X[:, :3], axis=1)]
ROWS = QuerySet.rows(X[:10])


def test_probabilities_scores_and_labels_are_asked() -> None:
    model = LogisticRegression().fit(X, Y)
    found = adapters.record(model, ROWS, kind="probabilities", batch_size=4)
    np.testing.assert_allclose(found.values, model.predict_proba(X[:10]), atol=1e-6)
    found = adapters.record(model, ROWS, kind="logits")
    np.testing.assert_allclose(found.values, model.decision_function(X[:10]), atol=1e-5)
    labels = adapters.record(model, ROWS, kind="labels")
    assert [model.classes_[i] for i in labels.values.argmax(axis=1)] == list(model.predict(X[:10]))


def test_what_a_classifier_does_not_answer_is_refused() -> None:
    model = RidgeClassifier().fit(X, Y)
    with pytest.raises(ValueError, match=r"answers no probabilities; ask for logits or labels"):
        adapters.record(model, ROWS, kind="probabilities")


def test_pipelines_read_texts_and_classifiers_read_pixels() -> None:
    texts = ["a good film", "a bad film", "good good", "bad"]
    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(texts, [1, 0, 1, 0])
    found = adapters.record(model, QuerySet.texts(texts), kind="probabilities")
    np.testing.assert_allclose(found.values, model.predict_proba(texts), atol=1e-6)
    images = np.random.default_rng(1).integers(0, 256, (6, 2, 2, 3), np.uint8)
    model = LogisticRegression().fit(images.reshape(6, -1), [0, 1] * 3)
    found = adapters.record(model, QuerySet.images(images), kind="logits")
    assert found.values.shape == (6, 1)


def test_a_skops_file_is_read_and_a_pickle_is_not(tmp_path: Path) -> None:
    skops = pytest.importorskip("skops.io", reason="pip install 'mgmp_jax[sklearn]'")
    model = LogisticRegression().fit(X, Y)
    skops.dump(model, tmp_path / "m.skops")
    opened = adapters.open_model(f"sklearn:{tmp_path}/m.skops")
    assert (opened.predict(X) == model.predict(X)).all()
    (tmp_path / "p.skops").write_bytes(pickle.dumps(model))
    with pytest.raises(ValueError, match=r"is no readable skops file"):
        adapters.open_model(f"sklearn:{tmp_path}/p.skops")
    skops.dump(Hostile(), tmp_path / "h.skops")
    with pytest.raises(ValueError, match=r"types that are not trusted: .*Hostile"):
        adapters.open_model(f"sklearn:{tmp_path}/h.skops")
    with pytest.raises(FileNotFoundError, match=r"no file"):
        adapters.open_model("sklearn:nothing.skops")


class Hostile:
    def __init__(self) -> None:
        self.command = "rm"
