"""Calls accepted now and made later, over a real gateway: accepted, made, tried again, looked up, cancelled."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fnctl.model import Contract
from fnctl.triggers.http.call import CallRequest, When
from tests.contract.deferred_calls import ask, deferring, in_turn, look, post
from tests.contract.gateway_stage import HELLO, Seen, Stage, answering, app, play, read_request

FAILED = b"HTTP/1.1 500 Oh\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nno!\n"
RAISED = b"HTTP/1.1 500 Oh\r\nX-Fnctl-Error: exception\r\nContent-Length: 47\r\n\r\n" + (
    b'{"error": {"type": "E", "message": "it broke"}}'
)


def test_a_call_is_accepted_at_once_made_later_and_its_result_is_kept(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        seen: list[Seen] = []
        await made.add(app(), answering(HELLO, seen))
        accepted = await ask(made, post(b"work", {"Content-Type": "text/plain"}))
        assert (accepted.status, accepted.headers["preference-applied"]) == (202, "respond-async")
        id = accepted.json["id"]
        assert accepted.headers["x-fnctl-invocation-id"] == id
        await made.deferred.rest()
        told = await look(made, accepted)
        assert told.json["state"] == "done"
        assert told.json["result"] == {"status": 200, "headers": {}, "body": "hello"}
        (request,) = seen
        assert request.line == b"POST /jobs?x=1 HTTP/1.1"
        assert request.body == b"work"
        assert request.one(b"content-type") == b"text/plain"
        assert request.one(b"x-fnctl-invocation-id") == id.encode()
        assert request.one(b"x-fnctl-attempt") == b"1"
        (receipt,) = made.receipts
        assert (receipt.id, receipt.verdict, receipt.method) == (id, "ok", "POST")

    play(tmp_path, scene)


@pytest.mark.parametrize(
    ("first", "error"), [(FAILED, None), (RAISED, "exception")], ids=["answers 500", "raises an error"]
)
def test_what_fails_is_tried_again_later_under_the_same_id(tmp_path: Path, first: bytes, error: str | None) -> None:
    async def scene(made: Stage) -> None:
        seen: list[Seen] = []
        await made.add(deferring(backoff_s=60.0), in_turn(first, first, HELLO, seen=seen))
        accepted = await ask(made, post())
        await made.deferred.rest()
        told = (await look(made, accepted)).json
        assert (told["state"], told["attempts"], told["result"]["status"]) == ("waiting", 1, 502 if error else 500)
        assert told["result"].get("error", {}).get("code") == error
        assert 30 <= told["due"] - made.clock.now() <= 60
        await made.clock.advance(29)
        assert len(seen) == 1
        await made.clock.advance(31)
        assert len(seen) == 2
        await made.clock.advance(120)
        told = (await look(made, accepted)).json
        assert (told["state"], told["attempts"]) == ("done", 3)
        assert [each.one(b"x-fnctl-attempt") for each in seen] == [b"1", b"2", b"3"]
        assert {each.one(b"x-fnctl-invocation-id").decode() for each in seen} == {told["id"]}

    play(tmp_path, scene)


def test_what_fails_every_time_is_dead_with_its_last_answer(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        await made.add(deferring(retries=1, backoff_s=1.0), answering(FAILED))
        accepted = await ask(made, post())
        await made.deferred.rest()
        await made.clock.advance(10)
        told = (await look(made, accepted)).json
        assert (told["state"], told["attempts"]) == ("dead", 2)
        assert told["result"]["body"] == "no!\n"
        assert told["result"]["reason"] == "failed 2 times"
        counts = (await made.store.queues.counts())["fn/app"]
        assert (counts.dead, counts.letters, counts.drift) == (1, 1, 0)

    play(tmp_path, scene)


def test_a_client_error_is_the_functions_answer_and_not_tried_again(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        await made.add(app(), answering(b"HTTP/1.1 422 No\r\nContent-Length: 0\r\n\r\n"))
        accepted = await ask(made, post())
        await made.deferred.rest()
        assert (await look(made, accepted)).json["state"] == "done"

    play(tmp_path, scene)


def test_a_function_that_could_not_be_reached_has_all_its_attempts_left(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        function = replace(deferring(retries=0, backoff_s=1.0), queue=0)
        site = await made.add(function, answering(HELLO))
        connection = site.free.pop()  # the instance is busy, and nobody may wait
        accepted = await ask(made, post())
        await made.deferred.rest()
        told = (await look(made, accepted)).json
        assert (told["state"], told["attempts"]) == ("waiting", 0)
        assert told["result"]["error"]["code"] == "queue_full"
        site.free.append(connection)
        await made.clock.advance(2)
        assert (await look(made, accepted)).json["state"] == "done"

    play(tmp_path, scene)


def test_what_got_too_old_is_dead(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        await made.add(deferring(retries=100, backoff_s=60.0, max_age_s=200.0), answering(FAILED))
        accepted = await ask(made, post())
        await made.deferred.rest()
        await made.clock.advance(3600)
        told = (await look(made, accepted)).json
        assert told["state"] == "dead"
        assert 2 <= told["attempts"] <= 4
        assert "max_age" in told["result"]["reason"]

    play(tmp_path, scene)


@pytest.mark.parametrize("field", ["delay", "at"])
def test_a_call_can_wait_for_its_time(tmp_path: Path, field: str) -> None:
    async def scene(made: Stage) -> None:
        seen: list[Seen] = []
        await made.add(app(), answering(HELLO, seen))
        if field == "delay":
            accepted = await ask(made, post(fields={"X-Fnctl-Delay": "30d"}))
        else:
            at = datetime.fromtimestamp(made.clock.now() + 30 * 86_400, UTC).isoformat()
            accepted = await ask(made, post(fields={"X-Fnctl-At": at}))
        await made.clock.advance(30 * 86_400 - 2)
        assert seen == []
        await made.clock.advance(4)
        assert len(seen) == 1
        assert (await look(made, accepted)).json["state"] == "done"
        assert made.receipts[0].at > made.clock.now() - 10  # in the clock's own time

    play(tmp_path, scene)


def test_the_deadline_that_a_function_is_told_is_real_whatever_the_clock_says(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        seen: list[Seen] = []
        await made.add(app(timeout_s=20.0), answering(HELLO, seen))
        await ask(made, post(fields={"X-Fnctl-Delay": "30d"}))
        await made.clock.advance(31 * 86_400)
        told = int(seen[0].one(b"x-fnctl-deadline-ms")) / 1000
        assert told < made.clock.now() - 30 * 86_400

    play(tmp_path, scene)


def test_calls_of_a_group_are_made_one_at_a_time_in_order(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        running: list[bytes] = []
        most, order = 0, list[bytes]()

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal most
            while True:
                request = await read_request(reader)
                running.append(request.body)
                order.append(request.body)
                most = max(most, len(running))
                for _ in range(20):
                    await asyncio.sleep(0)
                running.remove(request.body)
                writer.write(HELLO)

        await made.add(app(), slow, connections=4)
        bodies = [b"%d" % number for number in range(8)]
        for body in bodies:
            await ask(made, post(body, {"X-Fnctl-Group": "orders"}))
        await made.deferred.rest()
        assert (order, most) == (bodies, 1)

    play(tmp_path, scene)


def test_the_same_deduplication_word_is_the_same_call(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        seen: list[Seen] = []
        await made.add(app(), answering(HELLO, seen))
        first = await ask(made, post(fields={"X-Fnctl-Dedup": "order-7"}))
        await made.deferred.rest()
        second = await ask(made, post(fields={"X-Fnctl-Dedup": "order-7"}))
        await made.deferred.rest()
        assert first.json == second.json
        assert len(seen) == 1

    play(tmp_path, scene)


def test_a_call_that_waits_can_be_cancelled_and_one_that_ended_cannot(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        seen: list[Seen] = []
        await made.add(app(), answering(HELLO, seen))
        accepted = await ask(made, post(fields={"X-Fnctl-Delay": "1h"}))
        told = await look(made, accepted, "DELETE")
        assert (told.status, told.json["state"]) == (200, "cancelled")
        await made.clock.advance(7200)
        assert seen == []
        assert (await look(made, accepted, "DELETE")).json == told.json
        done = await ask(made, post())
        await made.deferred.rest()
        late = await look(made, done, "DELETE")
        assert (late.status, late.json["error"]["code"]) == (409, "not_waiting")

    play(tmp_path, scene)


def test_a_result_is_for_who_has_its_address_alone(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        await made.add(app(), answering(HELLO))
        accepted = await ask(made, post())
        where = accepted.headers["location"]
        id = accepted.json["id"]
        for wrong in (f"/_fnctl/invocations/{id}", where[:-32] + "0" * 32, where.replace(id, "0" * 26)):
            told = await ask(made, f"GET {wrong} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert told.status == 404, wrong
        told = await look(made, accepted, "PUT")
        assert (told.status, told.headers["allow"]) == (405, "DELETE, GET, HEAD")
        reader, writer = await asyncio.open_unix_connection(str(made.socket))
        writer.write(f"GET /_fnctl/invocations/{id} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()

    play(tmp_path, scene)


@pytest.mark.parametrize(
    ("contract", "asking", "answered"),
    [
        (Contract.LAMBDA, {"X-Amz-Invocation-Type": "Event"}, "x-amzn-requestid"),
        (Contract.FC_EVENT, {"X-Fc-Invocation-Type": "Async"}, "x-fc-request-id"),
    ],
)
def test_platforms_have_their_own_way_to_ask(
    tmp_path: Path, contract: Contract, asking: dict[str, str], answered: str
) -> None:
    async def scene(made: Stage) -> None:
        seen: list[Seen] = []
        await made.add(replace(app(), contract=contract), answering(HELLO, seen))
        await made.add(app("other"), answering(HELLO))
        path = "/2015-03-31/functions/app/invocations"
        request = post(fields=asking, target=f"/app{path}").replace(b"Prefer: respond-async\r\n", b"")
        accepted = await ask(made, request)
        assert (accepted.status, accepted.body) == (202, b"")
        assert len(accepted.headers[answered]) == 26
        await made.deferred.rest()
        assert seen[0].line == f"POST {path} HTTP/1.1".encode()
        other = await ask(made, request.replace(b"/app/", b"/other/"))
        assert other.status == 200  # to code of no such platform the field says nothing

    play(tmp_path, scene)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"X-Fnctl-Delay": "soon"}, "not a duration"),
        ({"X-Fnctl-At": "tomorrow"}, "X-Fnctl-At cannot be 'tomorrow'"),
        ({"X-Fnctl-At": "2030-01-01T00:00:00"}, "has no offset"),
        ({"X-Fnctl-At": "2030-01-01T00:00:00Z", "X-Fnctl-Delay": "1s"}, "cannot be used together"),
        ({"X-Fnctl-Group": "a b"}, "X-Fnctl-Group cannot be"),
        ({"X-Fnctl-Dedup": "x" * 129}, "X-Fnctl-Dedup cannot be"),
    ],
)
def test_what_is_asked_wrongly_is_refused_and_nothing_accepted(
    tmp_path: Path, fields: dict[str, str], message: str
) -> None:
    async def scene(made: Stage) -> None:
        await made.add(app(), answering(HELLO))
        told = await ask(made, post(fields=fields))
        assert told.status == 400
        assert message in told.json["error"]["message"]
        assert await made.store.queues.counts() == {}

    play(tmp_path, scene)


def test_bodies_have_a_bound_and_chunked_ones_are_kept_whole(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        seen: list[Seen] = []
        await made.add(app(), answering(HELLO, seen))
        for body in (bytes((1 << 20) + 1), bytes(3 << 20)):
            told = await ask(made, post(body))
            assert (told.status, told.json["error"]["code"]) == (413, "too_large")
        chunked = post(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        accepted = await ask(made, chunked + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        assert accepted.status == 202
        await made.deferred.rest()
        (request,) = seen
        assert (request.body, request.one(b"content-length")) == (b"abcde", b"5")

    play(tmp_path, scene)


def test_however_many_calls_wait_their_lane_has_one_alarm(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        await made.add(app(), answering(HELLO))
        until = made.clock.now() + 3600
        for number in range(20):
            await made.deferred.accept(app(), CallRequest(b"POST", b"/", b"Host: a\r\n", b""), When(due=until + number))
            await made.deferred.rest()
        assert len(made.clock._heap._alarms) == 1

    play(tmp_path, scene)
