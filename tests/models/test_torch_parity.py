"""Each image model, block by block, against an independent PyTorch definition."""

import copy

import jax
import numpy as np
import pytest

from mgmp_jax import models

torch = pytest.importorskip("torch", reason="PyTorch is not installed (pip install torch==2.13.0)")
nn = torch.nn
F = nn.functional

OUTPUTS = 7


class TorchBlock(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        self.bottleneck = bottleneck
        outputs = 4 * width if bottleneck else width
        shapes = (
            [(inputs, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1)]
            if bottleneck
            else [(inputs, width, 3, stride), (width, width, 3, 1)]
        )
        for i, (a, b, size, s) in enumerate(shapes, 1):
            setattr(self, f"conv{i}", nn.Conv2d(a, b, size, s, size // 2, bias=False))
            setattr(self, f"norm{i}", nn.BatchNorm2d(b))
        if stride != 1 or inputs != outputs:
            self.conv_skip = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.norm_skip = nn.BatchNorm2d(outputs)

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        if self.bottleneck:
            y = self.norm3(self.conv3(F.relu(y)))
        if hasattr(self, "conv_skip"):
            x = self.norm_skip(self.conv_skip(x))
        return F.relu(x + y)


class TorchResNet(nn.Module):
    def __init__(self, sizes: tuple[int, ...], bottleneck: bool, width: int, stem: str) -> None:
        super().__init__()
        size, stride, pad = (3, 1, 1) if stem == "small" else (7, 2, 3)
        self.stem = nn.ModuleDict(
            {
                "conv": nn.Conv2d(3, width, size, stride, pad, bias=False),
                "norm": nn.BatchNorm2d(width),
            }
        )
        self.pool = nn.MaxPool2d(3, 2, 1) if stem == "imagenet" else nn.Identity()
        self.blocks, inputs = [], width
        for s, count in enumerate(sizes, 1):
            for b in range(1, count + 1):
                block_width = width * 2 ** (s - 1)
                block = TorchBlock(inputs, block_width, 2 if s > 1 and b == 1 else 1, bottleneck)
                setattr(self, f"stage{s}_block{b}", block)
                self.blocks.append(block)
                inputs = block_width * (4 if bottleneck else 1)
        self.head = nn.Linear(inputs, OUTPUTS)

    def forward(self, x):
        x = self.pool(F.relu(self.stem["norm"](self.stem["conv"](x))))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))


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
        lambda: TorchResNet((2, 2, 2, 2), False, 8, "small"),
    ),
    "resnet18-imagenet": (
        {"width": 8, "stem": "imagenet"},
        lambda: TorchResNet((2, 2, 2, 2), False, 8, "imagenet"),
    ),
    "resnet50": ({"width": 4}, lambda: TorchResNet((3, 4, 6, 3), True, 4, "small")),
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


@pytest.fixture(params=CASES, scope="module")
def made(request: pytest.FixtureRequest):
    options, build = CASES[request.param]
    name = request.param.removesuffix("-imagenet")
    module = models.create(name, num_outputs=OUTPUTS, **options)
    x = np.random.default_rng(0).normal(size=(6, 32, 32, 3)).astype(np.float32)
    init = jax.jit(lambda key, x: module.init(key, x, train=False))
    variables = init(jax.random.key(0), x)
    rng = np.random.default_rng(1)
    variables = jax.tree.map(
        lambda v: (np.asarray(v) + rng.uniform(0, 0.1, v.shape)).astype(np.float32), variables
    )
    reference = build()
    missing = reference.load_state_dict(state_dict(variables), strict=False)
    assert not missing.unexpected_keys
    assert all(key.endswith("num_batches_tracked") for key in missing.missing_keys)
    return module, variables, reference, x


@pytest.fixture
def pair(made):
    module, variables, reference, x = made
    return module, variables, copy.deepcopy(reference), x  # training changes its statistics


def outputs_by_block(reference, x: np.ndarray) -> dict[str, np.ndarray]:
    """What every part of a PyTorch model gives, by its name; "" is the whole."""
    found = {}

    def keep(name: str):
        return lambda _module, _inputs, output: found.update({name: channels_last(output)})

    handles = [
        part.register_forward_hook(keep(name))
        for name, part in reference.named_modules()
        if not isinstance(part, nn.MultiheadAttention | nn.ModuleDict | nn.MaxPool2d)
    ]
    reference(torch.tensor(x.transpose(0, 3, 1, 2)))
    for handle in handles:
        handle.remove()
    return found


def channels_last(output) -> np.ndarray:
    values = output.detach().numpy()
    return values.transpose(0, 2, 3, 1) if values.ndim == 4 else values


def blocks_of(module, variables, x: np.ndarray, *, train: bool) -> dict[str, np.ndarray]:
    """What every part of a Flax model gives, by its name; "" is the whole."""

    @jax.jit
    def apply(variables, x):
        mutable = ["intermediates", "batch_stats"]
        return module.apply(variables, x, train=train, capture_intermediates=True, mutable=mutable)[
            1
        ]["intermediates"]

    found = {}
    for path, value in jax.tree_util.tree_leaves_with_path(apply(variables, x)):
        keys = [str(getattr(key, "key", "")) for key in path]
        if "__call__" in keys:
            found[".".join(keys[: keys.index("__call__")])] = np.asarray(value)
    return found


@pytest.mark.parametrize("train", [False, True])
def test_every_block_gives_what_pytorch_gives(pair, train: bool) -> None:
    module, variables, reference, x = pair
    if hasattr(module, "dropout"):
        module = module.clone(dropout=0.0)
    theirs = outputs_by_block(reference.train(train), x)
    ours = blocks_of(module, variables, x, train=train)
    both = [name for name in theirs if name in ours]
    parts = {name.split(".")[0] for name, _ in reference.named_children()} - {"pool"}
    assert parts | {""} <= {name.split(".")[0] for name in both}
    for name in both:
        error = np.abs(ours[name].reshape(theirs[name].shape) - theirs[name]).max()
        assert error < 2e-5 * np.abs(theirs[name]).max(), name or "the whole"


def test_evaluation_mode(pair) -> None:
    module, variables, reference, x = pair
    with torch.no_grad():
        expected = reference.eval()(torch.tensor(x.transpose(0, 3, 1, 2))).numpy()
    outputs, features = jax.jit(lambda v, x: models.features(module, v, x))(variables, x)
    np.testing.assert_allclose(outputs, expected, atol=1e-4, rtol=1e-4)
    head = variables["params"]["head"]
    again = np.asarray(features) @ head["kernel"] + head["bias"]
    np.testing.assert_allclose(again, expected, atol=1e-4, rtol=1e-4)


def test_training_mode(pair) -> None:
    module, variables, reference, x = pair
    if hasattr(module, "dropout"):
        module = module.clone(dropout=0.0)
    outputs, updates = jax.jit(
        lambda v, x: module.apply(v, x, train=True, mutable=["batch_stats"])
    )(variables, x)
    expected = reference.train()(torch.tensor(x.transpose(0, 3, 1, 2))).detach().numpy()
    np.testing.assert_allclose(outputs, expected, atol=1e-4, rtol=1e-4)
    reference_state = reference.state_dict()
    for name, value in state_dict({"batch_stats": updates.get("batch_stats", {})}).items():
        if name.endswith("running_mean"):
            np.testing.assert_allclose(value, reference_state[name], atol=1e-4, rtol=1e-4)
