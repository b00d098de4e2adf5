"""Query sets: the raw inputs that all models are asked, and what kind of input they are."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np

from mgmp_jax.arrays import as_matrix, as_numbers

__all__ = ["TRAINING", "UNSEEN", "Modality", "QuerySet", "modality_of"]

Modality = Literal["images", "texts", "rows"]

TRAINING = "training"
"""Name of a query set of the source's training examples, which MGMP asks."""

UNSEEN = "unseen"
"""Name of a query set that no model was trained on, which the sibling test asks."""


@dataclasses.dataclass(frozen=True, eq=False)
class QuerySet:
    """Raw inputs in a fixed order: what source, references and suspect are asked.

    Make one by :meth:`images`, :meth:`texts` or :meth:`rows`.

    Args:
        inputs: uint8 images ``[n, h, w, 3]``, strings, or rows of numbers ``[n, f]``.
        modality: which of the three.
    """

    inputs: Any
    modality: Modality

    @classmethod
    def images(cls, images: Any) -> QuerySet:
        """Takes uint8 images ``[n, h, w, 3]``, RGB, channels last.

        Args:
            images: an array, or a list of images of one size.

        Raises:
            ValueError: they are of another dtype, range or layout; the message says how to
                convert them.
        """
        if isinstance(images, str | os.PathLike):
            raise ValueError(
                f"images must be an array; np.load({str(images)!r}) reads an .npy file"
            )
        array = as_numbers(images, "images")
        problem = _image_problem(array)
        if problem:
            raise ValueError(f"images must be uint8 [n, h, w, 3], RGB, channels last; {problem}")
        return cls(np.array(array, order="C"), "images")

    @classmethod
    def texts(cls, texts: Any) -> QuerySet:
        """Takes raw texts, before any tokenizer: one string a query, not one of them empty.

        Args:
            texts: a list, an array or a column of strings.

        Raises:
            ValueError: there are none, they are a table or have no order, or one is empty or no
                string.
        """
        no_list = isinstance(texts, str | Mapping | set | frozenset) or hasattr(texts, "columns")
        if no_list or not isinstance(texts, Iterable):
            got = "one string" if isinstance(texts, str) else type(texts).__name__
            raise ValueError(f"give a list of texts, one a query; got {got}")
        texts = tuple(texts)
        for i, text in enumerate(texts):
            if not isinstance(text, str) or not text.strip():
                got = "an empty text" if isinstance(text, str) else type(text).__name__
                raise ValueError(f"texts must be strings, not empty; text {i} is {got}")
        if not texts:
            raise ValueError("give at least one text; got none")
        return cls(tuple(str(text) for text in texts), "texts")

    @classmethod
    def rows(cls, rows: Any) -> QuerySet:
        """Takes rows of numbers ``[n, f]``, as a model of tabular data reads them.

        Args:
            rows: an array, a list of lists or a table.

        Raises:
            ValueError: they are no finite real numbers of that shape.
        """
        return cls(as_matrix(rows, "rows"), "rows")

    def __len__(self) -> int:
        return len(self.inputs)

    def __repr__(self) -> str:
        return f"QuerySet({len(self)} {self.modality}, {self.digest[:12]})"

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the raw texts, pixels or numbers in their order, the same everywhere."""
        digest = hashlib.sha256(self.modality.encode())
        if self.modality == "texts":
            for text in self.inputs:
                raw = text.encode("utf-8", "surrogatepass")
                digest.update(len(raw).to_bytes(8, "little") + raw)
        else:
            digest.update(np.array(self.inputs.shape, "<i8").tobytes())
            kind = "u1" if self.modality == "images" else "<f4"
            digest.update(np.ascontiguousarray(self.inputs, kind).tobytes())
        return digest.hexdigest()

    def take(self, which: Any) -> QuerySet:
        """Selects some queries, in the order asked for.

        Args:
            which: a number, of the first so many; a slice; or places, or a mask, ``[n]``.

        Raises:
            ValueError: these are no places in this query set, or none is selected.
        """
        if isinstance(which, int | np.integer):
            which = slice(max(int(which), 0))
        elif not isinstance(which, slice):
            which = np.asarray(which)
        try:
            places = np.arange(len(self))[which]
        except IndexError as error:
            raise ValueError(f"cannot take these of {len(self)} queries: {error}") from error
        if not places.size or places.ndim != 1:
            raise ValueError(
                f"take at least one query of {len(self)}, by a number, a slice or places [n]; got "
                f"places of shape {places.shape}"
            )
        if self.modality == "texts":
            return QuerySet(tuple(self.inputs[i] for i in places), self.modality)
        return QuerySet(self.inputs[which], self.modality)


def modality_of(inputs: Any) -> Modality:
    """Says what inputs a model is fed are: uint8 images, token ids of texts, or rows of numbers.

    Args:
        inputs: an array, or a traced one: uint8 ``[n, h, w, 3]``, integer token ids ``[n, l]`` or
            numbers ``[n, f]``.

    Raises:
        ValueError: they are none of these.
    """
    kind, ndim = np.dtype(inputs.dtype).kind, inputs.ndim
    if ndim == 2:
        return "texts" if kind in "iu" else "rows"
    if ndim == 4 and inputs.dtype == np.uint8:
        return "images"
    raise ValueError(
        "a model reads uint8 images [n, h, w, 3], integer token ids [n, l] or rows of numbers "
        f"[n, f]; got {inputs.dtype} {inputs.shape}"
    )


def _image_problem(array: np.ndarray) -> str:
    """What is wrong with an array of images and how to mend it; nothing where it is sound."""
    got = f"got {array.dtype} {array.shape}"
    if array.ndim != 4 or 0 in array.shape:
        gray = " For gray images repeat the channel: np.repeat(x[..., None], 3, axis=-1)"
        return f"{got}.{gray if array.ndim == 3 else ''}"
    if array.shape[-1] != 3:
        hint = {1: "np.repeat(x, 3, axis=-1)", 4: "x[..., :3] drops an alpha channel"}
        if array.shape[1] == 3:
            hint = {array.shape[-1]: "channels come first: x.transpose(0, 2, 3, 1)"}
        return f"{got}. {hint.get(array.shape[-1], 'Bring them to three channels')}"
    if array.dtype != np.uint8:
        if array.dtype.kind != "f" and array.min() >= 0 and array.max() <= 255:
            return f"{got}. Convert pixels 0 to 255 with x.astype(np.uint8)"
        scale = "(255 * x)" if float(np.max(array)) <= 1 else "x"
        return (
            f"{got}, from {np.min(array):.3g} to {np.max(array):.3g}. Give the pixels before "
            f"normalisation: np.rint({scale.strip('()')}).astype(np.uint8)"
        )
    return ""
