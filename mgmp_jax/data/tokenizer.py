"""Texts to token ids, by a checkpoint's own fast tokenizer or by one learnt from texts."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mgmp_jax import files

__all__ = ["Tokenizer", "Tokens"]

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@dataclasses.dataclass(frozen=True)
class Tokens:
    """What a model must know of the ids that it reads.

    Args:
        vocabulary: a digest of the tokenizer.
        vocab_size: how many ids there are.
        max_length: the longest text, in tokens.
    """

    vocabulary: str
    vocab_size: int
    max_length: int


class Tokenizer:
    """Texts to padded int32 token ids ``[n, max_length]``, each text encoded once.

    Args:
        backend: a tokenizer of the library ``tokenizers``, with ``[PAD]`` as token 0.
        max_length: texts are cut to so many tokens, ``[CLS]`` and ``[SEP]`` included.
        cache: a folder for the arrays of whole data sets; ``None`` keeps nothing.

    Raises:
        ValueError: padding has another id than 0, or ``max_length`` leaves no room for a text.
    """

    def __init__(self, backend: Any, max_length: int, cache: str | Path | None = None) -> None:
        if backend.token_to_id("[PAD]") != 0:
            raise ValueError(
                f"the tokenizer has [PAD] as token {backend.token_to_id('[PAD]')}; expected 0, as "
                "BERT and DistilBERT have it"
            )
        if max_length < 3:
            raise ValueError(f"max_length must be at least 3, got {max_length}")
        backend.no_padding()
        backend.enable_truncation(max_length)
        self._backend = backend
        self._cache = None if cache is None else Path(cache)
        digest = hashlib.sha256(backend.to_str().encode()).hexdigest()[:12]
        self.tokens = Tokens(digest, backend.get_vocab_size(), max_length)

    @classmethod
    def load(
        cls, folder: str | Path, max_length: int, cache: str | Path | None = None
    ) -> Tokenizer:
        """The tokenizer of a checkpoint in Hugging Face layout.

        Raises:
            FileNotFoundError: there is none in the folder.
            ValueError: it is damaged.
        """
        folder = Path(folder)
        if (folder / "tokenizer.json").is_file():
            try:
                backend = _tokenizers().Tokenizer.from_file(str(folder / "tokenizer.json"))
            except Exception as error:  # the library raises nothing more special
                raise ValueError(f"{folder}/tokenizer.json cannot be read ({error})") from error
        elif (folder / "vocab.txt").is_file():
            transformers = importlib.import_module("transformers")
            fast = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
            backend = fast.backend_tokenizer
        else:
            raise FileNotFoundError(f"no tokenizer.json or vocab.txt in {folder}")
        return cls(backend, max_length, cache)

    @classmethod
    def learn(
        cls,
        texts: Sequence[str],
        folder: str | Path,
        max_length: int,
        cache: str | Path | None = None,
        *,
        vocab_size: int = 8192,
    ) -> Tokenizer:
        """A WordPiece vocabulary of ``texts``, learnt once and kept in ``folder``.

        Args:
            texts: what it is learnt from.
            folder: where ``tokenizer.json`` lies, or will lie.
            max_length: as for the class.
            cache: as for the class.
            vocab_size: at most so many tokens.
        """
        path = Path(folder) / "tokenizer.json"
        if not path.is_file():
            library = _tokenizers()
            backend = library.Tokenizer(library.models.WordPiece(unk_token="[UNK]"))
            backend.normalizer = library.normalizers.BertNormalizer(lowercase=True)
            backend.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
            trainer = library.trainers.WordPieceTrainer(
                vocab_size=vocab_size, special_tokens=list(_SPECIAL), show_progress=False
            )
            backend.train_from_iterator(texts, trainer)
            backend.post_processor = library.processors.TemplateProcessing(
                single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
            )
            with files.replacing(path) as unfinished:
                backend.save(str(unfinished))
        return cls.load(folder, max_length, cache)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Token ids, int32 ``[n, max_length]``, padded with 0 on the right.

        Raises:
            ValueError: there is no text, or one of them is empty.
        """
        if not len(texts):
            raise ValueError("no texts to encode")
        for i, text in enumerate(texts):
            if not text.strip():
                raise ValueError(f"text {i} of {len(texts)} is empty; leave empty texts out")
        path = None
        if self._cache is not None:
            digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
            path = self._cache / f"{self.tokens.vocabulary}-{digest}.npy"
            if path.is_file():
                try:
                    return np.load(path, allow_pickle=False)
                except (ValueError, EOFError) as error:
                    raise ValueError(
                        f"{path} is damaged ({error}); delete it and run the same command again"
                    ) from error
        encoded = self._backend.encode_batch(list(texts))
        tokens = np.zeros((len(texts), self.tokens.max_length), np.int32)
        for row, one in zip(tokens, encoded, strict=True):
            row[: len(one.ids)] = one.ids
        if path is not None:
            with files.replacing(path) as unfinished, unfinished.open("wb") as file:
                np.save(file, tokens)
        return tokens


def _tokenizers() -> Any:
    try:
        return importlib.import_module("tokenizers")
    except ImportError as error:
        raise ImportError("texts need tokenizers: pip install 'mgmp_jax[text]'") from error
