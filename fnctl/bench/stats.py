"""Percentiles, ratios of medians and how sure they are. Pure: figures in, figures out."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

RESAMPLES = 2000  # the ends of a 95 % interval settle to about a hundredth of its width
CONFIDENCE = 0.95
# Consistency constant: the MAD of a normal distribution times this is its standard deviation.
MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True, slots=True)
class Summary:
    """What a row of samples says. `p90` and `p99` are None where there are too few samples to tell them."""

    n: int
    p50: float
    p90: float | None
    p99: float | None
    least: float
    most: float
    spread: float  # a robust standard deviation: MAD × 1.4826


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with the interval that it lies in at 95 %."""

    value: float
    low: float
    high: float


def percentile(samples: Sequence[float], q: float) -> float:
    """The `q` quantile (0…1), interpolated between neighbours (type 7 of Hyndman and Fan). ValueError if empty."""
    if not samples:
        raise ValueError("no samples")
    if not 0 <= q <= 1:
        raise ValueError(f"a quantile is between 0 and 1, found {q}")
    ordered = sorted(samples)
    place = q * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    share = place - below
    # a weighted sum of equal neighbours may differ from both in its last bit
    if ordered[below] == ordered[above]:
        return ordered[below]
    return ordered[below] * (1 - share) + ordered[above] * share


def enough_for(q: float, n: int) -> bool:
    """Whether `n` samples can tell the `q` quantile: with none beyond it, it is the maximum by another name."""
    return n >= round(1 / (1 - q)) if q < 1 else n > 0


def summarize(samples: Sequence[float]) -> Summary:
    """ValueError where there is nothing to summarize."""
    n = len(samples)
    middle = percentile(samples, 0.5)
    return Summary(
        n=n,
        p50=middle,
        p90=percentile(samples, 0.9) if enough_for(0.9, n) else None,
        p99=percentile(samples, 0.99) if enough_for(0.99, n) else None,
        least=min(samples),
        most=max(samples),
        spread=median(abs(value - middle) for value in samples) * MAD_TO_SIGMA,
    )


def ratio_of_medians(above: Sequence[float], below: Sequence[float], seed: int = 0) -> Estimate:
    """median(above) ÷ median(below), with a percentile-bootstrap interval. Same samples and seed, same answer.

    The two rows are resampled apart: interleaving spreads drift over both, it does not pair them. ValueError where a
    row is empty or the lower median is not positive.
    """
    if not above or not below:
        raise ValueError("a ratio needs samples on both sides")
    if median(below) <= 0:
        raise ValueError("a ratio needs a positive median below")
    chance = random.Random(seed)
    ratios = []
    for _ in range(RESAMPLES):
        lower = median(chance.choices(below, k=len(below)))
        if lower > 0:
            ratios.append(median(chance.choices(above, k=len(above))) / lower)
    return _estimate(median(above) / median(below), ratios)


def difference_of_medians(above: Sequence[float], below: Sequence[float], seed: int = 0) -> Estimate:
    """median(above) - median(below), with its interval; ValueError where a row is empty."""
    if not above or not below:
        raise ValueError("a difference needs samples on both sides")
    chance = random.Random(seed)
    differences = [
        median(chance.choices(above, k=len(above))) - median(chance.choices(below, k=len(below)))
        for _ in range(RESAMPLES)
    ]
    return _estimate(median(above) - median(below), differences)


def _estimate(value: float, resampled: Sequence[float]) -> Estimate:
    tail = (1 - CONFIDENCE) / 2
    return Estimate(value, percentile(resampled, tail), percentile(resampled, 1 - tail))
