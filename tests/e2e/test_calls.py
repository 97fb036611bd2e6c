"""Functions that call functions, in every language and model, from sandboxes without a network."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults import rig
from tests.faults.rig import Running
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

FILE = """functions:
  node: {runtime: node24, handler: node.handler}
  python: {runtime: python3.13, handler: main.handler, model: ephemeral}
  php: {runtime: php8.4, handler: call.php}
  shell: {command: [perl, call.pl]}
  data: {runtime: node24, handler: data.handler, concurrency: 1, timeout: 20s}
  keyed: {runtime: node24, handler: data.handler, auth: key}
  shut: {runtime: node24, handler: node.handler, calls: [data]}
  silent: {runtime: node24, handler: node.handler, calls: []}
  me: {runtime: node24, handler: node.handler, concurrency: 1, scale: {max: 1}}
  impatient: {runtime: node24, handler: node.handler, timeout: 1s}
  circle: {runtime: node24, handler: circle.handler, scale: {max: 2}}
  outside: {runtime: node24, handler: node.handler, network: egress}
"""
NODE = """exports.handler = async (event) => {
  const answer = await fetch(event.query.url)
  return {statusCode: answer.status, body: await answer.text()}
}
"""
CIRCLE = """exports.handler = async () => {
  const answer = await fetch(process.env.FNCTL_URL + '/circle/')
  return {statusCode: answer.status, body: await answer.text()}
}
"""
PYTHON = """import urllib.request


def handler(event, context):
    with urllib.request.urlopen(event["query"]["url"]) as answer:
        return {"statusCode": answer.status, "body": answer.read().decode()}
"""
PHP = """<?php echo file_get_contents($_GET['url']);
"""
PERL = r"""use IO::Socket::INET;
my $server = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $ENV{PORT}, Listen => 5) or die $!;
while (my $client = $server->accept) {
  my $line = <$client>;
  while (<$client> =~ /\\S/) {}
  my $called = IO::Socket::INET->new('data.fnctl.internal:80') or die $!;
  print $called "GET /perl HTTP/1.0\\r\\nHost: data.fnctl.internal\\r\\n\\r\\n";
  my $body = join '', <$called>;
  $body =~ s/.*?\\r\\n\\r\\n//s;
  print $client "HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: " . length($body) . "\\r\\n\\r\\n$body";
  close $client;
}
"""
DATA = """exports.handler = async (event) => {
  if (event.path === '/slow') await new Promise((done) => setTimeout(done, 15000))
  const {'x-fnctl-caller': caller, 'x-fnctl-parent-id': parent, traceparent} = event.headers
  return {caller, parent, traceparent, path: event.path, left: process.env.FNCTL_URL}
}
"""
SOURCES = {
    "fnctl.yaml": FILE,
    "node.js": NODE,
    "circle.js": CIRCLE,
    "main.py": PYTHON,
    "call.php": PHP,
    "call.pl": PERL,
    "data.js": DATA,
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    source = tmp_path_factory.mktemp("calls") / "source"
    source.mkdir()
    for name, text in SOURCES.items():
        (source / name).write_text(text.replace("\\\\", "\\") if name.endswith(".pl") else text)
    with rig.desk(source) as desk, rig.running(desk, warm=2) as running:
        yield running
        running.stop()


@pytest.mark.parametrize("caller", ["node", "python", "php", "shell", "outside"])
def test_a_function_calls_another_by_its_name(served: Running, caller: str) -> None:
    told = served.call(caller, "/?url=http://data.fnctl.internal/items?page=2")
    assert told.status == 200, told.body
    assert told.json["caller"] == f"function/{caller}"
    assert told.json["path"] == ("/perl" if caller == "shell" else "/items")
    assert told.json["parent"] == told.id
    assert told.json["traceparent"].startswith("00-")

    def receipt() -> bool:
        return any(line.get("parent") == told.id for line in served.desk.lines("data"))

    until(receipt, "the called function's receipt, which names its caller's")


@pytest.mark.parametrize(
    "address", ["http://fnctl.internal/data/items", "http://fnctl.internal/2015-03-31/functions/data/invocations"]
)
def test_there_are_other_ways_to_say_whom(served: Running, address: str) -> None:
    told = served.call("node", f"/?url={address}")
    assert (told.status, told.json["caller"]) == (200, "function/node")


def test_a_function_of_the_project_needs_no_key(served: Running) -> None:
    assert served.call("keyed").status == 401
    assert served.call("node", "/?url=http://keyed.fnctl.internal/").status == 200


def test_calls_can_be_restricted_and_forbidden(served: Running) -> None:
    assert served.call("shut", "/?url=http://data.fnctl.internal/").status == 200
    refused = served.call("shut", "/?url=http://keyed.fnctl.internal/")
    assert (refused.status, refused.error["code"]) == (403, "forbidden")
    assert "shut is not allowed to call keyed" in refused.error["message"]
    assert served.call("silent", "/?url=http://fnctl.internal/data/").status == 403
    unknown = served.call("node", "/?url=http://fnctl.internal/2015-03-31/functions/nobody/invocations")
    assert (unknown.status, unknown.error["code"]) == (404, "not_found")


def test_a_function_that_would_wait_for_itself_is_told_so_at_once(served: Running) -> None:
    told = served.call("me", "/?url=http://me.fnctl.internal/")
    assert (told.status, told.error["code"]) == (508, "call_loop")
    assert "me → me holds its only instance" in told.error["message"]


def test_a_circle_of_calls_is_cut(served: Running) -> None:
    """Its instance serves many at once, so that only how deep a call stands is known."""
    told = served.call("circle")
    assert (told.status, told.error["code"]) == (508, "call_loop")


def test_a_callee_has_no_more_time_than_its_caller(served: Running) -> None:
    told = served.call("impatient", "/?url=http://data.fnctl.internal/slow")
    assert told.status == 504

    def cut() -> bool:
        return any(line.get("parent") == told.id and line["status"] != 200 for line in served.desk.lines("data"))

    until(cut, "the callee to be cut off with its caller")


def test_the_results_of_deferred_calls_are_not_there_for_functions(served: Running) -> None:
    """Who runs the service may see them all; a function needs the address of each."""
    path = "/_fnctl/invocations/" + "0" * 26
    told = served.call("node", f"/?url=http://fnctl.internal{path}")
    assert (told.status, told.error["message"]) == (404, "no asynchronous call at this address")
