import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mgmp_jax import models
from mgmp_jax.models import Classifier

PARAMETERS = {
    "resnet18": 11_173_962,  # kuangliu/pytorch-cifar's ResNet18
    "resnet50": 23_520_842,  # kuangliu/pytorch-cifar's ResNet50
    # convolutions 1,792 + 110,784 + 663,936 + 884,992 + 590,080, then 4,198,400 + 16,781,312
    # + 40,970
    "alexnet": 23_272_266,
    # 12 blocks of 12 d^2 + 13 d, patches 48 d + d, class token d, positions 65 d, norm 2 d,
    # head 10 d + 10
    "vit-small": 12 * (12 * 384**2 + 13 * 384) + (49 + 1 + 65 + 2 + 10) * 384 + 10,
    "vit-base": 12 * (12 * 768**2 + 13 * 768) + (49 + 1 + 65 + 2 + 10) * 768 + 10,
    "distilbert": 66_362_880 + 768 * (768 + 1) + 10 * (768 + 1),  # 66,362,880: its paper's 66 M
    "bert-base": 109_482_240 + 10 * (768 + 1),  # 109,482,240 with pooler, without a head
    "minilm": 22_713_216 + 10 * (384 + 1),  # 22,713,216: of sentence-transformers' checkpoint
}
NARROW = {"resnet18": 4, "resnet50": 4, "alexnet": 2, "vit-small": 24, "vit-base": 24}
NARROW |= {"distilbert": 24, "bert-base": 24, "minilm": 24}
IMAGES = jnp.zeros((2, 32, 32, 3), jnp.float32)
TEXTS = jnp.ones((2, 5), jnp.int32)


def inputs(name: str) -> jax.Array:
    return TEXTS if name in models.TEXT_MODELS else IMAGES


def shapes(name: str, **options: object):
    module, x = models.create(name, num_outputs=10, **options), inputs(name)
    return module, jax.eval_shape(lambda: module.init(jax.random.key(0), x, train=False))


def test_every_model_is_in_the_tables() -> None:
    assert set(models.names()) == set(PARAMETERS) == set(NARROW)


@pytest.mark.parametrize("name", PARAMETERS)
def test_number_of_parameters(name: str) -> None:
    _, variables = shapes(name)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == PARAMETERS[name]


@pytest.mark.parametrize("name", NARROW)
def test_layers_name_the_whole_parameter_tree_last_first(name: str) -> None:
    module, variables = shapes(name, width=NARROW[name])
    assert set(module.layers) == set(variables["params"])
    assert variables["params"][module.layers[0]]["kernel"].shape[1] == 10
    assert isinstance(module, models.Model)


@pytest.mark.parametrize("name", NARROW)
def test_bfloat16_keeps_parameters_and_outputs_float32(name: str) -> None:
    module, variables = shapes(name, width=NARROW[name], dtype=jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    out = jax.eval_shape(lambda v: module.apply(v, inputs(name), train=False), variables)
    assert out.dtype == jnp.float32


def test_classifier_has_three_layers_and_drops_out_in_training_only() -> None:
    classifier, x = Classifier(width=16, dropout=0.5), jnp.ones((5, 20))
    variables = classifier.init(jax.random.key(0), x, train=False)
    assert set(variables["params"]) == {"fc1", "fc2", "head"}
    logits = classifier.apply(variables, x, train=False)
    assert logits.shape == (5,)
    dropped = [
        classifier.apply(variables, x, train=True, rngs={"dropout": jax.random.key(seed)})
        for seed in (1, 2)
    ]
    assert not np.allclose(*dropped)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet19", {}, "unknown architecture 'resnet19'; choose one of resnet18"),
        ("resnet18", {"depth": 3}, "does not take these options"),
        ("resnet18", {"num_outputs": 0}, "at least 1, got 0"),
    ],
)
def test_create_says_what_is_wrong(name: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        models.create(name, **{"num_outputs": 10, **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [({"width": 50}, "multiple of the 6 heads"), ({"patch_size": 5}, "patches of 5")],
)
def test_vit_says_what_does_not_divide(options: dict, message: str) -> None:
    module = models.create("vit-small", num_outputs=10, **{"width": 48, "depth": 1, **options})
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda: module.init(jax.random.key(0), IMAGES, train=False))


def test_weights_are_drawn_as_flax_draws_them_and_compiled_once() -> None:
    one, same = (models.create("resnet18", num_outputs=3, width=2) for _ in range(2))
    example = np.zeros((1, 32, 32, 3), np.float32)
    key = jax.random.key(8)
    expected = jax.jit(lambda x: one.init(key, x, train=False))(example)
    drawn = models.initial_variables(one, key, example)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), drawn, dict(expected))
    shapes = jax.tree.map(np.shape, models.abstract_variables(one, example))
    assert shapes == jax.tree.map(np.shape, drawn)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(one), "init", lambda *_, **__: pytest.fail("traced again"))
        models.initial_variables(same, jax.random.key(9), example)
