"""Generated requests, to an Express app through the gateway and to the same app as `node app.js`: the same answers.

TRIES: how many (`make faults` plays more). SEED: repeats them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvloop

from fnctl.protocol import messages
from fnctl.triggers.http.upstream import upstream_factory
from tests.contract.gateway_stage import Stage, app, stage
from tests.contract.stage_admission import Site
from tests.support import ports
from tests.support.turning import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

REQUESTS = int(os.environ.get("REQUESTS", "400"))
SEED = int(os.environ.get("SEED", "1"))
CONNECTIONS = 8
ANSWER_S = 20
AGENT = Path(__file__).parents[3] / "layers" / "node" / "agent.js"
APP = Path(__file__).parents[2] / "fixtures" / "differential" / "app.js"
# What the gateway says for itself, and what is between it and each of its two sides.
OWN = ("date", "connection", "keep-alive", "transfer-encoding", "content-length", "server-timing")


@dataclass
class Answer:
    line: bytes
    fields: list[tuple[str, str]]
    body: bytes
    whole: bool
    interims: list[bytes] = field(default_factory=list)


@dataclass
class Script:
    """One connection's requests: what is sent at once, and how many answers come."""

    name: str
    data: bytes
    methods: list[bytes]
    gone: bool = False  # the client leaves without reading


async def read_answer(reader: asyncio.StreamReader, method: bytes) -> Answer | None:
    """None: the connection ended before it."""
    interims: list[bytes] = []
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        line, *lines = head[:-4].split(b"\r\n")
        status = int(line.split(b" ")[1])
        if status >= 200:
            break
        interims.append(line)
    fields = [
        (name.decode("latin-1"), value.strip().decode("latin-1"))
        for name, _, value in (each.partition(b":") for each in lines)
    ]
    known = {name.lower(): value for name, value in fields}
    body, whole = b"", True
    if method != b"HEAD" and status not in (204, 304):
        body, whole = await _body(reader, known)
    return Answer(line, fields, body, whole, interims)


async def _body(reader: asyncio.StreamReader, known: dict[str, str]) -> tuple[bytes, bool]:
    body = b""
    try:
        if known.get("transfer-encoding") == "chunked":
            while size := int(await reader.readuntil(b"\r\n"), 16):
                body += (await reader.readexactly(size + 2))[:-2]
            while (trailer := await reader.readuntil(b"\r\n")) != b"\r\n":
                body += b"|" + trailer
            return body, True
        if "content-length" in known:
            return await reader.readexactly(int(known["content-length"])), True
        return await reader.read(), True
    except asyncio.IncompleteReadError as cut:
        return body + cut.partial, False
    except ConnectionError:
        return body, False


async def play(port: int, script: Script) -> list[Answer | None]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(script.data)
    answers: list[Answer | None] = []
    try:
        async with asyncio.timeout(ANSWER_S):
            for method in [] if script.gone else script.methods:
                answers.append(await read_answer(reader, method))
    except TimeoutError:
        raise AssertionError(f"no answer {len(answers)} on {port}: {script.name}") from None
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return answers


def comparable(answer: Answer | None) -> object:
    """The gateway says 502 where the app hangs up without a word: the stage knows that by "oom"."""
    if answer is None or (answer.line.startswith(b"HTTP/1.1 502") and (not answer.body or b'"oom"' in answer.body)):
        return "gone"
    if answer.line.startswith(b"HTTP/1.1 502"):
        return answer.body
    fields = [
        pair for pair in answer.fields if pair[0].lower() not in OWN and not pair[0].lower().startswith("x-fnctl-")
    ]
    body = answer.body if answer.whole else b""  # how much comes before a cut is up to the network
    return answer.line, sorted(fields), body, answer.whole, answer.interims


# -- requests ----------------------------------------------------------------------------------------------------------


