"""The agent of commands: any program that listens, asked through the relay what a client of its own would see."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator, Sequence

import pytest

from fnctl import catalog
from tests.contract.agents.conftest import Start
from tests.contract.agents.sandbox_host import WAIT_S, SandboxHost
from tests.support.command import docker
from tests.support.container import Container

pytestmark = [pytest.mark.engine, pytest.mark.timeout(120)]

NODE = "/opt/fnctl/node24/bin/node"

# A server on bare sockets: it answers what it is told to, byte for byte, one connection at a time.
ONE_AT_A_TIME = r"""
use IO::Socket::INET;
$| = 1;
my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $ENV{PORT}, Listen => 5, ReuseAddr => 1);
print "up\n";
while (my $client = $listener->accept) {
    while (my $line = <$client>) {
        my ($method, $path) = split ' ', $line;
        my $length = 0;
        while (($line = <$client>) ne "\r\n") { $length = $1 if $line =~ /^content-length: (\d+)/i }
        read $client, my $body, $length;
        exit 3 if $path eq '/exit';
        last if $path eq '/hangup';
        if ($path eq '/old') { print $client "HTTP/1.0 200 OK\r\n\r\nto the end"; last }
        if ($path eq '/early') { print $client "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" }
        if ($path eq '/none') { print $client "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"; next }
        if ($path eq '/chunks') { print $client "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            map({ sprintf "%x;x=y\r\n%s\r\n", length, $_ } "a\r\n0\r\n\r\n", "b" x 70000), "0\r\nT: 1\r\n\r\n"; next }
        close $listener if $path eq '/deaf';
        my $text = $method eq 'HEAD' ? '' : "$method $path " . $client->peerhost . " " . length $body;
        print $client "HTTP/1.1 200 OK\r\nContent-Length: " . (length($text) || 9) . "\r\n\r\n$text";
        last if $path eq '/deaf';
    }
    close $client;
}
sleep 1000;
"""

# It ends connections without a word after it has answered: at once, or with the next request unread, or read. Answers
# count the requests that it has read.
FICKLE = r"""
use IO::Socket::INET;
$| = 1;
my $seen = 0;
my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $ENV{PORT}, Listen => 5, ReuseAddr => 1);
while (my $client = $listener->accept) {
    sysread $client, my $request, 65536 or next;
    $seen++;
    syswrite $client, sprintf "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", length $seen, $seen;
    my ($path) = $request =~ m{^\S+ (\S+)};
    next if $path eq '/at-once';
    vec(my $ready = '', fileno $client, 1) = 1;
    select $ready, undef, undef, undef;
    if ($path eq '/read') { sysread $client, $request, 65536; print "read ", ++$seen, "\n" }
}
"""

UPGRADES = r"""
const http = require('http');
const server = http.createServer((request, response) => {
  let got = 0;
  request.on('data', (data) => { got += data.length; });
  request.on('end', () => response.end(String(got)));
});
server.on('upgrade', (request, socket) => {
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello');
  socket.on('data', (data) => socket.write(String(data).toUpperCase()));
});
server.listen(process.env.PORT);
"""


@pytest.fixture
def command(start: Start) -> Iterator[Start]:
    """command(words, files) → a host whose sandbox has the command loaded."""

    def begin(words: Sequence[str], files: dict[str, str], **fields: object) -> SandboxHost:
        host = start("command", files)
        host.load("", command=list(words), **fields)
        return host

    yield begin


@pytest.fixture
def simple(command: Start) -> SandboxHost:
    return command(["perl", "server.pl"], {"server.pl": ONE_AT_A_TIME})


def raw(host: SandboxHost, request: bytes, until: bytes) -> bytes:
    """All that comes for a request, up to where `until` ends it."""
    host.connection.sendall(request)
    got = b""
    while not got.endswith(until):
        data = host.connection.recv(65536)
        assert data, got
        got += data
    return got


# --- serving ---


def test_a_command_serves_with_its_environment_and_output(simple: SandboxHost) -> None:
    assert simple.request(path="/a?b=c").body == b"GET /a?b=c 127.0.0.1 0"
    assert simple.request("POST", "/p", body=b"x" * 200_000).body == b"POST /p 127.0.0.1 200000"
    assert simple.logs.wait_for("up") == (None, "up")


def test_a_server_of_one_connection_at_a_time_serves_all_connections(simple: SandboxHost) -> None:
    """Though it keeps each open until its client leaves."""
    others = simple.dial(3)
    for turn in range(3):
        for connection in [simple.connection, *others]:
            assert simple.request(path=f"/{turn}", on=connection).status == 200
    for connection in others:  # all at once
        connection.sendall(b"GET /x HTTP/1.1\r\n\r\n")
    for connection in others:
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("path", ["/at-once", "/unread"])
def test_a_server_that_ends_idle_connections_loses_no_request_and_sees_none_twice(command: Start, path: str) -> None:
    host = command(["perl", "server.pl"], {"server.pl": FICKLE})
    assert [int(host.request("POST", path, body=b"x").body) for _ in range(50)] == list(range(1, 51))


def test_a_request_that_was_read_is_not_sent_again(command: Start) -> None:
    host = command(["perl", "server.pl"], {"server.pl": FICKLE})
    assert host.request("POST", "/read").body == b"1"
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        host.request("POST", "/read")
    host.logs.wait_for("read 2")
    (another,) = host.dial(1)
    assert host.request("POST", "/at-once", on=another).body == b"3"


@pytest.mark.parametrize(
    ("request_", "end"),
    [
        (b"HEAD /h HTTP/1.1\r\n\r\n", b"Content-Length: 9\r\n\r\n"),
        (b"GET /none HTTP/1.1\r\n\r\n", b"Content-Length: 5\r\n\r\n"),
        (b"GET /early HTTP/1.1\r\n\r\n", b"GET /early 127.0.0.1 0"),
        (b"GET /chunks HTTP/1.1\r\n\r\n", b"0\r\nT: 1\r\n\r\n"),
    ],
)
def test_each_kind_of_message_ends_where_it_ends(simple: SandboxHost, request_: bytes, end: bytes) -> None:
    """The connection carries the next request, and nothing of a message is changed."""
    first, second = raw(simple, request_, end), raw(simple, request_, end)
    assert first == second
    if b"/early" in request_:
        assert first.startswith(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n")
    if b"/chunks" in request_:
        assert b"8;x=y\r\na\r\n0\r\n\r\n\r\n" in first


def test_a_response_without_an_announced_end_ends_with_the_connection(simple: SandboxHost) -> None:
    assert simple.request(path="/old").body == b"to the end"
    (another,) = simple.dial(1)
    assert simple.request(path="/x", on=another).status == 200


def test_large_and_chunked_requests_and_a_tunnel(command: Start) -> None:
    host = command([NODE, "server.js"], {"server.js": UPGRADES})
    pieces = [b"x" * 70_000, b"\r\n0\r\n\r\n", b"y"]
    for _ in range(2):
        assert host.request("POST", body=iter(pieces)).body == b"%d" % sum(map(len, pieces))
    head = b"GET / HTTP/1.1\r\nHost: f\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert raw(host, head, b"hello").startswith(b"HTTP/1.1 101 ")
    assert raw(host, b"abc", b"ABC") == b"ABC"


def test_the_port_is_in_words_and_environment_and_may_be_the_functions(command: Start) -> None:
    words = [
        NODE,
        "-e",
        "require('http').createServer((q, r) => r.end(process.argv[1])).listen(process.env.PORT)",
        "$PORT-${PORT}",
    ]
    assert command(words, {}, port=5000).request().body == b"5000-5000"


def test_a_command_sees_nothing_of_the_agent(command: Start) -> None:
    script = "require('http').createServer((q, r) => r.end(JSON.stringify(process.env))).listen(process.env.PORT)"
    seen = command([NODE, "-e", script], {}).request().json
    assert [name for name in seen if name.startswith("FNCTL")] == []
    assert (seen["GREETING"], seen["HOME"], seen["PORT"]) == ("hëllo", "/tmp", "3000")


# --- failing ---


@pytest.mark.parametrize(
    ("words", "files", "type_", "says"),
    [
        (["nosuch"], {}, "CommandNotFound", "no program nosuch on the PATH (/usr/local/bin:/usr/bin:/bin)"),
        (["server.pl"], {"server.pl": ""}, "CommandNotFound", "write ./server.pl"),
        (["./nosuch"], {}, "CommandNotFound", "there is no ./nosuch in the code folder"),
        (["./server.pl"], {"server.pl": ""}, "CommandNotExecutable", "chmod +x ./server.pl"),
        (["sh", "-c", "exit 7"], {}, "Exit", "ended with exit code 7 before it listened on port 3000"),
        (["sh", "-c", "kill -9 $$"], {}, "Exit", "was ended by signal 9 before it listened"),
    ],
)
def test_a_command_that_does_not_start(
    start: Start, words: list[str], files: dict[str, str], type_: str, says: str
) -> None:
    host = start("command", files)
    host.send_load("", command=words)
    failed = host.agent.expect("load_failed")
    assert failed["type"] == type_
    assert says in failed["message"]
    assert host.supervisor.expect("exited")["code"] == 1


def test_a_script_whose_interpreter_is_missing(start: Start) -> None:
    host = start("command", {"run": "#!/usr/bin/nosuch\n"})
    (host.folder / "app" / "run").chmod(0o755)
    host.send_load("", command=["./run"])
    assert "the interpreter of ./run, /usr/bin/nosuch, is not there" in host.agent.expect("load_failed")["message"]


def test_one_that_listens_elsewhere_is_told_of(start: Start) -> None:
    host = start("command")
    host.send_load("", command=[NODE, "-e", "require('net').createServer().listen(8123)"])
    told = host.agent.expect("waiting")["for"]
    while "listens on port" not in told:
        told = host.agent.expect("waiting")["for"]
    assert "to listen on port 3000 ($PORT); it listens on port 8123" in told


def test_an_end_while_serving_is_the_commands_own(simple: SandboxHost) -> None:
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        simple.request(path="/exit")
    ended = simple.supervisor.expect("exited")
    assert (ended["code"], ended["signal"]) == (3, 0)


def test_a_signal_that_ends_it_is_told_as_such(command: Start) -> None:
    words = [
        NODE,
        "-e",
        "require('http').createServer(() => process.kill(process.pid, 'SIGSEGV')).listen(process.env.PORT)",
    ]
    host = command(words, {})
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        host.request()
    assert host.supervisor.expect("exited")["signal"] == 11


def test_no_answer_is_the_end_of_the_connection(simple: SandboxHost) -> None:
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        simple.request(path="/hangup")
    (another,) = simple.dial(1)
    assert simple.request(path="/x", on=another).status == 200


def test_one_that_listens_no_more_is_answered_for(simple: SandboxHost) -> None:
    assert simple.request(path="/deaf").status == 200
    answer = simple.request(path="/x")
    assert (answer.status, answer.headers["x-fnctl-error"]) == (502, "bad_response")
    assert answer.json["error"]["message"] == "nothing listens on port 3000 any more"


def test_a_client_that_leaves_is_felt_by_the_command(command: Start) -> None:
    script = """
