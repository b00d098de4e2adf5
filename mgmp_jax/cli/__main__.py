"""``python -m mgmp_jax.cli`` is ``mgmp``."""

import sys

from mgmp_jax.cli import main

sys.exit(main())
