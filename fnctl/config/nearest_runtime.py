"""Choose the available runtime for code that was written for some version of a language. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from fnctl.config.problems import did_you_mean
from fnctl.model import RuntimeSpec

# Languages whose next major version does not run the code of the one before.
BREAKING = {"python"}


@dataclass(frozen=True, slots=True)
class Nearest:
    """`spec` None: there is none, and `word` says so. With one, `word` tells that it is another version, or is None."""

    spec: RuntimeSpec | None
    word: str | None = None
    hint: str | None = None


def nearest(language: str, wanted: str | None, runtimes: Iterable[RuntimeSpec]) -> Nearest:
    """The same version, else the lowest above it, else the highest; the highest where no version is named."""
    known = list(runtimes)
    fitting = sorted((spec for spec in known if spec.language == language), key=lambda spec: numbers(spec.version))
    if not fitting:
        names = sorted(spec.name for spec in known)
        near = did_you_mean(language, {spec.language for spec in known})
        other = "any program that listens on $PORT runs with `command: [PROGRAM, ARGUMENT]`"
        hint = (
            f"{near} (known: {', '.join(names)})" if near.startswith("did") else f"known: {', '.join(names)}; {other}"
        )
        return Nearest(None, f"no runtime for {language}", hint)
    if wanted is None:
        return Nearest(fitting[-1])
    asked = numbers(wanted)
    same = [spec for spec in fitting if numbers(spec.version)[: len(asked)] == asked]
    if same:
        return Nearest(same[-1])
    chosen = next((spec for spec in fitting if numbers(spec.version) > asked), fitting[-1])
    if language in BREAKING and numbers(chosen.version)[:1] != asked[:1]:
        there = ", ".join(spec.name for spec in fitting)
        return Nearest(None, f"no runtime for {language} {wanted}", f"there is {there}; move the code to it")
    return Nearest(chosen, f"{language} {wanted} runs on {chosen.name}, the nearest available version")


def numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]
