"""What the benchmark measures: a function for each thing, all timed in turn with what is beside it.

Functions import JAX themselves, so that those in a process of their own can choose its cores.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from configs.benchmark import Sizes

Call = Callable[[], Any]
Figures = dict[str, Any]
OURS = "ours"
FIG2, CACHED = "PyTorch, Fig. 2 as drawn", "PyTorch, cached responses"


def in_turn(
    calls: Mapping[str, Call], first: str, rounds: int, seconds: float, warm: int = 2
) -> Figures:
    """Times all calls in turn; ratios are to ``first``. What fails beforehand says why."""
    calls, absent, taken = dict(calls), {}, []
    for name in list(calls):
        try:
            for _ in range(warm):
                calls[name]()
        except Exception as error:
            if name == first:
                raise
            reason, *_ = str(error).strip().split("\n")
            absent[name] = f"{type(error).__name__}: {reason[:200]}"
            del calls[name]
    start = time.perf_counter()
    while len(taken) < 3 or (len(taken) < rounds and time.perf_counter() - start < seconds):
        taken.append({name: seconds_of(call) for name, call in calls.items()})
    found: Figures = {"rounds": len(taken), "seconds": {}, "ratio": {}, "quartiles": {}}
    for name in calls:
        found["seconds"][name] = _round(statistics.median(row[name] for row in taken))
        if name != first:
            ratios = [row[name] / row[first] for row in taken]
            low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
            found["ratio"][name] = _round(middle)
            found["quartiles"][name] = [_round(low), _round(high)]
    return {**found, "absent": absent}


def seconds_of(call: Call) -> float:
    """Times one call, which waits for its result."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _round(value: float) -> float:
    return float(f"{value:.4g}")


def ready(function: Callable, *given: Any) -> Call:
    """Makes a call of a JAX function that waits for its result."""
    import jax

    return lambda: jax.block_until_ready(function(*given))


def steps(step: Any, state: Any, batch: Call) -> Call:
    """Makes a call that takes one more step of a training each time, over devices as ``fit`` does.

    Args:
        step: of a training.
        state: before the first step.
        batch: gives a batch each time.
    """
    import jax
    import numpy as np
    from jax.sharding import NamedSharding, PartitionSpec

    from mgmp_jax import training

    mesh = training.data_mesh(len(jax.tree.leaves(batch())[0]))
    whole, split = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("data"))

    def sharded(state: Any, batch: Any, key: Any) -> Any:
        return step(state, jax.lax.with_sharding_constraint(batch, split), key)

    compiled = jax.jit(sharded, donate_argnums=0, out_shardings=whole)
    kept = [jax.device_put(jax.tree.map(np.array, state), whole)]

    def call() -> None:
        kept[0], metrics = compiled(kept[0], batch(), jax.random.key(0))
        jax.block_until_ready(metrics)

    return call


def torch_models(*names: str) -> tuple[Any, Figures]:
    """Imports PyTorch's side or says, under each of the names, why there is none."""
    import jax

    try:
        theirs = importlib.import_module("_torch_models")
    except ImportError as error:
        return None, dict.fromkeys(names, f"{error}; pip install torch")
    if theirs.DEVICE == "cpu" and jax.default_backend() != "cpu":
        return None, dict.fromkeys(names, "this PyTorch sees no such device")
    return theirs, {}


def compare(ours: Call, names: tuple[str, ...], make: Callable, sizes: Sizes) -> Figures:
    """Times ours and what ``make`` makes by name of PyTorch's side, the first also compiled."""
    theirs, absent = torch_models(*names)
    calls = {OURS: ours}
    if theirs:
        calls |= {name: make(theirs, name, compiled=False) for name in names}
        if sizes.compiled:
            theirs.torch.compiler.reset()
            calls[f"{names[0]}, compiled"] = make(theirs, names[0], compiled=True)
    found = in_turn(calls, OURS, sizes.rounds, sizes.seconds)
    return {**found, "absent": {**found["absent"], **absent}}


