"""experiments/ablation.py: its variants."""

from functools import partial

import ablation
import jax
import jax.numpy as jnp

from mgmp_jax import models


def test_variants_are_those_of_table_5_and_one_change_each() -> None:
    changed, table_5, longer = (
        {name: variant.config for name, variant in row.variants.items()}
        for row in ablation.make_rows(ablation.Args())
    )
    assert list(table_5) == list(ablation.TABLE_5)
    for name, variant in table_5.items():
        assert name.lower().startswith(variant.generator)
        latent = variant.latent or 10
        fragment = latent if variant.assemble == "addition" else latent + 10
        assert fragment == int(name.rsplit(" ", 1)[1])
    first = vars(changed.pop("unchanged"))
    for name, variant in changed.items():
        differ = [k for k, v in vars(variant).items() if v != first[k]]
        assert len(differ) == (2 if name == "without L_S and L_I" else 1), name
    assert longer["ten times the epochs"].epochs == 10 * first["epochs"]
    (alone,) = ablation.make_rows(ablation.Args(part="table5"))
    assert list(alone.variants) == list(ablation.TABLE_5)
    presets = ("demo", "small", "paper")
    rows = [row for p in presets for row in ablation.make_rows(ablation.Args(preset=p))]
    assert len({repr(row) for row in rows}) == 9


def test_every_generator_can_be_made_at_every_scale() -> None:
    for widths in ablation.WIDTHS.values():
        for name, width in widths.items():
            options = {} if width is None else {"width": width}
            module = models.create(name, num_outputs=10, **options)
            images = jnp.zeros((1, 32, 32, 3))
            assert jax.eval_shape(partial(module.init, train=False), jax.random.key(0), images)
