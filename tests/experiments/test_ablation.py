import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "experiments"))
from configs import ablation  # noqa: E402

from mgmp_jax import models  # noqa: E402


def test_variants_are_those_of_table_5_and_one_change_each() -> None:
    table_5, changed = (
        {name: variant.config for name, variant in row.variants.items()}
        for row in ablation.make_rows(ablation.Args())
    )
    assert list(table_5) == list(ablation.TABLE_5)
    for name in ablation.TABLE_5:
        config, width = table_5[name], int(name.rsplit(" ", 1)[1])
        assert name.lower().startswith(config.generator)
        latent = config.latent or 10
        assert width == (latent if config.assemble == "addition" else latent + 10)
    first = vars(changed.pop("unchanged"))
    for name, config in changed.items():
        differ = [k for k, v in vars(config).items() if v != first[k]]
        assert len(differ) == (2 if name == "without L_S and L_I" else 1), name
    presets = ("demo", "small", "paper")
    rows = [row for p in presets for row in ablation.make_rows(ablation.Args(preset=p))]
    assert len({row.address for row in rows}) == 6


def test_every_generator_can_be_made_at_every_scale() -> None:
    for widths in ablation.WIDTHS.values():
        for name, width in widths.items():
            options = {} if width is None else {"width": width}
            module = models.create(name, num_outputs=10, **options)
            images = jnp.zeros((1, 32, 32, 3))
            assert jax.eval_shape(partial(module.init, train=False), jax.random.key(0), images)
