"""Trains the owner's models once: ``python tests/owner/train.py DATA_DIR``; 10 minutes of one core.

The source and its siblings learn CIFAR-10 from one set of images, other seeds. Tasks are classes of
CIFAR-100. The weights are kept as float16 in one file, 20 kB a model.
"""

from __future__ import annotations

import copy
import sys

import numpy as np
import torch
from models import WEIGHTS, Net
from safetensors.numpy import save_file

from mgmp_jax import data

IMAGES, TASK_IMAGES = 10_000, 3_000
TASKS = {f"task{i}": list(range(10 * i, 10 * i + 10)) for i in range(8)} | {
    "suspects": list(range(90, 97))
}


def train(net: Net, examples: data.Examples, seed: int, epochs: int, rate: float) -> Net:
    """Trains with SGD and a falling rate, on images that are flipped at random."""
    rng = np.random.default_rng(seed)
    images = torch.tensor(examples.inputs.transpose(0, 3, 1, 2)).float() / 255
    labels = torch.tensor(examples.labels).long()
    optimizer = torch.optim.SGD(net.parameters(), rate, momentum=0.9, weight_decay=5e-4)
    steps = epochs * (len(images) // 100)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    net.train()
    for _ in range(epochs):
        for rows in np.split(rng.permutation(len(images) // 100 * 100), len(images) // 100):
            batch = images[rows]
            if rng.random() < 0.5:
                batch = batch.flip(-1)
            optimizer.zero_grad()
            nn_loss = torch.nn.functional.cross_entropy(net(batch), labels[rows])
            nn_loss.backward()
            optimizer.step()
            schedule.step()
    return net.eval()


def fresh(classes: int, seed: int) -> Net:
    """A network with random weights."""
    torch.manual_seed(seed)
    return Net(classes)


def tuned(start: Net, task: data.Examples, seed: int) -> Net:
    """Fine-tunes a copy of a network on a task, with a new head."""
    net = copy.deepcopy(start)
    torch.manual_seed(seed)
    net.head = torch.nn.Linear(net.head.in_features, task.num_classes)
    return train(net, task, seed, 4, 0.03)


def main(data_dir: str) -> None:
    """Trains all models and writes their weights."""
    torch.set_num_threads(1)
    whole = data.load("cifar10", "train", data_dir).take(IMAGES)
    all_tasks = data.load("cifar100", "train", data_dir)
    tasks = {name: all_tasks.of_classes(c).take(TASK_IMAGES) for name, c in TASKS.items()}

    def member(seed: int) -> Net:
        print("family", seed, flush=True)
        return train(fresh(10, seed), whole, seed, 12, 0.1)

    def scratch(name: str, seed: int) -> Net:
        return train(fresh(tasks[name].num_classes, seed), tasks[name], seed, 8, 0.1)

    nets = {"source": member(0)}
    nets |= {f"sibling{i:02}": member(1 + i) for i in range(19)}
    stranger = member(50)
    for i in range(3):
        nets[f"task{i}_homologous"] = tuned(nets["source"], tasks[f"task{i}"], 100 + i)
        nets[f"task{i}_non_homologous"] = scratch(f"task{i}", 200 + i)
    for i in range(19):
        nets[f"control{i:02}"] = scratch(f"task{3 + i % 5}", 300 + i)
    nets["stolen"] = tuned(nets["source"], tasks["suspects"], 400)
    nets["from_sibling"] = tuned(stranger, tasks["suspects"], 401)
    nets["scratch"] = scratch("suspects", 402)
    nets["scratch_other"] = scratch("task7", 403)
    report(nets, data_dir)
    arrays = {
        f"{name}/{key}": value.numpy().astype(np.float16)
        for name, net in nets.items()
        for key, value in net.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    save_file(arrays, WEIGHTS)


def report(nets: dict[str, Net], data_dir: str) -> None:
    """Prints accuracies on test images."""
    test = data.load("cifar10", "test", data_dir).take(2000)
    images = torch.tensor(test.inputs.transpose(0, 3, 1, 2)).float() / 255
    for name in ("source", "sibling00", "sibling18"):
        with torch.no_grad():
            right = nets[name](images).argmax(1).numpy() == test.labels
        print(name, right.mean())


if __name__ == "__main__":
    main(sys.argv[1])
