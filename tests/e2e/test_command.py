"""Any command: programs in five languages that listen on $PORT, in both process models, and how they fail."""

from __future__ import annotations

import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import rig
from tests.faults.rig import Running
from tests.support.command import docker
from tests.support.container import Container
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

PERL = r"""#!/usr/bin/perl
use strict; use warnings; use IO::Socket::INET;
$| = 1;
my $served = 0;
my $listener = IO::Socket::INET->new(LocalAddr => '0.0.0.0', LocalPort => $ENV{PORT}, Listen => 5, ReuseAddr => 1)
    or die "cannot listen: $!\n";
print "perl serves\n";
while (my $client = $listener->accept) {
    my ($path) = (<$client> // '') =~ m{^\S+ (\S+)};
    while (my $line = <$client>) { last if $line eq "\r\n" }
    exit 3 if $path eq '/exit';
    my $text = sprintf '%s %d', $client->peerhost, ++$served;
    printf $client "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", length $text, $text;
}
"""

NODE = """
let served = 0;
require('http').createServer((request, response) => response.end(`${request.socket.remoteAddress} ${++served}`))
  .listen(process.env.PORT, '127.0.0.1', () => console.log('node serves'));
"""

WSGI = """
import itertools
served = itertools.count(1)
def app(environ, start_response):
    start_response("200 OK", [])
    return [f"{environ['REMOTE_ADDR']} {next(served)}".encode()]
"""

C = r"""
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(void) {
    int listener = socket(AF_INET, SOCK_STREAM, 0), served = 0;
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(atoi(getenv("PORT")))};
    if (bind(listener, (void *)&here, sizeof here) || listen(listener, 8)) return 1;
    for (;;) {
        struct sockaddr_in peer; socklen_t size = sizeof peer;
        char request[4096], body[64], answer[256];
        int client = accept(listener, (void *)&peer, &size);
        if (read(client, request, sizeof request) > 0) {
            int length = sprintf(body, "%s %d", inet_ntoa(peer.sin_addr), ++served);
            char *head = "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s";
            int all = sprintf(answer, head, length, body);
            if (write(client, answer, all) < 0) return 1;
        }
        close(client);
    }
}
"""

