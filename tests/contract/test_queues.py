"""Named queues over a real gateway: messages put by HTTP, delivered in batches, tried again, dead, and redriven."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fnctl.model import AsyncRule, Contract, Function, Queue, QueueTrigger, Rate
from tests.contract.deferred_calls import Told, ask, in_turn
from tests.contract.gateway_stage import HELLO, Handler, Seen, Stage, answering, app, play, read_request
from tests.support.turning import until

FAILED = b"HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\nno!\n"


def taking(queue: str = "jobs", contract: Contract | None = None, **trigger: Any) -> Function:
    return replace(app(), contract=contract, triggers=(QueueTrigger(queue, **trigger),))


async def send(made: Stage, body: bytes, queue: str = "jobs", **fields: str) -> Told:
    lines = "".join(f"X-Fnctl-{name.title()}: {value}\r\n" for name, value in fields.items())
    head = f"POST /_fnctl/queues/{queue} HTTP/1.1\r\nHost: a\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
    return await ask(made, head.encode() + body, unix=True)


async def row(made: Stage, queue: str = "jobs") -> dict[str, int]:
    told = await ask(made, f"GET /_fnctl/queues/{queue} HTTP/1.1\r\nHost: a\r\n\r\n".encode(), unix=True)
    assert told.status == 200, told.body
    assert told.json["drift"] == 0
    return dict(told.json)


def bodies(request: Seen) -> list[str]:
    return [each["body"] for each in json.loads(request.body)["messages"]]


def failing(*wrong: str) -> Handler:
    """Names the messages with these bodies, in Lambda's shape."""

    async def handle(reader: Any, writer: Any) -> None:
        while True:
            messages = json.loads((await read_request(reader)).body)["messages"]
            lost = [{"itemIdentifier": each["id"]} for each in messages if each["body"] in wrong]
            said = json.dumps({"batchItemFailures": lost}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))
            await writer.drain()

    return handle


