"""Lambda's and Function Compute's Invoke at the address inside a sandbox: boto3 and raw requests, on a real gateway."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from fnctl.model import Contract, Function
from tests.contract.gateway_stage import Seen, Stage, answering, app, play, read_request, split
from tests.contract.stage_admission import Site
from tests.support.turning import until


@dataclass
class Inside:
    """A sandbox of the stage's, from which calls come."""

    function: Function
    id: str = "i-1"


async def inside(made: Stage, contract: Contract) -> int:
    """The port of the address that this sandbox has."""
    caller = Inside(replace(app("caller"), contract=contract))
    server = await asyncio.get_running_loop().create_server(made.gateway.inside(caller), "127.0.0.1", 0)
    made._servers.append(server)
    return int(server.sockets[0].getsockname()[1])


def aws(port: int) -> Any:
    return boto3.session.Session().client(
        "lambda",
        region_name="us-east-1",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id="fnctl",
        aws_secret_access_key="fnctl",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=20, read_timeout=20),
    )


def asked(folder: Path, story: Callable[[Any], Any], site: Callable[[Site], None], answer: bytes) -> Any:
    """What `story` says, with a client of Lambda's. `site`: sees the function's site once its request is there."""
    said: list[Any] = []

    async def scene(made: Stage) -> None:
        there: list[Site] = []

        async def agent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                await read_request(reader)
                site(there[0])
                writer.write(answer)
                await writer.drain()

        there.append(await made.add(replace(app(), contract=Contract.LAMBDA, memory_mb=256), agent))
        client = aws(await inside(made, Contract.LAMBDA))
        said.append(await asyncio.to_thread(story, client))
        await until(lambda: not there[0].printed)

    play(folder, scene)
    return said[0]


def tail(answer: Any) -> str:
    return base64.b64decode(answer["LogResult"]).decode()


def printing(*lines: str) -> Callable[[Site], None]:
    def prints(site: Site) -> None:
        for heard in site.printed.values():
            for line in lines:
                heard(line)

    return prints


ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


def test_the_tail_of_the_log_comes_with_the_answer(tmp_path: Path) -> None:
    def story(client: Any) -> Any:
        answer = client.invoke(FunctionName="app", LogType="Tail", Payload=b"{}")
        assert answer["Payload"].read() == b"{}"
        return answer

    lines = tail(asked(tmp_path, story, printing("one", "zwei ☃"), ANSWER)).splitlines()
    assert lines[1:3] == ["one", "zwei ☃"]
    assert lines[0].startswith("START RequestId: ") and lines[3].startswith("END RequestId: ")
    assert "Billed Duration" in lines[4] and "Memory Size: 256 MB" in lines[4]


def test_of_a_long_log_the_last_4_kb(tmp_path: Path) -> None:
    def story(client: Any) -> Any:
        return client.invoke(FunctionName="app", LogType="Tail", Payload=b"{}")

    log = tail(asked(tmp_path, story, printing(*(f"{n:099}" for n in range(1000))), ANSWER))
    assert len(log) == 4096
    assert f"{999:099}\nEND" in log


def test_an_answer_waits_for_what_is_not_read_yet(tmp_path: Path) -> None:
    def prints_late(site: Site) -> None:
        site.unread = True
        loop = asyncio.get_running_loop()
        loop.call_later(0.02, printing("late"), site)
        loop.call_later(0.02, setattr, site, "unread", False)

    def story(client: Any) -> Any:
        return client.invoke(FunctionName="app", LogType="Tail", Payload=b"{}")

    assert "\nlate\n" in tail(asked(tmp_path, story, prints_late, ANSWER))


def test_and_no_longer_than_a_moment(tmp_path: Path) -> None:
    """Something in the sandbox that prints without end."""

    def story(client: Any) -> Any:
        return client.invoke(FunctionName="app", LogType="Tail", Payload=b"{}")

    def never(site: Site) -> None:
        site.unread = True

    assert "END RequestId" in tail(asked(tmp_path, story, never, ANSWER))


def test_nobody_who_does_not_ask_gets_it(tmp_path: Path) -> None:
    def story(client: Any) -> Any:
        return client.invoke(FunctionName="app", Payload=b"{}")

    assert "LogResult" not in asked(tmp_path, story, printing("one"), ANSWER)


def test_a_large_answer_goes_out_whole(tmp_path: Path) -> None:
    body = b"x" * (9 << 20)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    def story(client: Any) -> Any:
        told = client.invoke(FunctionName="app", LogType="Tail", Payload=b"{}")
        return len(told["Payload"].read()), "LogResult" in told

    assert asked(tmp_path, story, printing("one"), answer) == (len(body), False)


RAISED = b'{"error": {"type": "TypeError", "message": "no such thing"}}'
RAISES = b"HTTP/1.1 500 Error\r\nX-Fnctl-Error: crash\r\nContent-Length: %d\r\n\r\n%b" % (len(RAISED), RAISED)


async def post(port: int, path: str, *fields: str) -> tuple[int, dict[str, str], bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"POST {path} HTTP/1.1", "Host: 000000000000.local.fc.aliyuncs.com", "Content-Length: 2", *fields]
    writer.write("\r\n".join([*lines, "Connection: close", "", "hi"]).encode())
    got = await reader.read()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    line, said, body = split(got)
    return int(line.split()[1]), {name.decode(): value.decode() for name, value in said.items()}, body


OLD = "/2016-08-15/services/shop.LATEST/functions/{}/invocations"


def test_function_compute_s_invoke_in_both_versions(tmp_path: Path) -> None:
    seen: list[Seen] = []

    async def scene(made: Stage) -> None:
        await made.add(replace(app(), contract=Contract.FC_EVENT), answering(ANSWER, seen))
        port = await inside(made, Contract.FC_EVENT)
        for path in (OLD.format("app"), "/2023-03-30/functions/app/invocations?qualifier=LATEST"):
            status, headers, body = await post(port, path, "X-Fc-Log-Type: Tail")
            assert (status, body) == (200, b"{}")
            assert base64.b64decode(headers["x-fc-log-result"]).startswith(b"START RequestId")
        status, headers, body = await post(port, OLD.format("app"), "X-Fc-Invocation-Type: Async")
        assert (status, body) == (202, b"") and headers["x-fc-request-id"]
        await until(lambda: len(seen) == 3)

    play(tmp_path, scene)
    assert {each.line for each in seen[:2]} == {b"POST /2023-03-30/functions/app/invocations HTTP/1.1"}
    assert [each.body for each in seen] == [b"hi"] * 3


def test_function_compute_s_errors_are_told_as_its_sdks_read_them(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        await made.add(replace(app(), contract=Contract.FC_EVENT), answering(RAISES))
        port = await inside(made, Contract.FC_EVENT)
        status, headers, body = await post(port, OLD.format("app"))
        assert (status, headers["x-fc-error-type"]) == (200, "UnhandledInvocationError")
        assert json.loads(body) == {"errorType": "TypeError", "errorMessage": "no such thing"}
        status, headers, body = await post(port, OLD.format("nobody"))
        assert (status, json.loads(body)["ErrorCode"]) == (404, "FunctionNotFound")
        assert "no function named nobody" in json.loads(body)["ErrorMessage"]

    play(tmp_path, scene)
