"""Where the outcomes of calls go that were made later: functions, queues, and URLs that check a signature."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fnctl.model import AsyncRule, Destination, Function, Queue, Secret
from tests.contract.deferred_calls import ask, post
from tests.contract.gateway_stage import HELLO, Seen, Stage, answering, app, play, read_request

FAILED = b"HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\nno!\n"
HOOK_KEY = Secret("hook", None, "HOOK", Path(), "fnctl.yaml:1")


def sending(success: Destination | None = None, failure: Destination | None = None) -> Function:
    return replace(app(), deferred=AsyncRule(retries=1, backoff_s=1.0, on_success=success, on_failure=failure))


def test_a_result_and_an_error_go_to_the_functions_that_want_them(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        good: list[Seen] = []
        bad: list[Seen] = []
        function = sending(Destination(function="good"), Destination(function="bad"))
        await made.add(function, answering(HELLO))
        await made.add(replace(function, name="wrong"), answering(FAILED))
        await made.add(app("good"), answering(HELLO, good))
        await made.add(app("bad"), answering(HELLO, bad))
        id = (await ask(made, post(b'{"order": 7}'))).json["id"]
        await ask(made, post(b"text", target="/wrong/"))
        await made.clock.advance(10)
        record = json.loads(good[0].body)
        assert good[0].one(b"ce-type") == b"dev.fnctl.call.succeeded"
        assert record["requestContext"]["requestId"] == id
        assert record["requestContext"]["condition"] == "Success"
        assert (record["requestPayload"], record["responsePayload"]) == ({"order": 7}, "hello")
        record = json.loads(bad[0].body)
        assert record["requestContext"]["condition"] == "RetriesExhausted"
        assert record["requestContext"]["approximateInvokeCount"] == 2
        assert record["responseContext"]["statusCode"] == 500
        assert (len(good), len(bad)) == (1, 1)

    play(tmp_path, scene)


def test_an_outcome_goes_to_a_queue_in_the_step_that_ends_its_call(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        made.queues.append(Queue("outcomes"))
        await made.add(sending(Destination(queue="outcomes")), answering(HELLO))
        await ask(made, post())
        await made.deferred.rest()
        counts = await made.store.queues.counts()
        assert (counts["fn/app"].done, counts["q/outcomes"].waiting, counts["q/outcomes"].drift) == (1, 1, 0)

    play(tmp_path, scene)


def test_a_url_gets_a_signed_request_until_it_takes_it(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        got: list[Seen] = []
        answers = [b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 204 Yes\r\n\r\n"]

        async def hook(reader: Any, writer: Any) -> None:
            got.append(await read_request(reader))
            writer.write(answers[len(got) - 1])
            writer.close()

        server = await asyncio.start_server(hook, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        destination = Destination(url=f"http://127.0.0.1:{port}/hooks?a=1", secret=HOOK_KEY)
        await made.add(sending(destination), answering(HELLO))
        await ask(made, post())
        await made.clock.advance(60)
        server.close()
        assert [each.line for each in got] == [b"POST /hooks?a=1 HTTP/1.1"] * 2
        assert len({each.one(b"webhook-id") for each in got}) == 1
        for each in got:
            signed = b".".join((each.one(b"webhook-id"), each.one(b"webhook-timestamp"), each.body))
            mac = hmac.new(b"secret of the stage", signed, hashlib.sha256).digest()
            assert each.one(b"webhook-signature") == b"v1," + base64.b64encode(mac)
        counts = (await made.store.queues.counts())["hook/app"]
        assert (counts.done, counts.drift) == (1, 0)

    play(tmp_path, scene)


@pytest.mark.parametrize(("status", "state"), [(410, "dead"), (302, "waiting")], ids=["gone", "elsewhere"])
def test_a_url_that_is_gone_is_not_asked_again_and_none_is_followed(tmp_path: Path, status: int, state: str) -> None:
    async def scene(made: Stage) -> None:
        async def hook(reader: Any, writer: Any) -> None:
            await read_request(reader)
            writer.write(b"HTTP/1.1 %d No\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n" % status)
            writer.close()

        server = await asyncio.start_server(hook, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        await made.add(sending(Destination(url=url, secret=HOOK_KEY)), answering(HELLO))
        await ask(made, post())
        await made.deferred.rest()
        server.close()
        assert getattr((await made.store.queues.counts())["hook/app"], state) == 1

    play(tmp_path, scene)
