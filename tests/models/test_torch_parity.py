"""Each image model against an independent PyTorch definition on the same weights, by block."""

import copy
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mgmp_jax import models

torch = pytest.importorskip("torch", reason="PyTorch is not installed (pip install torch==2.13.0)")
nn = torch.nn
F = nn.functional
sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))
from _torch_models import ResNet  # noqa: E402

OUTPUTS = 7


class TorchAlexNet(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        channels = [3, width, 3 * width, 6 * width, 4 * width, 4 * width]
        for i in range(1, 6):
            stride = 2 if i == 1 else 1
            setattr(self, f"conv{i}", nn.Conv2d(channels[i - 1], channels[i], 3, stride, 1))
        self.fc1 = nn.Linear(4 * 4 * width, 64 * width)
        self.fc2 = nn.Linear(64 * width, 64 * width)
        self.head = nn.Linear(64 * width, OUTPUTS)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.conv4(F.relu(self.conv3(x))))
        x = F.max_pool2d(F.relu(self.conv5(x)), 2)
        x = x.permute(0, 2, 3, 1).flatten(1)
        return self.head(F.relu(self.fc2(F.relu(self.fc1(x)))))


class TorchViTBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        y = self.norm1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class TorchViT(nn.Module):
    def __init__(self, width: int, depth: int, heads: int, patch: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.cls = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, (32 // patch) ** 2 + 1, width))
        for i in range(1, depth + 1):
            setattr(self, f"block{i}", TorchViTBlock(width, heads))
        self.depth = depth
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, OUTPUTS)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], dim=1) + self.positions
        for i in range(1, self.depth + 1):
            x = getattr(self, f"block{i}")(x)
        return self.head(self.norm(x[:, 0]))


CASES = {
    "resnet18": (
        {"width": 8},
        lambda: ResNet(OUTPUTS, (2, 2, 2, 2), False, 8, "small"),
    ),
    "resnet18-imagenet": (
        {"width": 8, "stem": "imagenet"},
        lambda: ResNet(OUTPUTS, (2, 2, 2, 2), False, 8, "imagenet"),
    ),
    "resnet50": ({"width": 4}, lambda: ResNet(OUTPUTS, (3, 4, 6, 3), True, 4, "small")),
    "alexnet": ({"width": 4}, lambda: TorchAlexNet(4)),
    "vit-small": (
        {"width": 48, "depth": 3},
        lambda: TorchViT(48, 3, 6, 4),
    ),
    "vit-base": (
        {"width": 48, "depth": 2, "patch_size": 8},
        lambda: TorchViT(48, 2, 12, 8),
    ),
}


def to_torch(path: tuple[str, ...], value: np.ndarray) -> dict[str, np.ndarray]:
    """PyTorch's name and layout of a Flax parameter."""
    *modules, leaf = path
    prefix = ".".join(modules)
    if leaf in ("cls", "positions"):
        return {leaf: value}
    if modules[-2:-1] == ["attn"] and modules[-1] == "out":
        name = {"kernel": "out_proj.weight", "bias": "out_proj.bias"}[leaf]
        value = value.reshape(-1, value.shape[-1]).T if leaf == "kernel" else value
        return {f"{'.'.join(modules[:-1])}.{name}": value}
    if leaf == "kernel":
        axes = (3, 2, 0, 1) if value.ndim == 4 else (1, 0)
        return {f"{prefix}.weight": value.transpose(axes)}
    names = {"scale": "weight", "mean": "running_mean", "var": "running_var"}
    return {f"{prefix}.{names.get(leaf, leaf)}": value}


def state_dict(variables: dict) -> dict[str, "torch.Tensor"]:
    arrays: dict[str, np.ndarray] = {}
    packed: dict[str, dict[str, np.ndarray]] = {}
    for path, value in jax.tree_util.tree_leaves_with_path(variables):
        keys = tuple(key.key for key in path[1:])
        if "attn" in keys and keys[-2] in ("query", "key", "value"):
            width = value.shape[0] if keys[-1] == "kernel" else value.size
            flat = value.reshape(width, -1).T if keys[-1] == "kernel" else value.reshape(-1)
            name = {"kernel": "in_proj_weight", "bias": "in_proj_bias"}[keys[-1]]
            packed.setdefault(".".join((*keys[:-2], name)), {})[keys[-2]] = np.asarray(flat)
        else:
            arrays |= to_torch(keys, np.asarray(value))
    for name, parts in packed.items():
        arrays[name] = np.concatenate([parts[k] for k in ("query", "key", "value")])
    return {name: torch.tensor(np.ascontiguousarray(value)) for name, value in arrays.items()}


def same(got: Any, expected: Any, what: str, tolerance: float) -> None:
    """Equal but for ``tolerance`` times the largest number expected."""
    expected = expected.detach().numpy()
    if expected.ndim == 4 and "." not in what:  # the output of a block, channels last here
        expected = expected.transpose(0, 2, 3, 1)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * scale, err_msg=what)