def test_messages_come_to_their_function_in_batches_and_are_done(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        made.queues.append(Queue("jobs"))
        ids = [(await send(made, f"{number}".encode())).json["id"] for number in range(5)]
        seen: list[Seen] = []
        await made.add(taking(batch=3, concurrency=1, path="/jobs"), answering(HELLO, seen))
        await made.deferred.rest()
        assert [bodies(each) for each in seen] == [["0", "1", "2"], ["3", "4"]]
        first = seen[0]
        assert first.line == b"POST /jobs HTTP/1.1"
        assert (first.one(b"ce-type"), first.one(b"ce-source")) == (b"dev.fnctl.queue", b"/queues/jobs")
        assert [each["id"] for each in json.loads(first.body)["messages"]] == ids[:3]
        counts = await row(made)
        assert (counts["accepted"], counts["done"], counts["waiting"]) == (5, 5, 0)

    play(tmp_path, scene)


def test_a_batch_waits_for_its_window_and_no_longer_than_it_takes_to_be_full(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        made.queues.append(Queue("jobs"))
        seen: list[Seen] = []
        await made.add(taking(batch=3, window_s=10.0), answering(HELLO, seen))
        await send(made, b"a")
        await made.clock.advance(9)
        await send(made, b"b")
        await made.clock.advance(0.5)
        assert seen == []
        assert (await row(made))["running"] == 2  # leased, and in no call yet
        await made.clock.advance(1)
        assert [bodies(each) for each in seen] == [["a", "b"]]
        for body in (b"c", b"d", b"e"):
            await send(made, body)
        await made.deferred.rest()
        assert bodies(seen[1]) == ["c", "d", "e"]

    play(tmp_path, scene)


def test_only_the_messages_that_the_answer_names_come_again(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        made.queues.append(Queue("jobs", receives=2, backoff_s=60.0))
        for body in (b"good", b"bad", b"fine"):
            await send(made, body)
        await made.add(taking(), failing("bad"))
        await made.deferred.rest()
        counts = await row(made)
        assert (counts["done"], counts["waiting"]) == (2, 1)
        await made.clock.advance(61)
        counts = await row(made)
        assert (counts["done"], counts["waiting"], counts["dead"], counts["dead_kept"]) == (2, 0, 1, 1)

    play(tmp_path, scene)


@pytest.mark.parametrize(
    "answer",
    [
        FAILED,
        b'HTTP/1.1 200 OK\r\nContent-Length: 54\r\n\r\n{"batchItemFailures": [{"itemIdentifier": "nobody"}]}\n',
        b'HTTP/1.1 200 OK\r\nContent-Length: 31\r\n\r\n{"batchItemFailures": [{"x":1}]}'[:-1] + b"}",
    ],
    ids=["it failed", "an id that is not in the batch", "no id"],
)
def test_a_batch_whose_answer_cannot_be_understood_comes_again_whole(tmp_path: Path, answer: bytes) -> None:
    async def scene(made: Stage) -> None:
        made.queues.append(Queue("jobs", backoff_s=60.0))
        await send(made, b"a")
        await send(made, b"b")
        await made.add(taking(), answering(answer.replace(b"Length: 31", b"Length: 32")))
        await made.deferred.rest()
        assert (await row(made))["waiting"] == 2

    play(tmp_path, scene)


def test_the_dead_move_to_their_queue_with_the_reason_and_back_with_all_deliveries(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        made.queues += [Queue("jobs", receives=2, backoff_s=1.0, dead_letters="failed"), Queue("failed")]
        id = (await send(made, b"work")).json["id"]
        seen: list[Seen] = []
        await made.add(taking(), in_turn(FAILED, FAILED, HELLO, seen=seen))
        await made.clock.advance(10)
        assert (await row(made))["dead"] == 1
        assert (await row(made))["dead_kept"] == 0
        assert (await row(made, "failed"))["waiting"] == 1
        dead = replace(taking("failed"), name="undertaker")
        letters: list[Seen] = []
        assert await made.deferred.named.redrive("jobs") == 1
        await made.deferred.rest()
        assert [json.loads(each.body)["messages"][0]["attempt"] for each in seen] == [1, 2, 1]
        assert (await row(made))["done"] == 1
        await made.add(dead, answering(HELLO, letters))
        assert (await row(made, "failed"))["done"] == 1
        assert letters == []
        assert seen[0].body != seen[2].body  # another id
        assert id.encode() in seen[0].body

    play(tmp_path, scene)


def test_a_queue_of_dead_letters_tells_where_they_died(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        made.queues += [Queue("jobs", receives=1, dead_letters="failed"), Queue("failed")]
        id = (await send(made, b"work")).json["id"]
        letters: list[Seen] = []
        await made.add(taking(), answering(FAILED))
        await made.add(replace(taking("failed"), name="looking"), answering(HELLO, letters))
        await made.deferred.rest()
        (letter,) = json.loads(letters[0].body)["messages"]
        assert letter["origin"] == {"queue": "jobs", "id": id, "reason": "status 500"}
        assert letter["body"] == "work"

    play(tmp_path, scene)


def test_code_for_lambda_gets_the_event_of_sqs(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        made.queues.append(Queue("jobs"))
        id = (await send(made, b"work", group="g")).json["id"]
        seen: list[Seen] = []
        await made.add(taking(contract=Contract.LAMBDA), answering(HELLO, seen))
        await made.deferred.rest()
        assert seen[0].line == b"POST /2015-03-31/functions/app/invocations HTTP/1.1"
        (record,) = json.loads(seen[0].body)["Records"]
        assert (record["messageId"], record["body"], record["eventSource"]) == (id, "work", "aws:sqs")
        assert record["eventSourceARN"] == "arn:aws:sqs:us-east-1:000000000000:jobs"
        assert record["md5OfBody"] == "67e92c8765a9bc7fb2d335c459de9eb5"
        assert record["attributes"]["ApproximateReceiveCount"] == "1"
        assert record["attributes"]["MessageGroupId"] == "g"

    play(tmp_path, scene)


def test_messages_of_a_group_come_one_at_a_time_in_their_order(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        made.queues.append(Queue("jobs.fifo", backoff_s=1.0))
        refused = await send(made, b"1", "jobs.fifo")
        assert (refused.status, "X-Fnctl-Group" in refused.json["error"]["hint"]) == (400, True)
        for body in (b"1", b"2", b"3"):
            assert (await send(made, body, "jobs.fifo", group="g")).status == 202
        seen: list[Seen] = []
        await made.add(taking("jobs.fifo"), in_turn(FAILED, HELLO, seen=seen), connections=3)
        await made.clock.advance(5)
        assert [bodies(each) for each in seen] == [["1"], ["1"], ["2"], ["3"]]

    play(tmp_path, scene)


def test_a_rate_holds_for_calls_and_batches_together(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        made.queues.append(Queue("jobs"))
        for number in range(5):
            await send(made, f"{number}".encode())
        seen: list[Seen] = []
        function = replace(taking(batch=1), deferred=AsyncRule(rate=Rate(1.0, 2)))
        await made.add(function, answering(HELLO, seen))
        await made.deferred.rest()
        assert len(seen) == 2  # the burst
        late = b"POST /app/ HTTP/1.1\r\nHost: a\r\nPrefer: respond-async\r\nContent-Length: 0\r\n\r\n"
        assert (await ask(made, late)).status == 202
        await made.deferred.rest()
        assert len(seen) == 2
        for seconds in range(1, 5):
            await made.clock.advance(1)
            assert len(seen) == 2 + seconds
        await made.clock.advance(10)
        assert (await row(made))["done"] == 5

    play(tmp_path, scene)


def test_a_full_queue_and_an_unknown_one_refuse(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        made.queues += [Queue("jobs", backlog=1), Queue("jobs-failed")]
        assert (await send(made, b"1")).status == 202
        assert (await send(made, b"2")).status == 429
        unknown = await send(made, b"1", "job")
        assert (unknown.status, unknown.json["error"]["hint"]) == (404, "did you mean `jobs`?")
        outside = await ask(
            made, b"PUT /_fnctl/queues/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", unix=True
        )
        assert (outside.status, outside.headers["allow"]) == (405, "GET, HEAD, POST")

    play(tmp_path, scene)


def test_a_batch_in_flight_comes_again_after_the_run_was_cut_off(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        made.queues.append(Queue("jobs"))
        await send(made, b"work")
        seen: list[Seen] = []

        async def never(reader: Any, writer: Any) -> None:
            seen.append(await read_request(reader))
            await reader.read()

        await made.add(taking(), never)
        await until(lambda: len(seen) == 1)
        await made.deferred.close(cut=True)
        assert (await row(made))["waiting"] == 1

    play(tmp_path, scene)