COMMANDS = ("script", "node", "gunicorn", "native")
PROJECT = """
x-once: &once {model: ephemeral}
x-script: &script {path: script, command: ./server.pl}
x-node: &node {path: node, runtime: node24, command: [node, server.js]}
x-gunicorn: &gunicorn {path: gunicorn, runtime: python3.13, command: "gunicorn --threads 4 'app:app'"}
x-native: &native {path: native, command: [./server]}
x-files: &files {path: files, runtime: python3.13, command: python -m http.server $PORT}
functions:
  script: *script
  node: {<<: *node, command: npm start}
  gunicorn: *gunicorn
  native: *native
  files: *files
  script-once: {<<: [*script, *once]}
  node-once: {<<: [*node, *once]}
  gunicorn-once: {<<: [*gunicorn, *once]}
  native-once: {<<: [*native, *once]}
  files-once: {<<: [*files, *once]}
  missing: {path: files, command: [nosuch-program]}
  early: {path: files, command: [sh, -c, "echo one; echo the last word >&2; exit 7"]}
  space: {path: files, command: [sh, -c, "df -m /tmp; exit 1"], tmp: 100m}
  elsewhere: {path: files, runtime: python3.13, command: python -m http.server 8123, timeout: 1s}
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    source = tmp_path_factory.mktemp("commands")
    files = {
        "fnctl.yaml": PROJECT, "script/server.pl": PERL, "node/server.js": NODE,
        "node/package.json": '{"scripts": {"start": "node server.js"}}', "gunicorn/app.py": WSGI,
        "gunicorn/requirements.txt": "gunicorn\n", "files/index.html": "a file\n", "native/.dockerignore": "*.c\n",
    }  # fmt: skip
    for name, text in files.items():
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(text)
    (source / "script/server.pl").chmod(0o755)
    compile_server(source / "native")
    with rig.desk(source) as desk, rig.running(desk, warm=2) as started:
        yield started
        started.audit()
        started.stop()


def compile_server(folder: Path) -> None:
    """A static binary; on a machine without a compiler, a script that becomes another program."""
    server = folder / "server"
    if shutil.which("gcc"):
        (folder / "server.c").write_text(C)
        subprocess.run(["gcc", "-static", "-o", server, folder / "server.c"], check=True, timeout=60)
        return
    server.write_text(f"#!/bin/sh\nexec perl -e '{PERL.replace(chr(39), chr(34))}'\n")
    server.chmod(0o755)


def served(running: Running, function: str) -> str:
    answer = running.call(function)
    assert answer.status == 200, answer.body
    return answer.body.decode()


def test_a_booted_agent_waits_for_any_of_them(running: Running) -> None:
    until(lambda: running.pool_full(running.status()), "the pool to be full")
    assert "start;desc=runtime" in running.call("script").headers["Server-Timing"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_resident_command_stays(running: Running, command: str) -> None:
    peer, first = served(running, command).split()
    assert peer.endswith("127.0.0.1")
    assert served(running, command).split()[1] == str(int(first) + 1)
    assert "start;desc=warm" in running.call(command).headers["Server-Timing"]


@pytest.mark.parametrize("command", COMMANDS)
def test_an_ephemeral_command_serves_once(running: Running, command: str) -> None:
    for _ in range(2):
        peer, count = served(running, f"{command}-once").split()
        assert (peer.endswith("127.0.0.1"), count) == (True, "1")


@pytest.mark.parametrize("function", ["files", "files-once"])
def test_a_server_of_http_1_0(running: Running, function: str) -> None:
    assert [served(running, function) for _ in range(3)] == ["a file\n"] * 3
    assert running.call(function, "/nosuch").status == 404


def test_its_output_is_the_functions_log(running: Running) -> None:
    served(running, "script")
    until(lambda: "perl serves" in [line.get("text") for line in running.desk.lines("script")], "its line")


@pytest.mark.parametrize(("function", "code"), [("script", "exit code 3"), ("script-once", "exit code 3")])
def test_a_crash_is_told_and_the_next_call_served(running: Running, function: str, code: str) -> None:
    crash = running.call(function, "/exit")
    assert (crash.status, crash.error["code"]) == (502, "crash")
    assert code in crash.error["message"]
    assert served(running, function).endswith(" 1")


@pytest.mark.parametrize(
    ("function", "status", "code", "says"),
    [
        ("missing", 502, "load", ("no program nosuch-program on the PATH",)),
        ("early", 502, "load", ("exit code 7 before it listened on port 3000", "the last word")),
        ("space", 502, "load", (" 100 ",)),
        ("elsewhere", 504, "load_timeout", ("port 3000 ($PORT)", "it listens on port 8123")),
    ],
)
def test_one_that_does_not_come_up_is_told_why(
    running: Running, function: str, status: int, code: str, says: tuple[str, ...]
) -> None:
    answer = running.call(function)
    assert (answer.status, answer.error["code"]) == (status, code)
    for words in says:
        assert words in answer.error["message"]


def test_a_shipped_command_serves_under_plain_docker_run(running: Running) -> None:
    built = running.desk.fnctl("build", "gunicorn", "-o", "json")
    assert built.returncode == 0, built.stderr
    image = built.stdout.split('"image": "')[1].split('"')[0]
    name = f"fnctl-test-{uuid.uuid4().hex[:12]}"
    docker("run", "-d", "--name", name, "--label", "dev.fnctl=1", "-p", "127.0.0.1::9000", "-e", "PORT=9000", image)
    try:
        status, body = Container(name).request("GET", "/")
        assert (status, body.split()[1]) == (200, b"1")
        assert Container(name).stop() == 0
    finally:
        docker("rm", "-f", name)
        docker("rmi", image, image.rpartition(":")[0] + ":latest")
