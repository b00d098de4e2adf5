"""Topics: generated texts of pseudo-words, for tests and demonstrations without a download.

A class mixes a few themes, and each theme has words of its own. The ten classes of ``topics10``
and the hundred of ``topics100`` mix the same themes, so what is learnt on the one helps with the
other. Each text depends on its data set, split, seed and index alone.
"""

import zlib

import numpy as np

from mgmp_jax.data.text import Texts

__all__ = ["generate"]

_NUM_THEMES, _WORDS_A_THEME, _COMMON_WORDS = 40, 25, 200
_THEMES_A_CLASS = 4
_SYLLABLES = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]


def generate(name: str, split: str, n: int, seed: int = 0) -> Texts:
    """Writes texts of ``topics10`` or ``topics100``, classes in turn.

    Args:
        name: ``"topics10"`` or ``"topics100"``.
        split: ``"train"`` or ``"test"``, which have different texts.
        n: how many texts.
        seed: of all texts.

    Raises:
        ValueError: the name is unknown.
    """
    if name not in ("topics10", "topics100"):
        raise ValueError(f"unknown data set {name!r}; choose topics10 or topics100")
    num_classes = int(name.removeprefix("topics"))
    rng = np.random.default_rng(seed)
    words = _words(rng, _COMMON_WORDS + _NUM_THEMES * _WORDS_A_THEME)
    common, themes = words[:_COMMON_WORDS], words[_COMMON_WORDS:].reshape(_NUM_THEMES, -1)
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    mixtures = [rng.permutation(_NUM_THEMES)[:_THEMES_A_CLASS] for _ in range(num_classes)]
    labels = np.arange(n, dtype=np.int32) % num_classes
    stream = zlib.crc32(f"{name}/{split}".encode())
    texts = tuple(
        _write(common, themes[mixtures[label]], np.random.default_rng([seed, stream, i]))
        for i, label in enumerate(labels)
    )
    return Texts(texts, labels, num_classes)


def _words(rng: np.random.Generator, n: int) -> np.ndarray:
    words: dict[str, None] = {}
    while len(words) < n:
        words["".join(rng.choice(_SYLLABLES, size=rng.integers(2, 4)))] = None
    return np.array(list(words))


def _write(common: np.ndarray, themes: np.ndarray, rng: np.random.Generator) -> str:
    """Writes a text of 5 to 29 words, about a third of them from the class's themes."""
    length = rng.integers(5, 30)
    theme = themes[
        rng.integers(len(themes), size=length), rng.integers(themes.shape[1], size=length)
    ]
    rank = np.minimum(rng.zipf(1.3, size=length), len(common)) - 1
    return " ".join(np.where(rng.random(length) < 0.35, theme, common[rank])) + "."