def request(chance: random.Random) -> tuple[str, bytes, bytes]:
    """(what it is, its method, its bytes)"""
    method = chance.choice([b"GET", b"GET", b"POST", b"POST", b"PUT", b"PATCH", b"DELETE", b"HEAD", b"OPTIONS"])
    path = chance.choice(PATHS)(chance)
    lines = [b"Host: localhost:1"]
    for _ in range(chance.randrange(4)):
        name = chance.choice(
            [b"X-A", b"x-b", b"Cookie", b"Accept", b"X-LoNg-Name", b"Accept-Encoding", b"If-None-Match"]
        )
        lines.append(name + b": " + chance.choice([b"1", b"", b"a, b", b"gzip", b"caf\xe9", b"  spaced  ", b"v" * 300]))
    body = b""
    if method not in (b"GET", b"HEAD", b"OPTIONS") or chance.random() < 0.05:
        kind = chance.randrange(7)
        # An answer that comes before the end of the body ends the client's connection: where depends on the moment.
        largest = 200_000 if path.startswith(b"/echo") else 65_536
        body = chance.randbytes(min(chance.choice([0, 1, 100, 5000, 65_536, 70_000, 200_000]), largest))
        if path == b"/upload" or kind == 0:
            body = (
                b'--b\r\nContent-Disposition: form-data; name="f"; filename="n"\r\n\r\n'
                + body[:9000]
                + b"\r\n--b--\r\n"
            )
            lines.append(b"Content-Type: multipart/form-data; boundary=b")
        elif kind == 1:
            body = json.dumps({"a": [1, "é"] * chance.randrange(40)}).encode()
            lines.append(b"Content-Type: application/json")
        elif kind == 2:
            body = b"a=1&b=%20&c"
            lines.append(b"Content-Type: application/x-www-form-urlencoded")
        if chance.random() < 0.15:
            lines.append(b"Transfer-Encoding: chunked")
            middle = len(body) // 2
            pieces = [piece for piece in (body[:middle], body[middle:]) if piece]
            body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        else:
            lines.append(b"Content-Length: %d" % len(body))
    head = b"%b %b HTTP/1.1\r\n%b\r\n\r\n" % (method, path, b"\r\n".join(lines))
    return f"{method.decode()} {path.decode()} {len(body)}", method, head + body


PATHS: list[Callable[[random.Random], bytes]] = [
    lambda chance: b"/echo" + chance.choice([b"", b"?a=1&b=%20", b"?x[]=1&x[]=2"]),
    lambda chance: b"/echo",
    lambda chance: b"/unread",
    lambda chance: b"/stream?n=%d&size=%d" % (chance.choice([0, 1, 7, 40]), chance.choice([1, 100, 20_000])),
    lambda chance: (
        b"/headers?body=%b&status=%d" % (chance.choice([b"", b"x"]), chance.choice([200, 201, 204, 304, 299, 404, 500]))
    ),
    lambda chance: b"/destroy" + chance.choice([b"", b"?after=10", b"?after=300000"]),
    lambda chance: chance.choice(
        [b"/length", b"/early", b"/trailers", b"/throw", b"/late", b"/nowhere", b"/bare", b"/close"]
    ),
    lambda chance: chance.choice([b"/compressed", b"/session", b"/upload", b"/parsed"]),
]
ENDS = (
    b"/early",
    b"/destroy",
    b"/late",
    b"/bare",
    b"/close",
    b"/unread",
    b"/throw",
    b"/upload",
    b"/parsed",
    b"/nowhere",
)  # maybe its connection


