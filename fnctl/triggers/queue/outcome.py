"""The outcome of an attempt: the call is done, is tried again later, or is dead. Pure."""

from __future__ import annotations

from random import Random

from fnctl.model import AsyncRule
from fnctl.store.port import Leased, MessageState, Settlement
from fnctl.triggers.http.call import Answer
from fnctl.triggers.queue.records import outcome

BACKOFF_MAX_S = 300.0
# The function was never reached: that says nothing of it, and costs none of its attempts.
NOT_BEGUN = frozenset(
    {"queue_full", "queue_timeout", "no_capacity", "engine", "engine_unavailable", "image_not_found", "stopped"}
)


def failed(answer: Answer) -> bool:
    """An error of the platform or of the code, or an answer that says so: 429 and all of 5xx."""
    return answer.error is not None or answer.status >= 500 or answer.status == 429


def settlement(leased: Leased, answer: Answer, rule: AsyncRule, now: float, random: Random) -> Settlement:
    """The word on this attempt. `now` by the clock that the queue's times are in."""
    if not failed(answer):
        return Settlement(leased.id, leased.epoch, MessageState.DONE, now, result=outcome(answer))
    counts = answer.error is None or answer.error.code not in NOT_BEGUN
    if counts and leased.attempt > rule.retries:
        why = f"failed {leased.attempt} times" if leased.attempt > 1 else "failed"
        return _dead(leased, answer, now, why)
    due = now + backoff_s(leased.attempt, rule.backoff_s, random)
    if leased.expires is not None and due > leased.expires:
        return _dead(leased, answer, now, f"older than max_age ({rule.max_age_s:g} s)")
    return Settlement(
        leased.id, leased.epoch, MessageState.WAITING, now, due=due, counts=counts, result=outcome(answer)
    )


def _dead(leased: Leased, answer: Answer, now: float, why: str) -> Settlement:
    return Settlement(leased.id, leased.epoch, MessageState.DEAD, now, result=outcome(answer, why))


def backoff_s(attempt: int, first_s: float, random: Random) -> float:
    """Twice as long after each attempt, up to five minutes; between half of it and all, so that not all come back at
    once."""
    longest = min(BACKOFF_MAX_S, first_s * 2.0 ** min(attempt - 1, 30))
    return longest * (0.5 + random.random() / 2)
