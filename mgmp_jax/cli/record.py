"""``mgmp record``: asks a model all frozen queries."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

from mgmp_jax.cli.command import Command, Outcome
from mgmp_jax.kinds import ResponseKind


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record(Command):
    """Record what a model answers to frozen queries.

    mgmp record --model torch:my_models.py:load_flowers --queries queries/ --out pool/flowers.npz

    The model is given as ADAPTER:TARGET. python, torch, flax and equinox run a Python file and
    call a function in it, without arguments, which gives the model. Options of an endpoint follow a
    #: http://host/v2/models/m/infer#budget=5000&token_env=API_TOKEN. Its answers are kept as they
    come, in a hidden journal beside --out; rerun to resume.
    """

    model: str
    """ADAPTER:TARGET, for example onnx:model.onnx, hf:folder or python:my_models.py:load."""
    queries: Path
    """Folder that `mgmp queries` made."""
    out: Path
    """File of the answers, .npz."""
    kind: ResponseKind = "logits"
    """What the model's numbers are."""
    name: str | None = None
    """Of the model, in reports; by default the name of the file."""
    batch_size: int = 256
    """How many queries are asked at once."""
    mean: tuple[float, float, float] | None = None
    """Of images: subtracted from pixels of 0 to 1, by channel."""
    std: tuple[float, float, float] | None = None
    """Of images: what pixels are divided by then, by channel."""
    size: tuple[int, int] | None = None
    """Of images: height and width to resize to."""

    def run(self) -> Outcome:
        """Asks the model."""
        from mgmp_jax import adapters
        from mgmp_jax.answers import answers_to, save_answers
        from mgmp_jax.query_folder import QueryFolder

        frozen = QueryFolder.load(self.queries)
        if self.out.suffix != ".npz":
            raise ValueError(f"--out must end in .npz, got {self.out}")
        if self.out.exists():
            raise FileExistsError(
                f"{self.out} is there already; choose another --out, or delete it"
            )
        sets: Any = frozen.sets
        if len(sets) == 1:  # answers to the only query set need no name: every method asks it
            (sets,) = sets.values()
        model = adapters.open_model(self.model)
        answers = adapters.record(
            model,
            sets,
            kind=self.kind,
            name=self.out.stem if self.name is None else self.name,
            batch_size=self.batch_size,
            progress=_show if sys.stderr.isatty() else None,
            **self._options(model),
        )
        save_answers(self.out, answers)
        shapes = {name: list(answers_to(answers, name).values.shape) for name in frozen.sets}
        return Outcome(f"{self.out}: {shapes}", {"file": str(self.out), "shapes": shapes})

    def _options(self, model: Any) -> dict[str, Any]:
        from mgmp_jax.adapters import http
        from mgmp_jax.adapters.pixels import Pixels

        options: dict[str, Any] = {}
        if http.reads(model):
            options["journal"] = self.out.with_name(f".{self.out.name}.journal")
        if self.mean or self.std or self.size:
            mean, std = self.mean or (0.0, 0.0, 0.0), self.std or (1.0, 1.0, 1.0)
            channels_first = not self.model.startswith(("flax:", "sklearn:"))
            options["pixels"] = Pixels(mean, std, self.size, channels_first)
        return options


def _show(answered: int, total: int) -> None:
    end = "\n" if answered == total else ""
    print(f"\r{answered} of {total} answered", end=end, file=sys.stderr, flush=True)
