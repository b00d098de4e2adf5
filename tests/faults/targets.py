"""Every kind of file that the library reads: how one is made, and what reading it gives."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mgmp_jax import adapters, data, files, models, seal
from mgmp_jax.adapters.http_journal import Journal
from mgmp_jax.adapters.recorded import Recorded
from mgmp_jax.answers import load_answers, save_answers
from mgmp_jax.answers_table import read_group, row_groups, save_answers_table
from mgmp_jax.archive import read_dna, write_dna
from mgmp_jax.checkpoint import Checkpoints
from mgmp_jax.config import EXTENDED
from mgmp_jax.evidence import Evidence
from mgmp_jax.methods import MGMP, SiblingTest
from mgmp_jax.models.pretrained import load_pretrained, save_pretrained
from mgmp_jax.queries import QuerySet
from mgmp_jax.query_folder import QueryFolder
from mgmp_jax.reference_folder import read_references
from mgmp_jax.responses import Responses
from mgmp_jax.statements import read_report
from mgmp_jax.training.run_folder import RunFolder
from mgmp_jax.verifier import Verifier
from tests.families import Family
from tests.made_evidence import answer, make_evidence
from tests.reports import CREATED, as_json, report

sys.path.append(str(Path(__file__).parents[2] / "experiments"))
import _recorded

ROWS = QuerySet.rows(np.random.default_rng(5).normal(size=(100, 3)).astype(np.float32))
RESPONSES = Responses(np.random.default_rng(6).normal(size=(100, 4)), "logits", ROWS, "mine")
TREE = {"a": np.arange(20.0, dtype=np.float32), "b": {"c": np.ones((2, 3), np.float32)}}


@dataclasses.dataclass(frozen=True)
class Target:
    """A kind of file.

    Args:
        make: writes one into an empty folder.
        read: reads it from there.
        sealed: whether digests guard its values, so that no change may go unnoticed.
        needs: the package that reads it, beside the library.
    """

    make: Callable[[Path], None]
    read: Callable[[Path], Any]
    sealed: bool = False
    needs: str = ""

    @property
    def is_there(self) -> bool:
        return not self.needs or importlib.util.find_spec(self.needs) is not None


def fingerprint(value: Any) -> str:
    """A digest of whatever a target's ``read`` gives."""
    digest = hashlib.sha256()

    def add(one: Any) -> None:
        if dataclasses.is_dataclass(one) and not isinstance(one, type):
            fields = [f.name for f in dataclasses.fields(one) if not f.name.startswith("_")]
            one = {name: getattr(one, name) for name in fields}
        if isinstance(one, Mapping):
            for key in sorted(one, key=str):
                digest.update(f"{key}:".encode("utf-8", "surrogatepass"))
                add(one[key])
        elif isinstance(one, list | tuple):
            digest.update(f"[{len(one)}".encode())
            for item in one:
                add(item)
        elif isinstance(one, np.ndarray):
            digest.update(f"{one.dtype}{one.shape}".encode() + one.tobytes())
        else:
            digest.update(repr(one).encode("utf-8", "surrogatepass"))

    add(value)
    return digest.hexdigest()


@functools.cache
def verifier() -> Verifier:
    family = Family(100, queries=ROWS.digest)
    references = family.references(tasks=2, siblings=3, controls=2)
    return Verifier.fit(references, [MGMP(EXTENDED.replace(epochs=1)), SiblingTest()])


def make_dna(path: Path) -> None:
    write_dna(path, verifier(), created=CREATED, queries=ROWS)


def make_references(folder: Path) -> None:
    family = Family(30, seed=4)
    for place in ("source", "siblings/0", "siblings/1", "controls/x", "pool/a/homologous"):
        save_answers(folder / f"{place}.npz", family.tuned(family.noise(), name=place))
    save_answers(folder / "pool/a/non_homologous.npz", family.tuned(family.noise(), name="other"))


def freeze(folder: Path) -> None:
    QueryFolder.freeze(folder, {"training": ROWS})


def make_run(folder: Path) -> None:
    run = RunFolder(folder)
    for epoch in (1, 2):
        run.keep({"epoch": epoch, "loss": 1 / epoch}, TREE)


def read_run(folder: Path) -> Any:
    return RunFolder(folder).resume(TREE)


