"""All verbs of ``mgmp``."""

from mgmp_jax.cli.check import Check
from mgmp_jax.cli.command import Command
from mgmp_jax.cli.dna import Dna
from mgmp_jax.cli.fit import Fit
from mgmp_jax.cli.inspect import Inspect
from mgmp_jax.cli.queries import FreezeQueries
from mgmp_jax.cli.record import Record
from mgmp_jax.cli.report import WriteReport
from mgmp_jax.cli.scan import Scan
from mgmp_jax.cli.sign import Sign
from mgmp_jax.cli.verify import Verify

VERBS: dict[str, type[Command]] = {
    "queries": FreezeQueries,
    "record": Record,
    "fit": Fit,
    "verify": Verify,
    "scan": Scan,
    "report": WriteReport,
    "dna": Dna,
    "sign": Sign,
    "check": Check,
    "inspect": Inspect,
}
