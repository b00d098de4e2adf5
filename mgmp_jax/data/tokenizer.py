"""Turns texts into token ids, by a checkpoint's own tokenizer or by one learnt from texts."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mgmp_jax import files
from mgmp_jax.queries import QuerySet

__all__ = ["Tokenizer", "Tokens"]

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_MOST_IDS = 2**24


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
    """Turns texts into padded int32 token ids ``[n, max_length]``, each text once.

    A text is ``[CLS]``, its tokens, ``[SEP]``. Special tokens that are spelt in a text, such as
    ``"[PAD]"``, are read as plain text.

    Args:
        backend: a tokenizer of the library ``tokenizers``, with ``[PAD]`` as token 0.
        max_length: texts are cut to so many tokens, ``[CLS]`` and ``[SEP]`` included.
        cache: a folder for the arrays of whole data sets; ``None`` keeps nothing.

    Raises:
        ValueError: padding has another id than 0, texts are not framed by ``[CLS]`` and
            ``[SEP]``, or ``max_length`` leaves no room for a text.

    Attributes:
        tokens: what a model must know of the ids.
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
        backend.encode_special_tokens = True
        (probe,) = _encode(backend, ["a"])
        frame = [backend.token_to_id(token) for token in ("[CLS]", "[SEP]")]
        if probe[:1] + probe[-1:] != frame:
            raise ValueError(
                "the tokenizer does not put a text between [CLS] and [SEP], as BERT and "
                "DistilBERT read it: it has no post-processor, or another one. Bring the "
                "tokenizer.json of a BERT or DistilBERT checkpoint, or its vocab.txt alone"
            )
        self._backend = backend
        self._cache = None if cache is None else Path(cache)
        vocab_size = max(backend.get_vocab().values()) + 1
        if vocab_size > _MOST_IDS:
            raise ValueError(f"token ids must be below {_MOST_IDS}, got {vocab_size - 1}")
        digest = hashlib.sha256(backend.to_str().encode()).hexdigest()[:12]
        self.tokens = Tokens(digest, vocab_size, max_length)

    def __reduce__(self) -> tuple[Any, ...]:
        """Goes to another process as the text that it can be made of again."""
        return _made_of, (self._backend.to_str(), self.tokens.max_length, self._cache)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        max_length: int,
        cache: str | Path | None = None,
        *,
        lowercase: bool | None = None,
    ) -> Tokenizer:
        """Reads the tokenizer of a checkpoint: ``tokenizer.json``, else ``vocab.txt``.

        Args:
            folder: of the checkpoint.
            max_length: as for the class.
            cache: as for the class.
            lowercase: whether texts are lower-cased. Only for a folder with ``vocab.txt`` alone,
                which does not say it; by default ``do_lower_case`` of ``tokenizer_config.json``.

        Raises:
            FileNotFoundError: there is none in the folder.
            ValueError: it is damaged, does not fit the model, or ``lowercase`` is not known.
        """
        folder = files.expand(folder)
        path = folder / "tokenizer.json"
        if not path.is_file():
            return cls(_read_vocabulary(folder, lowercase), max_length, cache)
        if lowercase is not None:
            raise ValueError(f"{path} says itself whether texts are lower-cased; leave it out")
        library = _tokenizers()
        try:
            backend = library.Tokenizer.from_str(path.read_bytes().decode("utf-8-sig"))
        except Exception as error:  # the library raises nothing more special
            raise ValueError(f"{path} cannot be read ({str(error)[:200]})") from error
        try:
            return cls(backend, max_length, cache)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

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
        """Learns a WordPiece vocabulary of ``texts`` once and keeps it in ``folder``.

        The same texts give the same vocabulary in every process. Texts are lower-cased.

        Args:
            texts: what it is learnt from.
            folder: where ``tokenizer.json`` lies, or will lie.
            max_length: as for the class.
            cache: as for the class.
            vocab_size: at most so many tokens.

        Raises:
            ValueError: there is no text, or one is empty.
            OSError: the folder cannot be written.
        """
        path = files.expand(folder) / "tokenizer.json"
        if not path.is_file():
            vocabulary = _learn_vocabulary(QuerySet.texts(texts).inputs, vocab_size)
            with files.replacing(path) as unfinished:
                _wordpiece(vocabulary, lowercase=True).save(str(unfinished))
        return cls.load(folder, max_length, cache)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Turns texts into token ids, int32 ``[n, max_length]``, padded with 0 on the right.

        Raises:
            ValueError: there is no text, one of them is empty, no valid Unicode or cannot be
                encoded, or the array in the cache is damaged.
        """
        queries = QuerySet.texts(texts)
        shape = (len(queries), self.tokens.max_length)
        path = None
        if self._cache is not None:
            path = self._cache / f"{self.tokens.vocabulary}-{queries.digest[:16]}.npy"
            if path.is_file():
                return self._read_kept(path, shape)
        tokens = np.zeros(shape, np.int32)
        for i, ids in enumerate(_encode(self._backend, queries.inputs)):
            if 0 in ids:
                raise ValueError(
                    f"text {i} spells [PAD], which this tokenizer reads as padding; leave the text "
                    "out or change the word"
                )
            tokens[i, : len(ids)] = ids
        if path is not None:
            with files.replacing(path) as unfinished, unfinished.open("wb") as file:
                np.save(file, tokens)
        return tokens

    def _read_kept(self, path: Path, shape: tuple[int, int]) -> np.ndarray:
        advice = "delete it and run the same command again"
        try:
            tokens = files.read_npy(path)
        except ValueError as error:
            raise ValueError(f"{error}; {advice}") from error
        sound = tokens.dtype == np.int32 and tokens.shape == shape
        if not sound or tokens.min() < 0 or tokens.max() >= self.tokens.vocab_size:
            raise ValueError(
                f"{path} is damaged: expected int32 {shape} below {self.tokens.vocab_size}, got "
                f"{tokens.dtype} {tokens.shape}; {advice}"
            )
        return tokens


def _made_of(text: str, max_length: int, cache: Path | None) -> Tokenizer:
    return Tokenizer(_tokenizers().Tokenizer.from_str(text), max_length, cache)


def _encode(backend: Any, texts: Sequence[str]) -> list[list[int]]:
    """Gives the ids of each text; says why where the tokenizer cannot."""
    for i, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"text {i} holds half a surrogate pair, which is no valid Unicode; decode it "
                'again with errors="replace"'
            ) from error
    try:
        return [one.ids for one in backend.encode_batch(list(texts))]
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of the library is no Exception
        raise ValueError(f"the tokenizer cannot encode these texts ({error})") from error


def _read_vocabulary(folder: Path, lowercase: bool | None) -> Any:
    """Makes BERT's tokenizer from ``vocab.txt``; asks no code of the checkpoint."""
    path, config_path = folder / "vocab.txt", folder / "tokenizer_config.json"
    if not path.is_file():
        raise FileNotFoundError(f"no tokenizer.json or vocab.txt in {folder}")
    try:
        lines = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 ({error})") from error
    if not lines[-1]:
        lines.pop()
    missing = [token for token in _SPECIAL[:4] if token not in lines]
    if missing:
        raise ValueError(f"{path} must hold one token a line; it lacks {', '.join(missing)}")
    config = files.read_settings(config_path) if config_path.is_file() else {}
    lowercase = config.get("do_lower_case") if lowercase is None else lowercase
    if not isinstance(lowercase, bool):
        capitals = sum(line != line.lower() for line in lines if line not in _SPECIAL)
        raise ValueError(
            f"{path} does not say whether texts are lower-cased, and there is no do_lower_case in "
            f"{config_path.name}: give lowercase=True for an uncased model, lowercase=False for a "
            f"cased one ({capitals} of its tokens have capital letters), or write "
            f'{{"do_lower_case": true}} or false into {config_path.name}'
        )
    options = {
        "lowercase": lowercase,
        "strip_accents": config.get("strip_accents"),
        "handle_chinese_chars": config.get("tokenize_chinese_chars", True),
    }
    try:
        return _wordpiece({token: i for i, token in enumerate(lines)}, **options)
    except TypeError as error:
        raise ValueError(f"{config_path} holds an option of another type ({error})") from error