const http = require('http');
http.createServer((request, response) => {
  if (request.url !== '/wait') return response.end('ok');
  console.log('waiting');
  response.on('close', () => console.log('left'));
}).listen(process.env.PORT);
"""
    host = command([NODE, "server.js"], {"server.js": script})
    (another,) = host.dial(1)
    another.sendall(b"GET /wait HTTP/1.1\r\nHost: f\r\n\r\n")
    host.logs.wait_for("waiting")
    another.close()
    host.logs.wait_for("left")
    assert host.request().body == b"ok"


# --- ephemeral ---


def test_an_ephemeral_command_serves_once_and_may_end_in_order(command: Start) -> None:
    script = """
process.on('SIGTERM', () => { console.log('in order'); process.exit(5); });
require('http').createServer((request, response) => response.end('once')).listen(process.env.PORT);
"""
    host = command([NODE, "server.js"], {"server.js": script}, model="ephemeral")
    assert host.request().body == b"once"
    assert host.supervisor.expect("exited")["code"] == 0
    host.logs.wait_for("in order")
    host.boot()
    host.load("", command=[NODE, "server.js"], model="ephemeral")
    assert host.request().body == b"once"


def test_an_ephemeral_command_that_does_not_mind_is_ended(command: Start) -> None:
    script = """
