"""Table 2 of the paper: provenance of text classifiers.

    python experiments/nlp.py --arch distilbert --pretrained PATH_OR_ID   # row 1, paper scale
    python experiments/nlp.py --arch minilm --preset small --pretrained PATH --stand-ins
    python experiments/nlp.py --preset demo                               # no data needed

Sources and targets are text classifiers of different data sets. Class counts differ, so homologous
models start with the source's weights and a new last layer, and responses are the embedding of
the first token. Rerun to resume.
"""

import dataclasses
from pathlib import Path
from typing import Any

from _rows import run_row
from _run import claim, open_store, run
from configs.nlp import PRESETS, ROWS, STAND_INS, Args, choose_tasks, make_row, rows_of

from mgmp_jax.data import text, topics
from mgmp_jax.data.tokenizer import Tokenizer
from mgmp_jax.models.pretrained import digest_pretrained, find_pretrained, pretrained_vocab_size
from mgmp_jax.training import console


def open_tokenizer(args: Args, source: str, checkpoint: Path | None) -> Tokenizer:
    """The checkpoint's tokenizer, or one learnt from the source's training texts."""
    preset = PRESETS[args.preset]
    cache = args.out / "tokens"
    if checkpoint is not None:
        return Tokenizer.load(checkpoint, preset.max_length, cache)
    if source == "topics10":
        texts = topics.generate(source, "train", preset.source_examples or text.MAX_TRAIN)
    else:
        texts = text.load_texts(source, "train", args.data_dir, download=True)
        texts = texts.take(preset.source_examples)
    folder = args.out / "vocabularies" / f"{source}-{len(texts)}"
    return Tokenizer.learn(texts.texts, folder, preset.max_length, cache)


def main(args: Args) -> list[dict[str, Any]]:
    """Runs the rows; see the module's docstring."""
    claim(args.out)
    checkpoint = None if args.pretrained is None else find_pretrained(args.pretrained)
    if args.row != "all":
        return [run_one(args, checkpoint)]
    results = []
    for number, (arch, *_) in ROWS.items():
        if number not in rows_of(args.arch):
            reason = f"it is of {arch}, which has a checkpoint of its own; give --arch {arch}"
            console.print(f"[bold]Row {number} was not run:[/] {reason}")
            continue
        if args.stand_ins and number not in STAND_INS:
            reason = f"it has no stand-ins; rows {list(STAND_INS)} have"
            console.print(f"[bold]Row {number} was not run:[/] {reason}")
            continue
        try:
            results.append(run_one(dataclasses.replace(args, row=number), checkpoint))
        except FileNotFoundError as error:
            console.print(f"[bold]Row {number} was not run:[/] {error}")
    return results


def run_one(args: Args, checkpoint: Path | None) -> dict[str, Any]:
    """One row, from its data to its results."""
    tasks = choose_tasks(args)
    digest = None if checkpoint is None else digest_pretrained(checkpoint)
    vocab_size = None if checkpoint is None else pretrained_vocab_size(checkpoint)
    tokenizer = open_tokenizer(args, tasks.source, checkpoint)
    row = make_row(args, tasks, tokenizer.tokens, digest, vocab_size)
    store = open_store(args, tokenizer=tokenizer, pretrained=checkpoint)
    return run_row("nlp", row, store, args)


if __name__ == "__main__":
    run(main, Args)
