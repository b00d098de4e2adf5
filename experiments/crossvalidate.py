"""What the paper leaves open, chosen by leaving out one pool task at a time.

    python experiments/crossvalidate.py --preset small --stage 1 --data-dir DIR

Every variant learns from all pool tasks of a row but one and is judged on that one, for each
task in turn. Evaluation models are not looked at; they are not even trained. The first stage
changes one thing at a time, the second goes on from the best of the first, the third takes the
extended method apart. Takes the options of ``cifar.py`` beside its own; rerun to resume.
"""

import dataclasses

import numpy as np
from _rows import run_row
from _run import SCHEMA, open_store, print_files, print_table, run, settings
from configs.cifar import make_row
from configs.crossvalidate import STAGES, Args, leave_one_out

from mgmp_jax import files, reporting


def main(args: Args) -> dict:
    """Runs all folds; see the module's docstring."""
    row = make_row(args)
    store = open_store(args)
    compared = STAGES[args.stage](row)
    row = dataclasses.replace(row, seeds=1)
    folds = [run_row("crossvalidate", fold, store, args) for fold in leave_one_out(row, compared)]
    results = {}
    for name in compared:
        by_task = [fold["methods"][name]["accuracy"] for fold in folds]
        auc = float(np.mean([fold["methods"][name]["auc"] for fold in folds]))
        config = folds[0]["methods"][name]["config"]
        accuracy = float(np.mean(by_task))
        results[name] = {"accuracy": accuracy, "by_task": by_task, "auc": auc, "config": config}
    columns = ["method", "accuracy per fragment", "AUC"]
    shown = [[name, f"{v['accuracy']:.4f}", f"{v['auc']:.2f}"] for name, v in results.items()]
    print_table(f"{row.name}: mean over the pool tasks left out", columns, shown)
    content = {
        "experiment": "crossvalidate",
        "schema": SCHEMA,
        "row": row.name,
        "tasks": [pair.task for pair in row.pool],
        "variants": results,
        "settings": settings(args),
        "run": reporting.environment(),
    }
    path = args.out / f"{row.address}-crossvalidation{args.stage}" / "results.json"
    files.write_json(path, content)
    print_files(path.parent, path.name)
    return content


if __name__ == "__main__":
    run(main, Args)