process.on('SIGTERM', () => {});
require('http').createServer((request, response) => response.end('once')).listen(process.env.PORT);
"""
    host = command([NODE, "server.js"], {"server.js": script}, model="ephemeral")
    assert host.request().body == b"once"
    assert host.supervisor.expect("exited")["code"] == 0


def test_an_ephemeral_crash_is_told(command: Start) -> None:
    host = command(["perl", "server.pl"], {"server.pl": ONE_AT_A_TIME}, model="ephemeral")
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        host.request(path="/exit")
    assert host.supervisor.expect("exited")["code"] == 3


def test_the_agent_leaves_when_the_host_hangs_up(simple: SandboxHost) -> None:
    simple.agent.close()
    assert simple.supervisor.expect("exited")["code"] == 0


def test_many_at_a_time(command: Start) -> None:
    """A body each way that fills every buffer, on eight connections."""
    script = "require('http').createServer((q, r) => { r.writeHead(200); q.pipe(r); }).listen(process.env.PORT)"
    host = command([NODE, "-e", script], {})
    connections = host.dial(8)
    right: list[bool] = []

    def echo(number: int, on: socket.socket) -> None:
        body = bytes([number]) * 3_000_000
        right.append(_echoed(on, body))

    threads = [threading.Thread(target=echo, args=pair) for pair in enumerate(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert right == [True] * 8


def _echoed(on: socket.socket, body: bytes) -> bool:
    """Written while it is read: neither side would hold all of it."""
    head = b"POST / HTTP/1.1\r\nHost: f\r\nContent-Length: %d\r\n\r\n" % len(body)
    writer = threading.Thread(target=on.sendall, args=(head + body,))
    writer.start()
    client = http.client.HTTPResponse(on)
    client.begin()
    got = client.read()
    writer.join(WAIT_S)
    return got == body


# --- shipped ---


def test_a_shipped_image_runs_the_command_on_every_address(sandbox_image: str) -> None:
    script = "require('http').createServer((q, r) => r.end(process.env.PORT)).listen(process.env.PORT)"
    load = {"command": [NODE, "-e", script], "root": "/tmp", "env": {}, "port": 8080}
    name = "fnctl-test-command"
    with contextlib.suppress(Exception):
        docker("rm", "-f", name)
    docker(
        "run", "-d", "--name", name, "-p", "127.0.0.1::9000", "-e", "PORT=9000", "-e", f"FNCTL_LOAD={json.dumps(load)}",
        "--label", "dev.fnctl=1", sandbox_image, *catalog.runtimes()["command"].agent, "--serve",
    )  # fmt: skip
    try:
        served = Container(name)
        assert served.request("GET", "/") == (200, b"9000")
        assert served.stop() == 0
    finally:
        docker("rm", "-f", name)
