"""An invocation started by a source that has no HTTP client: what it is told, what the lease and the ledger see.

Long for one file: every way out of one state machine, on one played source.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from fnctl.dispatch.admission import Lease, WarmCall
from fnctl.dispatch.invocation import Invocation, Invocations
from fnctl.dispatch.receipts import served_receipt
from fnctl.dispatch.ticker import Ticker
from fnctl.errors import FnctlError, FunctionError, NotFound, QueueFull
from fnctl.model import Function, Receipt, SiteKey, StartKind
from fnctl.pace import Pace
from fnctl.sandbox.connection import DataConnection
from tests.support.turning import until

AT = 1_700_000_000.0
SOON_S = 0.02


@dataclass(eq=False)
class Connection:
    """A data connection that only remembers what was sent on it."""

    gone: bool = False
    sent: list[bytes] = field(default_factory=list)

    def close(self) -> None:
        self.gone = True


@dataclass(eq=False)
class FakeLease:
    connection: DataConnection
    plain: bool = True
    function: str = "nightly"
    instance: str = "i-1"
    version: str = "0123456789ab"
    start: StartKind = StartKind.WARM
    queue_ms: float = 0.0
    container_ms: float = 0.0
    runtime_ms: float = 0.0
    load_ms: float = 0.0
    alone: bool = True
    released: list[tuple[bool, str | None]] = field(default_factory=list)
    why: Callable[[FnctlError], None] | None = None

    def carry(self, invocation: str) -> None: ...

    def overhear(self, invocation: str, heard: Callable[[str], None] | None) -> None: ...

    @property
    def unread(self) -> bool:
        return False

    def release(self, *, reusable: bool, error: FnctlError | None = None) -> None:
        self.released.append((reusable, error.code if error else None))

    def failure(self, answered: Callable[[FnctlError], None]) -> None:
        self.why = answered


@dataclass(eq=False)
class FakeWaiter:
    ready: Callable[[Lease | FnctlError], None]
    cancelled: int = 0
    for_a_start: bool = False

    def cancel(self) -> None:
        self.cancelled += 1


class FakeAdmission:
    """Gives the leases it was made with, then queues."""

    def __init__(self, *leases: FakeLease, room: bool = True, known: bool = True, for_a_start: bool = False) -> None:
        self.leases = deque(leases)
        self.room = room
        self.known = known
        self.for_a_start = for_a_start
        self.waiters: list[FakeWaiter] = []

    def try_acquire(self, site: SiteKey) -> FakeLease | None:
        if not self.known:
            raise NotFound(f"no function named {site.function}")
        return self.leases.popleft() if self.leases else None

    def enqueue(self, site: SiteKey, ready: Callable[[Lease | FnctlError], None]) -> FakeWaiter:
        if not self.room:
            raise QueueFull(f"{site.function}: its queue is full")
        self.waiters.append(FakeWaiter(ready, for_a_start=self.for_a_start))
        return self.waiters[-1]


class FakeLedger:
    def __init__(self) -> None:
        self.receipts: list[Receipt] = []
        self.warm_calls = 0

    def receipt(self, receipt: Receipt) -> None:
        self.receipts.append(receipt)

    def warm(self, lease: Lease, call: WarmCall) -> None:
        self.warm_calls += 1
        invocation, at, handler_s, total_s, (method, target, status) = call
        times = handler_s * 1000, total_s * 1000
        asked = method.decode(), target.decode()
        self.receipts.append(served_receipt(invocation, lease, status, "ok", at, *times, *asked, None))


@dataclass
class Nightly:
    """What a timer asks: no client behind it."""

    method: bytes = b"POST"
    target: bytes = b"/nightly"


class Timer:
    """The source. It keeps all that it is told, in order."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.deadline_ms = 0.0

    def ready(self, lease: Lease, deadline_ms: float) -> bool:
        connection = lease.connection
        assert isinstance(connection, Connection)
        self.told.append("ready")
        self.deadline_ms = deadline_ms
        if not connection.gone:
            connection.sent.append(b"POST /nightly HTTP/1.1\r\n\r\n")
        return not connection.gone

    def failed(self, error: FnctlError) -> int:
        self.told.append(error.code)
        return error.http_status

    def ended(self) -> None:
        self.told.append("ended")


