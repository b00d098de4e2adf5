import pytest

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
