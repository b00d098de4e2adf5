import re
from pathlib import Path

import pytest

import mgmp_jax
from mgmp_jax.stamps import check_time, library_version, versions


def test_a_time_has_a_zone() -> None:
    for time in ("2026-01-31T12:00:00+00:00", "2026-01-31T12:00:00Z"):
        assert check_time(time) == time
    for wrong in ("2026-01-31T12:00:00", "yesterday", ""):
        with pytest.raises(ValueError, match=r"created must be a time with its zone"):
            check_time(wrong)


def test_versions_are_said() -> None:
    assert library_version()
    assert {"python", "jax", "numpy"} <= versions().keys()


def test_no_decision_reads_the_clock_of_the_day() -> None:
    """It may go back. A server's ``Retry-After`` may be a date, and is bounded."""
    package = Path(mgmp_jax.__file__).parent
    reads = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if re.search(r"time\.time\(|\.now\(|\.today\(|utcnow\(|st_mtime", path.read_text())
    }
    assert reads == {"stamps.py", "adapters/http_client.py"}