def _learn_vocabulary(texts: Sequence[str], vocab_size: int) -> dict[str, int]:
    """Learns which pieces of words are frequent.

    The trainer numbers the inner letters of words (``##a``) in the order of a hash table, and by
    these numbers it chooses among equally frequent pairs. So they are found in a first pass, and
    numbered before the second.
    """
    letters = _train(texts, 1, _SPECIAL)
    inner = sorted(letter for letter in letters if letter.startswith("##"))
    return _train(texts, vocab_size, (*_SPECIAL, *inner))


def _train(texts: Sequence[str], vocab_size: int, first: Sequence[str]) -> dict[str, int]:
    """Trains WordPiece with ``first`` as the first tokens."""
    backend = _wordpiece({}, lowercase=True)
    trainer = _tokenizers().trainers.WordPieceTrainer(
        vocab_size=vocab_size, special_tokens=list(first), show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    return backend.get_vocab()


def _wordpiece(vocabulary: dict[str, int], **normalizer: Any) -> Any:
    """Makes BERT's tokenizer of a vocabulary; framing and special tokens where it has them."""
    library = _tokenizers()
    backend = library.Tokenizer(library.models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = library.normalizers.BertNormalizer(**normalizer)
    backend.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
    if vocabulary:
        backend.add_special_tokens([token for token in _SPECIAL if token in vocabulary])
        backend.post_processor = library.processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
        )
    return backend


def _tokenizers() -> Any:
    try:
        return importlib.import_module("tokenizers")
    except ImportError as error:
        raise ImportError("texts need tokenizers: pip install 'mgmp_jax[text]'") from error