def script(chance: random.Random) -> Script:
    name, method, data = request(chance)
    names, methods = [name], [method]
    while chance.random() < 0.4:
        if any(end in data for end in ENDS):
            break
        name, method, more = request(chance)
        if any(end in more for end in ENDS):  # without fnctl, it would end the answers before it, too
            continue
        names.append(name)
        methods.append(method)
        data += more
    return Script(" + ".join(names), data, methods, gone=chance.random() < 0.06)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# -- both sides --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def node(sandbox_image: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runtime's own, out of the sandbox image."""
    place = tmp_path_factory.mktemp("node") / "node"
    made = subprocess.run(
        ["docker", "create", sandbox_image, "x"], check=True, capture_output=True, text=True
    ).stdout.strip()
    subprocess.run(
        ["docker", "cp", "-q", f"{made}:/opt/fnctl/node24/bin/node", str(place)], check=True, capture_output=True
    )
    subprocess.run(["docker", "rm", made], check=True, capture_output=True)
    return place


class Control(asyncio.Protocol):
    """What the host says to the agent."""

    def __init__(self, root: Path, share: bool, site: Site) -> None:
        self._root, self._share, self._site = root, share, site
        self._heard = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment]
        self._site.lost = lambda: self._say(messages.dial(1))

    def data_received(self, data: bytes) -> None:
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if message["op"] == "hello":
                load = messages.load(self._site.function, "1", {}, 3000, share=self._share)
                self._say({**load, "root": str(self._root), "handler": "app.js", "concurrency": CONNECTIONS})
            elif message["op"] == "loaded":
                assert message["shares"] is self._share
                self._say(messages.dial(CONNECTIONS - 1))

    def _say(self, message: object) -> None:
        self._transport.write(json.dumps(message).encode() + b"\n")


@contextlib.asynccontextmanager
async def served(
    made: Stage, folder: Path, node: Path, root: Path, env: dict[str, str], share: bool
) -> AsyncIterator[None]:
    """The app behind the stage's gateway, in an agent."""
    site = made.admit(app())
    site.shares = share
    loop = asyncio.get_running_loop()
    data = await loop.create_unix_server(lambda: upstream_factory(site), str(folder / "data.sock"))
    control = await loop.create_unix_server(lambda: Control(root, share, site), str(folder / "agent.sock"))
    agent = subprocess.Popen(  # noqa: ASYNC220 - it is there in a millisecond
        [node, AGENT], cwd=root, env={**env, "FNCTL_ROOT": str(folder), "FNCTL_PRELOAD": "1"}
    )
    try:
        await until(lambda: len(site.free) >= CONNECTIONS)
        yield
    finally:
        agent.send_signal(signal.SIGKILL)
        agent.wait()
        data.close()
        control.close()


@pytest.mark.parametrize("carriage", ["own", "shared"])
@pytest.mark.parametrize("package", ["express", "express4"])
def test_the_same_answers_as_without_fnctl(
    node: Path, node_packages: Path, folder: Path, tmp_path: Path, package: str, carriage: str
) -> None:
    root = tmp_path / "app"
    shutil.copytree(node_packages, root, symlinks=True, copy_function=os.link)
    shutil.copyfile(APP, root / "app.js")
    env = {"PATH": os.environ["PATH"], "EXPRESS": package, "NODE_ENV": "production"}
    port = ports.free_port()
    bare = subprocess.Popen([node, "app.js"], cwd=root, env={**env, "PORT": str(port)})

    async def compare() -> None:
        async with stage(folder) as made, served(made, folder, node, root, env, carriage == "shared"):
            await until(lambda: listens(port))
            chance = random.Random(f"{SEED}{package}{carriage}")
            done = 0
            while done < REQUESTS // 4:
                scripts = [script(chance) for _ in range(chance.choice((1, 3, 6)))]
                through = await asyncio.gather(*(play(made.port, each) for each in scripts))
                plain = await asyncio.gather(*(play(port, each) for each in scripts))
                for each, one, other in zip(scripts, through, plain, strict=True):
                    done += len(each.methods)
                    got, expected = [comparable(answer) for answer in one], [comparable(answer) for answer in other]
                    assert got == expected, f"{each.name}: {got!r:.1500} and without fnctl {expected!r:.1500}"

    try:
        uvloop.run(compare())
    finally:
        bare.kill()
        bare.wait()
