"""Durations: `{minutes: 5}` or ISO 8601. In seconds. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_UNITS_S = {"days": 86_400.0, "hours": 3600.0, "minutes": 60.0, "seconds": 1.0, "milliseconds": 0.001}
_NUMBER = r"(\d+(?:\.\d+)?)"
_ISO = re.compile(
    rf"P(?!$)(?:{_NUMBER}Y)?(?:{_NUMBER}M)?(?:{_NUMBER}W)?(?:{_NUMBER}D)?"
    rf"(?:T(?=\d)(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?"
)
# A year and a month have no fixed length: those of the Gregorian calendar on average would surprise; these are said.
_ISO_S = (365 * 86_400.0, 30 * 86_400.0, 7 * 86_400.0, 86_400.0, 3600.0, 60.0, 1.0)


def seconds(said: Any) -> float:
    """Raises ValueError where it is no duration."""
    if isinstance(said, Mapping) and said:
        return sum(_UNITS_S[unit] * float(count) for unit, count in _known(said).items())
    found = _ISO.fullmatch(said) if isinstance(said, str) else None
    if found is None:
        raise ValueError(f"{said!r} is not a duration (try PT30S, or seconds: 30)")
    return sum(each * float(count) for each, count in zip(_ISO_S, found.groups(), strict=True) if count)


def _known(said: Mapping[str, Any]) -> Mapping[str, Any]:
    for unit, count in said.items():
        if unit not in _UNITS_S:
            raise ValueError(f"`{unit}` is not a unit of a duration ({', '.join(_UNITS_S)})")
        if isinstance(count, bool) or not isinstance(count, int | float):
            raise ValueError(f"{unit}: {count!r} is not a number")
    return said
