"""Which routing tables share the calls of each alias. Pure: not which versions are loaded, and not who picks."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from fnctl.control.versions import Alias
from fnctl.errors import FnctlError
from fnctl.triggers.http import traffic_split
from fnctl.triggers.http.routes import Routes, Shares


class VersionDown(FnctlError):
    """An alias means a version that did not load."""

    code = "version_down"
    http_status = 503


def shares(
    aliases: Mapping[str, Alias], loaded: Mapping[int, Routes], failed: Mapping[int, str]
) -> dict[bytes, Shares]:
    """By alias. `loaded`: tables that lead to a version's own sites; `failed`: why a version is not among them."""
    return {name.encode(): _shares(each, loaded, failed) for name, each in aliases.items()}


def _shares(alias: Alias, loaded: Mapping[int, Routes], failed: Mapping[int, str]) -> Shares:
    """Of several versions, those that are loaded share the calls; where none is, each call hears why."""
    weights = dict(alias.weights)
    there = [number for number in weights if number in loaded] or list(weights)
    whole = sum(weights[number] for number in there)
    sums = itertools.accumulate(weights[number] / whole for number in there)
    parts = [(upto, loaded.get(number) or _down(number, failed)) for number, upto in zip(there, sums, strict=True)]
    return Shares(tuple(parts), traffic_split.sticky(alias.by))


def _down(number: int, failed: Mapping[int, str]) -> FnctlError:
    why = failed.get(number, "it is not loaded")
    return VersionDown(f"version {number} does not load: {why}", hint="`fnctl releases --show` tells the story")
