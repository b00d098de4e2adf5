import pytest

from mgmp_jax.training import Recipe


def test_checkpoints_are_evenly_spaced() -> None:
    assert Recipe(6, checkpoints=6).kept_epochs == (1, 2, 3, 4, 5, 6)
    assert Recipe(30, checkpoints=6).kept_epochs == (5, 10, 15, 20, 25, 30)
    assert Recipe(7).kept_epochs == (7,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 1.5}, "epochs must be a whole number, at least 1; got 1.5"),
        ({"epochs": True}, "epochs must be a whole number, at least 1; got True"),
        ({"epochs": 0}, "epochs must be a whole number, at least 1; got 0"),
        ({"batch_size": 0}, "batch_size must be a whole number, at least 1; got 0"),
        ({"frozen": -1}, "frozen must be a whole number, at least 0; got -1"),
        ({"checkpoints": 0}, "checkpoints must be a whole number, at least 1; got 0"),
        ({"checkpoints": 5}, "checkpoints must be from 1 to the 4 epochs, got 5"),
        ({"learning_rate": -0.1}, "learning_rate must be a finite number, at least 0; got -0.1"),
        ({"learning_rate": float("nan")}, "learning_rate must be a finite number"),
        ({"learning_rate": "0.1"}, "learning_rate must be a finite number"),
        ({"weight_decay": float("inf")}, "weight_decay must be a finite number"),
        ({"optimizer": "rmsprop"}, "optimizer must be one of sgd, adam; got 'rmsprop'"),
        ({"augment": "flip"}, "augment must be one of none, crop, crop-flip; got 'flip'"),
    ],
)
def test_an_impossible_recipe_is_refused(change: dict, message: str) -> None:
    recipe = Recipe(4)
    for name, value in change.items():  # past the type checker of the tests
        object.__setattr__(recipe, name, value)
    with pytest.raises(ValueError, match=message):
        recipe.__post_init__()