def mgmp(sizes: Sizes, generator: str, width: int, pool: str, pool_width: int, batch: int) -> Any:
    """A step of the paper's MGMP, gathering included."""
    import jax
    import numpy as np

    from mgmp_jax import training
    from mgmp_jax.config import PAPER
    from mgmp_jax.methods import mgmp_step
    from mgmp_jax.methods.fragments import gather_pair

    is_text, rng = generator == "distilbert", np.random.default_rng(0)
    outputs, (length, vocabulary) = (4, sizes.tokens) if is_text else (10, (0, 0))
    queries = rng.integers(0, 256, (2 * batch, 32, 32, 3), dtype=np.uint8)
    if is_text:
        queries = rng.integers(1, vocabulary, (2 * batch, length), dtype=np.int32)
    of = {"generator_vocab_size": vocabulary or None, "batch_size": batch}
    config = PAPER.replace(generator=generator, generator_width=width, **of)
    data: Figures = {"inputs": queries}
    for side in ("source", "homologous", "non_homologous"):
        logits = rng.normal(size=(2, len(queries), outputs)).astype(np.float32)
        data[side] = np.asarray(jax.nn.log_softmax(logits))
    step, optimizer = mgmp_step.make_step(config, outputs)
    variables = mgmp_step.init(config, queries, outputs, jax.random.key(0))

    def gather() -> Any:
        drawn = {"query": rng.permutation(len(queries))[:batch], "pair": np.array([0, 1])}
        return gather_pair(data, drawn)

    def of_torch(theirs: Any, name: str, compiled: bool) -> Call:
        torch = theirs.torch
        trained = theirs.Reader(generator, width, outputs, vocabulary).train()
        frozen = [theirs.Reader(pool, pool_width, outputs, vocabulary).eval() for _ in range(3)]
        judge = theirs.classifier(2 * outputs).train()
        adam = torch.optim.Adam([*trained.parameters(), *judge.parameters()], lr=1e-2)
        kept = [torch.tensor(data[side], device=theirs.DEVICE) for side in list(data)[1:]]
        inputs = torch.tensor(queries, device=theirs.DEVICE)
        loss = theirs.mgmp_loss(trained, judge, config.temperature, config.weight_decay)
        answer = theirs.answering(frozen)
        if compiled:
            loss, answer = torch.compile(loss), theirs.answering([*map(torch.compile, frozen)])

        def draw() -> Any:
            index = torch.tensor(rng.permutation(len(queries))[:batch], device=theirs.DEVICE)
            drawn = inputs[index]
            return drawn, *(answer(drawn) if name == FIG2 else (of[0, index] for of in kept))

        return theirs.stepping(loss, adam, draw)

    ours = steps(step, training.create_state(variables, optimizer), gather)
    return compare(ours, (FIG2, CACHED), of_torch, sizes)


def classifying(sizes: Sizes, width: int, batch: int, *, train: bool) -> Figures:
    """A training step of a ResNet18 without augmentation, or all of its answers."""
    import jax
    import numpy as np

    from mgmp_jax import models, training
    from mgmp_jax.training.recipe import Recipe, classification_step

    module = models.create("resnet18", num_outputs=10, width=width, dtype=training.compute_dtype())
    rng, shape = np.random.default_rng(0), (batch if train else sizes.images, 32, 32, 3)
    images, labels = rng.integers(0, 256, shape, dtype=np.uint8), rng.integers(0, 10, batch)
    init = jax.jit(partial(module.init, train=False))
    variables = init(jax.random.key(0), np.zeros((1, 32, 32, 3), np.float32))
    ours: Call = partial(training.predict, module, variables, images, len(images))
    if train:
        recipe = Recipe(1, batch, 0.05, augment="none")
        step, optimizer = classification_step(module, recipe, 1000, stacked=False)
        given = {"inputs": images, "labels": labels.astype(np.int32)}
        ours = steps(step, training.create_state(variables, optimizer), lambda: given)

    def of_torch(theirs: Any, name: str, compiled: bool) -> Call:
        torch, model = theirs.torch, theirs.Reader("resnet18", width, 10).train(train)
        x, y = (torch.tensor(of, device=theirs.DEVICE) for of in (images, labels))
        applied = torch.compile(model) if compiled else model
        if not train:
            return lambda: theirs.answering([applied])(x)[0].cpu()
        half, keep = name != "PyTorch", {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}
        sgd = torch.optim.SGD(model.parameters(), lr=0.05, **keep)

        def loss(*batch: Any) -> Any:
            with torch.autocast(theirs.DEVICE, torch.bfloat16, enabled=half):
                return theirs.F.cross_entropy(applied(batch[0]), batch[1])

        return theirs.stepping(loss, sgd, lambda: (x, y))

    names = ("PyTorch", "PyTorch, bfloat16") if train else ("PyTorch",)
    return compare(ours, names, of_torch, sizes)


