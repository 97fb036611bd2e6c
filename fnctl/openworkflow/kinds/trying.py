"""try: what may fail, which faults are caught, how often it is tried again, and what is done then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fnctl.openworkflow.expression import true
from fnctl.openworkflow.fault import Fault, same_type, standard
from fnctl.openworkflow.frame import Frame

if TYPE_CHECKING:
    from fnctl.openworkflow.run import Run

LONGEST_S = 366 * 86_400.0  # between two attempts


async def perform(run: Run, frame: Frame) -> Any:
    attempt = 0
    while True:
        try:
            return await _attempt(run, frame, attempt)
        except Fault as fault:
            again = await _handled(run, frame, fault, attempt)
            if not again:
                return await _caught(run, frame, fault, attempt)
            attempt += 1


async def _attempt(run: Run, frame: Frame, attempt: int) -> Any:
    place = frame.place.below("try", f"[{attempt}]" if attempt else "")
    policy = _policy(run, frame)
    limit = (policy or {}).get("limit", {}).get("attempt", {}).get("duration")

    async def work() -> Any:
        output, _ = await run.sequence(place, frame.task["try"], frame.input)
        return output

    if limit is None:
        return await work()
    limit_s = run.seconds(limit, frame.input, frame.place, frame)
    begun = run.decided(f"{place.key}/begun", run.world.clock.now)
    try:
        return await run.within(begun + limit_s, work, f"an attempt took longer than {limit_s:g} s")
    except Fault as fault:
        fault.instance = fault.instance or frame.place.ref
        raise


def _policy(run: Run, frame: Frame) -> Mapping[str, Any] | None:
    said = frame.task["catch"].get("retry")
    if isinstance(said, str):
        name, said = said, run.definition.used("retries", said)
        if said is None:
            raise standard("configuration", f"`use.retries` has no `{name}`")
    return said  # type: ignore[no-any-return]


async def _handled(run: Run, frame: Frame, fault: Fault, attempt: int) -> bool:
    """Whether it is tried again; that moment has come then. Raises the fault where it is not caught."""
    if not run.decided(f"{frame.place.key}/caught[{attempt}]", lambda: _catches(run, frame, fault)):
        raise fault
    policy = _policy(run, frame)
    if policy is None:
        return False
    known = run.history.retries.get(frame.place.key, [])
    if attempt < len(known):
        due = known[attempt]["due"]
    else:
        planned = _planned(run, frame, policy, fault, attempt)
        if planned is None:
            if "do" in frame.task["catch"]:
                return False
            raise fault
        due = planned
        run.journal.note("retrying", frame.place.key, due=due, attempt=attempt + 1, error=fault.to_json())
    if due > run.world.clock.now():
        await run.journal.flush()
        await run.until(f"{frame.place.key}/retry", due)
    return True


def _catches(run: Run, frame: Frame, fault: Fault) -> bool:
    catch = frame.task["catch"]
    said = fault.to_json()
    wanted = run.filled(catch.get("errors", {}).get("with", {}), frame.input, frame.place, frame)
    for key, value in wanted.items():
        found = said.get("detail" if key == "details" else key)
        if key == "type":
            if not same_type(str(value), str(found)):
                return False
        elif found != value:
            return False
    return _conditions(run, frame, catch, said)


def _conditions(run: Run, frame: Frame, said: Mapping[str, Any], error: Mapping[str, Any]) -> bool:
    """`when` and `exceptWhen`; they see the error."""
    more = {frame.task["catch"].get("as", "error"): error}
    if "when" in said and not true(run.evaluate(said["when"], frame.input, frame.place, frame, **more)):
        return False
    return "exceptWhen" not in said or not true(
        run.evaluate(said["exceptWhen"], frame.input, frame.place, frame, **more)
    )


def _planned(run: Run, frame: Frame, policy: Mapping[str, Any], fault: Fault, attempt: int) -> float | None:
    """When the next attempt is due; None where there is none."""
    limit, now = policy.get("limit", {}), run.world.clock.now()
    count = limit.get("attempt", {}).get("count")
    if count is not None and attempt >= count:
        return None
    if not _conditions(run, frame, policy, fault.to_json()):
        return None

    def length(said: Any) -> float:
        return run.seconds(said, frame.input, frame.place, frame)

    due = now + delay_s(policy, attempt, length, run.world.random())
    if "duration" in limit and due - frame.begun > length(limit["duration"]):
        return None
    return due


def delay_s(policy: Mapping[str, Any], attempt: int, length: Any, drawn: float) -> float:
    """Before the attempt after this one (from 0). `drawn`: from 0 to 1, for the jitter."""
    base = length(policy["delay"]) if "delay" in policy else 0.0
    backoff = policy.get("backoff", {})
    if "exponential" in backoff:
        base *= 2.0 ** min(attempt, 60)
    elif "linear" in backoff:
        base *= attempt + 1
    if "jitter" in policy:
        low, high = length(policy["jitter"]["from"]), length(policy["jitter"]["to"])
        base += low + (high - low) * drawn
    return min(base, LONGEST_S)


async def _caught(run: Run, frame: Frame, fault: Fault, attempt: int) -> Any:
    catch = frame.task["catch"]
    if "do" not in catch:
        return frame.input
    known: dict[str, Any] = {catch.get("as", "error"): fault.to_json()}
    place = frame.place.below("catch/do", f"[{attempt}]" if attempt else "", **known)
    output, _ = await run.sequence(place, catch["do"], frame.input)
    return output