@pytest.fixture(scope="module", params=CASES)
def pair(request: pytest.FixtureRequest):
    """A model and its twin with the same weights, images, and what its gradient is taken of."""
    options, build = CASES[request.param]
    name = request.param.removesuffix("-imagenet")
    module = models.create(name, num_outputs=OUTPUTS, **options)
    if hasattr(module, "dropout"):
        module = module.clone(dropout=0.0)
    rng, side = np.random.default_rng(0), 64 if request.param.endswith("-imagenet") else 32
    x = rng.normal(size=(6, side, side, 3)).astype(np.float32)
    shapes = jax.eval_shape(lambda x: module.init(jax.random.key(0), x, train=False), x)
    variables = jax.tree_util.tree_map_with_path(lambda path, v: drawn(path, v, rng), shapes)
    twin = build()
    loaded = twin.load_state_dict(state_dict(variables), strict=False)
    assert not loaded.unexpected_keys
    assert all(key.endswith("num_batches_tracked") for key in loaded.missing_keys)
    return module, variables, twin, x, rng.normal(size=(6, OUTPUTS)).astype(np.float32)


def drawn(path: tuple, leaf: Any, rng: np.random.Generator) -> np.ndarray:
    """Weights that keep the size of what passes through; all others such that each counts."""
    if path[-1].key == "kernel":
        projects = path[-2].key in ("query", "key", "value")  # into heads, [inputs, heads, width]
        inputs = leaf.shape[:1] if projects else leaf.shape[:-1]
        values = rng.normal(size=leaf.shape) * np.sqrt(2 / np.prod(inputs))
    else:
        values = rng.normal(size=leaf.shape) / 10
        values += path[-1].key in ("scale", "var")
    return values.astype(np.float32)


def forward(twin: Any, x: np.ndarray) -> tuple[Any, dict[str, Any], dict[str, int]]:
    """Outputs; those of every block; and how many numbers each batch norm averages over."""
    blocks: dict[str, Any] = {}
    averaged: dict[str, int] = {}

    def keep(name: str):
        return lambda module, inputs, outputs: blocks.update({name: outputs})

    def count(name: str):
        return lambda module, inputs: averaged.update({name: inputs[0][:, 0].numel()})

    hooks = [child.register_forward_hook(keep(name)) for name, child in twin.named_children()]
    hooks += [
        child.register_forward_pre_hook(count(name))
        for name, child in twin.named_modules()
        if isinstance(child, nn.BatchNorm2d)
    ]
    outputs = twin(torch.tensor(x.transpose(0, 3, 1, 2)))
    for hook in hooks:
        hook.remove()
    return outputs, blocks, averaged


def compare_blocks(
    module: Any, intermediates: dict, blocks: dict[str, Any], tolerance: float
) -> None:
    """Each layer of the module, the first first, against that of the same name."""
    layers = [name for name in module.layers if name not in ("cls", "positions")]
    assert set(layers) == set(blocks)
    for name in reversed(layers):
        same(intermediates[name]["__call__"][0], blocks[name], name, tolerance)


def compiled(function: Any, *arguments: Any) -> Any:
    """What ``function`` returns, compiled without optimisations, which take longest."""
    options = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
    return jax.jit(function, compiler_options=options)(*arguments)


def test_every_block_in_evaluation_mode(pair) -> None:
    module, variables, twin, x, _ = pair
    outputs, state = compiled(
        lambda v, x: module.apply(
            v, x, train=False, capture_intermediates=True, mutable=["intermediates"]
        ),
        variables,
        x,
    )
    with torch.no_grad():
        expected, blocks, _ = forward(twin.eval(), x)
    compare_blocks(module, state["intermediates"], blocks, 1e-4)
    same(outputs, expected, "outputs", 1e-4)
    head = variables["params"]["head"]
    again = state["intermediates"]["features"][0] @ head["kernel"] + head["bias"][None]
    same(again, expected, "features", 1e-4)


def test_every_block_statistic_and_gradient_in_training_mode(pair) -> None:
    """In float64: rounding would change the sign of what a ReLU sees, and so the gradient."""
    module, variables, twin, x, weights = pair
    module, twin = module.clone(dtype=jnp.float64), copy.deepcopy(twin).double().train()
    before = {name: value.clone() for name, value in twin.state_dict().items()}

    def loss(params, others, x):
        outputs, state = module.apply(
            {"params": params, **others},
            x,
            train=True,
            capture_intermediates=True,
            mutable=["batch_stats", "intermediates"],
        )
        return jnp.sum(outputs * weights), state

    with jax.enable_x64(True):
        others = jax.tree.map(np.float64, variables)
        params = others.pop("params")
        gradients, state = compiled(jax.grad(loss, has_aux=True), params, others, np.float64(x))
    outputs, blocks, averaged = forward(twin, np.float64(x))
    (outputs * torch.tensor(weights)).sum().backward()

    compare_blocks(module, state["intermediates"], blocks, 1e-6)
    after = twin.state_dict()
    for name, value in state_dict({"batch_stats": state.get("batch_stats", {})}).items():
        expected = after[name]
        if name.endswith("running_var"):  # PyTorch divides by n - 1 here, Flax by n
            n = averaged[name.removesuffix(".running_var")]
            expected = 0.9 * before[name] + (expected - 0.9 * before[name]) * (n - 1) / n
        same(value, expected, name, 1e-6)
    theirs = dict(twin.named_parameters())
    ours = state_dict({"params": gradients})
    assert set(ours) == set(theirs)
    for name, value in ours.items():
        same(value, theirs[name].grad, name, 1e-5)