def loss(sizes: Sizes, n: int) -> Figures:
    """The contrastive loss, Eq. 5 plus 6: rates of its products to that of a square product."""
    import jax
    import numpy as np

    from mgmp_jax.losses import blockwise_dna_loss, dna_loss

    d, product = sizes.loss_width, jax.jit(partial(jax.numpy.matmul, precision="highest"))
    rng, side = np.random.default_rng(0), 2048 if n > 512 else 256
    square, rows = rng.normal(size=(side, side)), rng.normal(size=(n, d))
    square, rows = (jax.device_put(x.astype(np.float32)) for x in (square, rows))
    calls = {"square product": ready(product, square, square)}
    if n <= 16384:  # beyond, its result is of 4 GiB
        calls["one product of n x d"] = ready(product, rows, rows.T)
    fragments = jax.device_put(rng.normal(size=(3, n, d)).astype(np.float32))
    value = partial(blockwise_dna_loss, temperature=0.5, block_size=sizes.block)
    plain = partial(dna_loss, temperature=0.5, block_size=sizes.block)
    gradient = partial(jax.value_and_grad, argnums=(0, 1, 2))
    calls["value"] = ready(jax.jit(value), *fragments)
    calls["gradient"] = ready(jax.jit(gradient(value)), *fragments)
    if n <= 8192:
        calls["dna_loss, gradient"] = ready(jax.jit(gradient(plain)), *fragments)
    found = in_turn(calls, "square product", sizes.rounds, sizes.seconds, warm=1)
    rate = 2 * side**3 / found["seconds"]["square product"]
    products = {"one product of n x d": 1, "value": 4, "gradient": 12, "dna_loss, gradient": 12}
    shares = {
        name: _round(count * 2 * n * n * d / side**3 / 2 / found["ratio"][name])
        for name, count in products.items()
        if name in found["ratio"]
    }
    memory = {"blocks": alone("loss_memory", n, d, sizes.block)}
    if n <= 8192:
        memory["at once"] = alone("loss_memory", n, d, None)
    return {**found, "gflops_of_square": _round(rate / 1e9), "share": shares, "memory_mb": memory}


def loss_memory(n: int, d: int, block: int | None) -> float:
    """Measures how many MB the loss and its gradient take at most, in a process of its own."""
    import jax
    import numpy as np

    from mgmp_jax.losses import blockwise_dna_loss, dna_loss

    value = partial(dna_loss, temperature=0.5)
    if block is not None:
        value = partial(blockwise_dna_loss, temperature=0.5, block_size=block)
    fragments = jax.device_put(np.random.default_rng(0).normal(size=(3, n, d)).astype(np.float32))
    gradient = jax.jit(jax.value_and_grad(value, (0, 1, 2))).lower(*fragments).compile()
    with contextlib.suppress(OSError):  # forget the peak of compiling, where Linux can
        Path("/proc/self/clear_refs").write_text("5")
    before = _peak()
    jax.block_until_ready(gradient(*fragments))
    return _round((_peak() - before) / 2**20)