def make_arrays(suffix: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        path, values = folder / f"answers{suffix}", RESPONSES.values
        if suffix == ".npy":
            np.save(path, values)
        elif suffix == ".npz":
            np.savez(path, answers=values)
        elif suffix == ".csv":
            np.savetxt(path, values, delimiter=",", header="a,b,c,d", comments="")
        elif suffix == ".safetensors":
            from safetensors.numpy import save_file

            save_file({"answers": np.ascontiguousarray(values)}, path)
        else:
            import pyarrow as pa
            import pyarrow.parquet as pq

            table = {f"c{i}": column for i, column in enumerate(values.T)}
            pq.write_table(pa.table(table), path)

    return make


def read_arrays(suffix: str) -> Callable[[Path], Any]:
    return lambda folder: adapters.record(Recorded(folder / f"answers{suffix}"), ROWS)


def make_images(folder: Path) -> None:
    rng = np.random.default_rng(8)
    place = folder / "cifar10" / "train"
    place.mkdir(parents=True)
    np.save(place / "image.npy", rng.integers(0, 256, (20, 32, 32, 3), np.uint8))
    np.save(place / "label.npy", np.arange(20, dtype=np.int32) % 10)


def read_images(folder: Path) -> Any:
    return data.load("cifar10", "train", folder)


def make_texts(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (folder / "ag_news").mkdir()
    table = pa.table(
        {"text": [f"text {i}" for i in range(20)], "label": [i % 4 for i in range(20)]}
    )
    pq.write_table(table, folder / "ag_news" / "train.parquet")


def read_texts(folder: Path) -> Any:
    from mgmp_jax.data.text import load_texts

    return load_texts("ag_news", "train", folder)


ABOUT = {
    "url": "http://x",
    "endpoint": "e",
    "queries": {"": "q"},
    "kind": "logits",
    "batch_size": 2,
}


def make_journal(folder: Path) -> None:
    journal = Journal(folder / "journal", ABOUT)
    for start in (0, 2, 4):
        number = journal.send("", start, start + 2, 100)
        journal.answer(number, [[0.5, 1.5], [2.5, float(start)]])
    journal.close()


def read_journal(folder: Path) -> Any:
    journal = Journal(folder / "journal", ABOUT)
    try:
        return journal.missing("", 6), journal.rows("", 6) if not journal.missing("", 6) else None
    finally:
        journal.close()


def make_table(folder: Path) -> None:
    rng = np.random.default_rng(9)
    models = [Responses(rng.normal(size=(100, 4)), "logits", ROWS, f"model {i}") for i in range(6)]
    save_answers_table(folder / "many.parquet", models, group=2)


def read_table(folder: Path) -> Any:
    path = folder / "many.parquet"
    counts = enumerate(row_groups(path))
    return [(digest, answers()) for one in counts for digest, answers in read_group(path, *one)]


def make_model(folder: Path) -> None:
    """A DistilBERT of one layer in Hugging Face layout."""
    module = models.create(
        "distilbert", num_outputs=2, width=8, vocab_size=12, depth=1, num_heads=2
    )
    variables = module.init(jax.random.key(0), np.ones((1, 4), np.int32), train=False)
    save_pretrained(module, {"params": variables["params"]}, folder)


def read_model(folder: Path) -> Any:
    module, variables = load_pretrained(folder)
    return repr(module), jax.tree.leaves(jax.tree.map(np.asarray, variables))


def make_cohort(folder: Path) -> None:
    """A recorded cohort of one model of each part."""
    rng = np.random.default_rng(10)
    parts: list[dict[str, str]] = [
        {"part": "source"},
        {"part": "siblings"},
        {"part": "homologous", "task": "0"},
        {"part": "non_homologous", "task": "0"},
        {"part": "suspects", "kind": "homologous"},
        {"part": "suspects", "kind": "scratch"},
    ]
    about = {
        "format": _recorded.FORMAT,
        "models": [{**part, "model": f"model {i}"} for i, part in enumerate(parts)],
        "queries": {"training": ROWS.digest, "unseen": "another"},
    }
    logits = rng.normal(size=(2, len(parts), 100, 4)).astype(np.float16)
    arrays = {"training": logits[0], "unseen": logits[1], "labels": np.arange(100) % 4}
    files.write_arrays(folder / "cohort.npz", arrays, about)


def read_cohort(folder: Path) -> Any:
    cohort = _recorded.read(folder / "cohort.npz")
    return cohort.known.references.digests, cohort.known.labels, cohort.suspects, cohort.kinds


TARGETS: dict[str, Target] = {
    "responses": Target(
        lambda folder: RESPONSES.save(folder / "r.npz"),
        lambda folder: Responses.load(folder / "r.npz"),
        sealed=True,
    ),
    "answers": Target(
        lambda folder: save_answers(folder / "a.npz", {"training": RESPONSES, "unseen": RESPONSES}),
        lambda folder: load_answers(folder / "a.npz"),
        sealed=True,
    ),
    "frozen queries": Target(
        freeze,
        QueryFolder.load,
        sealed=True,
    ),
    "verifier": Target(
        lambda folder: verifier().save(folder), lambda folder: Verifier.load(folder).digest, True
    ),
    "DNA folder": Target(
        lambda folder: make_dna(folder / "dna"), lambda folder: read_dna(folder / "dna"), True
    ),
    "DNA zip": Target(
        lambda folder: make_dna(folder / "dna.zip"),
        lambda folder: read_dna(folder / "dna.zip"),
        True,
    ),
    "evidence": Target(
        lambda folder: make_evidence(answer("knowledge", "homologous", 0.95)).save(
            folder / "e.npz"
        ),
        lambda folder: Evidence.load(folder / "e.npz"),
        sealed=True,
    ),
    "answers of many": Target(make_table, read_table, needs="pyarrow"),
    "recorded cohort": Target(make_cohort, read_cohort, sealed=True),
    "references": Target(make_references, lambda folder: read_references(folder).digests, True),
    "checkpoints": Target(
        lambda folder: Checkpoints(folder / "state").save(3, TREE),
        lambda folder: Checkpoints(folder / "state").restore(TREE, 3),
        sealed=True,
    ),
    "training run": Target(make_run, read_run),
    "report": Target(
        lambda folder: files.write_json(
            folder / "report.json", as_json(report("homologous", "inconclusive"))
        ),
        lambda folder: read_report(folder / "report.json")[1],
    ),
    "model JSON": Target(
        lambda folder: seal.write_sealed(folder / "model.json", {"accuracy": {"train": 0.5}}),
        lambda folder: seal.read_sealed(folder / "model.json"),
        sealed=True,
    ),
    "HTTP journal": Target(make_journal, read_journal),
    "images": Target(make_images, read_images),
    "Hugging Face folder": Target(make_model, read_model, needs="safetensors"),
    "texts": Target(make_texts, read_texts, needs="pyarrow"),
    **{
        f"recorded {suffix}": Target(
            make_arrays(suffix),
            read_arrays(suffix),
            needs={".safetensors": "safetensors", ".parquet": "pyarrow"}.get(suffix, ""),
        )
        for suffix in (".npy", ".npz", ".csv", ".safetensors", ".parquet")
    },
}