class AwakeTicker(Ticker):
    """Needs no event loop: something else keeps it awake, as open connections do."""

    def wake(self) -> None:
        self.asleep = False


class World:
    def __init__(self, admission: FakeAdmission, ticker: Ticker | None = None) -> None:
        self.admission = admission
        self.ledger = FakeLedger()
        self.invocations = Invocations(admission, self.ledger, ticker or Ticker(0.001), queue_s=SOON_S)
        self.timer = Timer()

    def invocation(self, timeout_s: float = SOON_S, **bounds: float) -> Invocation:
        """With other bounds, from now on."""
        function = Function("nightly", Path("/code"), "python3.13", "app.handler", timeout_s=timeout_s)
        function, started = replace(function, **bounds), time.monotonic() if bounds else 100.0  # type: ignore[arg-type]
        return Invocation(self.invocations, self.timer, function, SiteKey("nightly"), Nightly(), AT, started)

    @property
    def verdicts(self) -> list[tuple[str, int]]:
        return [(receipt.verdict, receipt.status) for receipt in self.ledger.receipts]

    async def ended(self) -> None:
        await until(lambda: "ended" in self.timer.told)

    def at_rest(self) -> bool:
        return self.invocations.in_flight == 0 and self.timer.told.count("ended") == 1


def play(scene: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await scene()

    asyncio.run(run())


def test_a_warm_invocation_is_plain_calls_and_needs_no_event_loop() -> None:
    """A task, a future or a timer would raise: no loop is running."""
    connection = Connection()
    lease = FakeLease(connection)
    world = World(FakeAdmission(lease), AwakeTicker())
    one = world.invocation(timeout_s=30.0)
    assert world.invocations.in_flight == 1
    one.start()
    assert (world.timer.told, connection.sent) == (["ready"], [b"POST /nightly HTTP/1.1\r\n\r\n"])
    assert one.lease is lease
    assert world.timer.deadline_ms == (AT + 30.0) * 1000
    one.finish(204, True, 100.25)
    assert (world.timer.told, lease.released) == (["ready", "ended"], [(True, None)])
    (receipt,) = world.ledger.receipts
    assert (receipt.id, receipt.function, receipt.status, receipt.verdict) == (one.id, "nightly", 204, "ok")
    assert (receipt.method, receipt.path, receipt.handler_ms, receipt.total_ms) == ("POST", "/nightly", 250.0, 250.0)
    assert (world.ledger.warm_calls, world.at_rest()) == (1, True)


def test_a_start_that_was_waited_for_is_entered_with_its_parts() -> None:
    async def scene() -> None:
        world = World(FakeAdmission())
        one = world.invocation(timeout_s=30.0)
        one.start()
        lease = FakeLease(Connection(), plain=False, start=StartKind.COLD, container_ms=150.0)
        world.admission.waiters[0].ready(lease)
        one.finish(200, True, one.leased_at + 0.5)
        (receipt,) = world.ledger.receipts
        assert (receipt.start, receipt.container_ms, receipt.handler_ms) == (StartKind.COLD, 150.0, 500.0)
        assert (world.ledger.warm_calls, world.timer.told) == (0, ["ready", "ended"])

    play(scene)


def test_where_no_byte_was_sent_it_is_tried_once_more() -> None:
    stale, fresh = FakeLease(Connection(gone=True)), FakeLease(Connection())
    world = World(FakeAdmission(stale, fresh), AwakeTicker())
    one = world.invocation()
    one.start()
    assert (stale.released, one.lease) == ([(False, None)], fresh)
    one.finish(200, True, 101.0)
    assert (world.timer.told, world.verdicts) == (["ready", "ready", "ended"], [("ok", 200)])


@pytest.mark.parametrize("queued", [False, True])
def test_the_second_connection_that_is_gone_ends_it(queued: bool) -> None:
    stale = [FakeLease(Connection(gone=True)) for _ in range(3)]
    world = World(FakeAdmission(*stale[: 1 if queued else 2]), AwakeTicker())
    world.invocation().start()
    if queued:
        world.admission.waiters[0].ready(stale[1])
    assert [lease.released for lease in stale] == [[(False, None)], [(False, None)], []]
    assert (world.timer.told, world.verdicts) == (["ready", "ready", "crash", "ended"], [("crash", 502)])
    assert world.at_rest()


def test_what_nobody_read_goes_to_another_connection() -> None:
    closed, fresh = FakeLease(Connection()), FakeLease(Connection())
    world = World(FakeAdmission(closed, fresh), AwakeTicker())
    one = world.invocation()
    one.start()
    one.unread()
    assert (closed.released, one.lease) == ([(False, None)], fresh)
    one.finish(200, True, 101.0)
    assert (world.timer.told, world.verdicts) == (["ready", "ready", "ended"], [("ok", 200)])


def test_a_queue_timeout_leaves_the_queue() -> None:
    async def scene() -> None:
        world = World(FakeAdmission())
        world.invocation().start()
        await world.ended()
        assert world.admission.waiters[0].cancelled == 1
        assert (world.timer.told, world.verdicts) == (["queue_timeout", "ended"], [("queue_timeout", 504)])
        assert (world.ledger.receipts[0].instance, world.at_rest()) == (None, True)

    play(scene)


@pytest.mark.parametrize(("for_a_start", "said"), [(True, "was still being started"), (False, "was free within")])
def test_a_queue_timeout_says_what_was_waited_for(for_a_start: bool, said: str) -> None:
    async def scene() -> None:
        world = World(FakeAdmission(for_a_start=for_a_start))
        world.invocation().start()
        await world.ended()
        assert said in (world.ledger.receipts[0].detail or "")

    play(scene)


def test_who_waits_for_a_start_waits_at_the_pace_at_which_starts_go() -> None:
    pace = Pace()
    invocations = Invocations(FakeAdmission(), FakeLedger(), Ticker(), queue_s=15, pace=pace)
    pace.missed()
    assert invocations.queue_s == 30


def test_the_functions_timeout_is_told_to_its_instance() -> None:
    async def scene() -> None:
        lease = FakeLease(Connection())
        world = World(FakeAdmission(lease))
        world.invocation().start()
        await world.ended()
        assert lease.released == [(False, "timeout")]
        assert (world.timer.told, world.verdicts) == (["ready", "timeout", "ended"], [("timeout", 504)])
        assert (world.ledger.receipts[0].instance, world.at_rest()) == ("i-1", True)

    play(scene)


def test_an_answer_that_has_begun_has_no_deadline_but_silence() -> None:
    async def scene() -> None:
        open_end, other = FakeLease(Connection()), FakeLease(Connection())
        world = World(FakeAdmission(open_end, other))
        one = world.invocation()
        one.start()
        one.begun(time.monotonic())
        second, world.timer = world.timer, Timer()
        world.invocation().start()
        await world.ended()
        assert (second.told, open_end.released, other.released) == (["ready"], [], [(False, "timeout")])
        one.finish(101, False, 101.0)

    play(scene)


@pytest.mark.parametrize(
    ("bounds", "speaks", "code"),
    [
        ({"idle_s": 0.02}, False, "idle"),
        ({"max_duration_s": 0.02}, True, "max_duration"),
        ({"idle_s": 0.02, "max_duration_s": 60.0}, False, "idle"),
        ({"idle_s": 60.0, "max_duration_s": 0.02}, False, "max_duration"),
    ],
)
def test_which_bound_ended_an_answer_is_told_and_not_held_against_its_instance(
    bounds: dict[str, float], speaks: bool, code: str
) -> None:
    async def scene() -> None:
        lease = FakeLease(Connection())
        world = World(FakeAdmission(lease))
        one = world.invocation(**bounds)
        one.start()
        one.begun(time.monotonic())
        ended = asyncio.ensure_future(world.ended())
        while not ended.done():
            if speaks:
                one.spoke(time.monotonic())
            await asyncio.sleep(0)
        assert lease.released == [(False, code)]
        assert (world.timer.told, world.verdicts) == (["ready", code, "ended"], [(code, 504)])

    play(scene)


def test_an_answer_that_nobody_takes_is_not_silent() -> None:
    async def scene() -> None:
        slow, other = FakeLease(Connection()), FakeLease(Connection())
        world = World(FakeAdmission(slow, other))
        one = world.invocation(idle_s=0.0)
        one.start()
        one.begun(time.monotonic())
        one.held_up()
        second, world.timer = world.timer, Timer()
        world.invocation().start()
        await world.ended()
        assert (second.told, slow.released) == (["ready"], [])
        one.finish(200, False, 101.0)

    play(scene)


@pytest.mark.parametrize(
    ("admission", "code", "status"),
    [(FakeAdmission(room=False), "queue_full", 429), (FakeAdmission(known=False), "not_found", 404)],
)
def test_refused(admission: FakeAdmission, code: str, status: int) -> None:
    world = World(admission, AwakeTicker())
    world.invocation().start()
    assert (world.timer.told, world.verdicts) == ([code, "ended"], [(code, status)])
    assert world.at_rest()


def test_what_the_queue_ends_with_is_told() -> None:
    world = World(FakeAdmission(), AwakeTicker())
    world.invocation().start()
    world.admission.waiters[0].ready(FunctionError("it does not load", code="load"))
    assert (world.timer.told, world.verdicts) == (["load", "ended"], [("load", 502)])
    assert world.at_rest()


def test_cancelled_while_queued() -> None:
    world = World(FakeAdmission(), AwakeTicker())
    one = world.invocation()
    one.start()
    one.cancel("withdrawn", 499)
    assert world.admission.waiters[0].cancelled == 1
    assert (world.timer.told, world.verdicts, world.at_rest()) == (["ended"], [("withdrawn", 499)], True)


def test_cancelled_while_it_runs_the_instance_is_not_blamed() -> None:
    lease = FakeLease(Connection())
    world = World(FakeAdmission(lease), AwakeTicker())
    one = world.invocation()
    one.start()
    one.cancel("withdrawn", 499)
    assert (lease.released, world.verdicts, world.at_rest()) == ([(False, None)], [("withdrawn", 499)], True)


def test_a_lost_connection_fails_with_what_the_instance_says() -> None:
    lease = FakeLease(Connection())
    world = World(FakeAdmission(lease), AwakeTicker())
    one = world.invocation()
    one.start()
    one.lost()
    assert (lease.released, world.verdicts) == ([], [])
    assert lease.why is not None
    lease.why(FunctionError("out of memory", code="oom"))
    assert (lease.released, world.verdicts) == ([(False, "oom")], [("oom", 502)])


def test_what_has_ended_takes_every_call_and_writes_one_receipt() -> None:
    async def scene() -> None:
        lease = FakeLease(Connection())
        world = World(FakeAdmission(lease))
        one = world.invocation()
        one.start()
        one.lost()
        await world.ended()  # the deadline was sooner than the instance's answer
        assert lease.why is not None
        lease.why(FunctionError("out of memory", code="oom"))
        one.finish(200, True, 101.0)
        one.fail(FunctionError("no", code="crash"))
        one.cancel("withdrawn", 499)
        one.expire()
        assert (lease.released, world.verdicts) == ([(False, "timeout")], [("timeout", 504)])
        assert world.at_rest()

    play(scene)


def test_the_clock_sleeps_when_nothing_is_in_flight_and_wakes_for_the_next() -> None:
    async def scene() -> None:
        ticker = Ticker(0.001)
        world = World(FakeAdmission(), ticker)
        assert ticker.asleep
        for _ in range(2):
            world.timer.told.clear()
            world.invocation().start()
            assert not ticker.asleep
            await world.ended()
            await until(lambda: ticker.asleep)
        assert world.verdicts == [("queue_timeout", 504)] * 2

    play(scene)