def _peak() -> int:
    import jax

    stats = jax.devices()[0].memory_stats()
    if stats:
        return stats["peak_bytes_in_use"]
    with contextlib.suppress(OSError):  # of this process alone: rusage has what started it too
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        if found:
            return int(found[1]) * 1024
    resource: Any = importlib.import_module("resource")
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def alone(function: str, *given: Any) -> Any:
    """Calls a function of this file in a process of its own."""
    code = f"import json, _measures; print(json.dumps(_measures.{function}(*{given!r})))"
    return json.loads(start_process("-c", code).splitlines()[-1])


def start_process(*arguments: str, right: tuple[int, ...] = (0,)) -> str:
    """Runs Python and returns what it printed, or raises ``OSError`` with its last words."""
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent), os.environ.get("PYTHONPATH", "")])
    command, env = [sys.executable, *arguments], {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode not in right:
        raise OSError(f"{' '.join(command)} failed: {done.stderr[-1000:]}")
    return done.stdout


def candidates(siblings: int, n: int, suspects: int) -> tuple[Any, list[Any]]:
    """Draws the answers of source, siblings and suspects, which know the same and differ."""
    import numpy as np

    from mgmp_jax.references import ReferenceSet
    from mgmp_jax.responses import Responses

    rng, queries = np.random.default_rng(0), "drawn"
    known = rng.normal(size=(n, 10))
    answers = [
        Responses(known + rng.normal(size=(n, 10)), "logits", queries, f"model {i}")
        for i in range(1 + siblings + suspects)
    ]
    source, others = answers[0], answers[1 : 1 + siblings]
    return ReferenceSet(source, [], others), answers[1 + siblings :]


def sibling(siblings: int, n: int) -> Figures:
    """The sibling test on one core, in a process of its own."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    from mgmp_jax.methods import SiblingTest

    references, suspects = candidates(siblings, n, 12)
    SiblingTest().fit(references).score(suspects[0])  # compiles
    start = time.perf_counter()
    fitted = SiblingTest().fit(references)
    fitted.score(suspects[1])
    first = time.perf_counter() - start
    each = statistics.median(seconds_of(partial(fitted.score, s)) for s in suspects[2:])
    return {"seconds": {"prepared once": _round(first - each), "a suspect": _round(each)}}


def make_files(folder: Path, sizes: Sizes, suspects: int) -> tuple[str, str]:
    """Writes a verifier with the sibling test, and what suspects answered."""
    from mgmp_jax.verifier import Verifier

    references, drawn = candidates(sizes.siblings[0], sizes.queries, suspects)
    Verifier.fit(references).save(folder / "verifier")
    (folder / "suspects").mkdir()
    for i, suspect in enumerate(drawn):
        suspect.save(folder / "suspects" / f"{i}.npz")
    return str(folder / "verifier"), str(folder / "suspects")


def scan(sizes: Sizes) -> Figures:
    """``mgmp scan`` of a folder of answers, its start included."""
    with tempfile.TemporaryDirectory() as made:
        verifier, suspects = make_files(Path(made), sizes, sizes.suspects)
        out = ("--out", f"{made}/table.csv")
        call = partial(start_process, "-m", "mgmp_jax.cli", "scan", verifier, suspects, *out)
        taken = seconds_of(partial(call, right=(0, 3, 4)))
        return {"seconds": {f"{sizes.suspects} suspects": _round(taken)}}


def start(sizes: Sizes) -> Figures:
    """Processes from their start to their end; the verdict is that of a saved verifier."""
    with tempfile.TemporaryDirectory() as made:
        verifier, suspects = make_files(Path(made), sizes, 1)
        right, cli = (0, 3, 4), ("-m", "mgmp_jax.cli")
        verdict = (*cli, "verify", verifier, f"{suspects}/0.npz")
        calls = {
            "import jax, flax": partial(start_process, "-c", "import jax, flax"),
            "import mgmp_jax": partial(start_process, "-c", "import mgmp_jax"),
            "import mgmp_jax.verifier": partial(start_process, "-c", "import mgmp_jax.verifier"),
            "mgmp --help": partial(start_process, *cli, "--help"),
            "mgmp verify": partial(start_process, *verdict, right=right),
        }
        return in_turn(calls, "import jax, flax", sizes.rounds, 3 * sizes.seconds)
