"""Two parts of `make soak`, in small: it runs for hours once in a while, and must not rot meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.soak import frames, hostile
from tests.soak.figures import Figures

SEED = 7


@pytest.mark.parametrize("part", [hostile.requests, frames.soak], ids=lambda part: part.__module__)
def test_a_part_runs_and_finds_nothing(part: Callable[[int, int], Figures]) -> None:
    assert part(400, SEED).failed == {}
