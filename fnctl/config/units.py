"""Durations and sizes as people write them: `30s`, `500ms`, `128m`. Pure."""

from __future__ import annotations

import re

DURATION_PATTERN = r"^\s*\d+(\.\d+)?\s*(ms|s|m|h|d)\s*$"
SIZE_PATTERN = r"^\s*\d+(\.\d+)?\s*([mMgG]([iI]?[bB])?)\s*$"
RATE_PATTERN = r"^\s*\d+(\.\d+)?\s*/\s*(s|m|h)\s*$"

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_MB = {"m": 1, "g": 1024}


def duration_s(text: object) -> float:
    """Seconds of `30s`, `500ms`, `2m`, `1h`, `7d`. ValueError otherwise: a bare number leaves the unit to guess."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*", str(text))
    if not found or isinstance(text, bool):
        raise ValueError(f"{_quoted(text)} is not a duration; write it like 30s, 500ms, 2m, 1h or 7d")
    return float(found[1]) * _SECONDS[found[2]]


def rate_per_s(text: object) -> float:
    """A second of `10/s`, `600/m`, `50/h`; else ValueError."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*/\s*(s|m|h)\s*", str(text))
    if not found or float(found[1]) <= 0:
        raise ValueError(f"{_quoted(text)} is not a rate; write it like 10/s, 600/m or 50/h")
    return float(found[1]) / _SECONDS[found[2]]


def size_mb(text: object) -> int:
    """Whole MB (of 1024² bytes, as engines count) of `128m`, `128mb`, `128MiB`, `1g`, `1.5g`; else ValueError."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([mg])(?:i?b)?\s*", str(text), re.IGNORECASE)
    if not found or isinstance(text, bool):
        raise ValueError(f"{_quoted(text)} is not a size; write it like 128m or 1g")
    return round(float(found[1]) * _MB[found[2].lower()])


def _quoted(value: object) -> str:
    return f"`{value}`"
