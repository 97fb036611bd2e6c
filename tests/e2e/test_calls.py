"""Functions that call functions, in every language and model, from sandboxes without a network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from tests.faults import rig
from tests.faults.rig import Answer, Running
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
  worded: {runtime: node24, handler: node.handler, calls: [queue/jobs, workflow/refund, event/paid]}
  hears: {runtime: node24, handler: data.handler, triggers: [{event: {}}]}
  lasts: {runtime: node24, handler: data.handler, contract: event, durable: true}
  me: {runtime: node24, handler: node.handler, concurrency: 1, scale: {max: 1}}
  impatient: {runtime: node24, handler: node.handler, timeout: 1s}
  circle: {runtime: node24, handler: circle.handler, scale: {max: 2}}
  outside: {runtime: node24, handler: node.handler, network: egress}
queues:
  jobs: {}
  others: {}
workflows:
  refund:
    document: {dsl: 1.0.0, namespace: calls, name: refund, version: 1.0.0}
    do: [{one: {call: data}}]
"""
NODE = """exports.handler = async (event) => {
  const {url, method, body, times = 1, ...headers} = event.query
  const answer = await fetch(url, {method, body: body && body.repeat(times), headers})
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
  console.log('called by ' + caller)
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


EVENT = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/bank", "ce-type": "paid", "body": "{}"}
SQS = {"content-type": "application/x-amz-json-1.0"}
URL = "http://fnctl.internal/_fnctl/sqs/000000000000/"
JOBS, OTHERS = json.dumps({"QueueUrl": f"{URL}jobs"}), json.dumps({"QueueUrl": f"{URL}others"})


def asked(served: Running, caller: str, path: str, *, method: str = "POST", **said: str) -> Answer:
    return served.call(caller, "/?" + urlencode({"url": f"http://fnctl.internal{path}", "method": method, **said}))


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/2015-03-31/functions/data/invocations", {"body": "{}"}),
        ("/_fnctl/aws/2015-03-31/functions/data/invocations", {"body": "{}"}),
        ("/_fnctl/aws/2015-03-31/functions/arn%3Aaws%3Alambda%3Ax%3A0%3Afunction%3Adata/invocations", {"body": "{}"}),
        ("/_fnctl/aws/2015-03-31/functions/lasts/invocations", {"body": "{}", "x-amz-invocation-type": "Event"}),
        ("/_fnctl/workflows/refund", {"body": "{}"}),
        ("/_fnctl/events", EVENT),
        ("/_fnctl/queues/jobs", {"body": "{}"}),
        ("/_fnctl/sqs", {**SQS, "x-amz-target": "AmazonSQS.ReceiveMessage", "body": JOBS}),
        ("/_fnctl/sqs", {**SQS, "x-amz-target": "AmazonSQS.PurgeQueue", "body": JOBS}),
        ("/_fnctl/sqs", {**SQS, "x-amz-target": "AmazonSQS.CreateQueue", "body": '{"QueueName": "mine"}'}),
    ],
)
def test_no_api_is_a_way_around_what_calls_forbids(served: Running, path: str, said: dict[str, str]) -> None:
    refused = asked(served, "silent", path, **said)
    assert (refused.status, b"silent is not allowed to" in refused.body) == (403, True), refused.body


def test_queues_workflows_and_events_are_allowed_by_their_words(served: Running) -> None:
    assert asked(served, "worded", "/_fnctl/queues/jobs", body="{}").status == 202
    assert asked(served, "worded", "/_fnctl/queues/others", body="{}").status == 403
    listed = asked(served, "worded", "/_fnctl/sqs", **SQS, **{"x-amz-target": "AmazonSQS.ListQueues"}, body="{}")
    assert [url.rpartition("/")[2] for url in listed.json["QueueUrls"]] == ["jobs"]
    other = asked(served, "worded", "/_fnctl/sqs", **SQS, **{"x-amz-target": "AmazonSQS.ReceiveMessage"}, body=OTHERS)
    assert (other.status, "AccessDenied" in other.json["__type"]) == (403, True)
    assert asked(served, "worded", "/_fnctl/workflows/refund", body="{}").status == 200
    assert [each["function"] for each in asked(served, "worded", "/_fnctl/events", **EVENT).json["calls"]] == ["hears"]
    assert asked(served, "worded", "/_fnctl/events", **{**EVENT, "ce-type": "refunded"}).status == 403


def test_who_published_an_event_is_told_whatever_it_says_of_its_source(served: Running) -> None:
    assert asked(served, "node", "/_fnctl/events", **{**EVENT, "ce-id": "2"}).status == 202

    def told() -> bool:
        return any(line.get("text") == "called by function/node" for line in served.desk.lines("hears"))

    until(told, "the subscriber to be told who published")


def test_a_request_that_nobody_thought_of_is_answered(served: Running) -> None:
    """A page that is no number; a payload of ten thousand brackets."""
    path = "/2025-12-01/functions/lasts/durable-executions?Marker=abc"
    assert asked(served, "node", path, method="GET").status == 400
    assert asked(served, "node", "/2015-03-31/functions/lasts/invocations", body="[", times="10000").status == 400
    strange = asked(served, "node", "/_fnctl/sqs", **SQS, **{"x-amz-target": "AmazonSQS.CreateQueue"},
        body='{"QueueName": "odd", "Attributes": [7]}')  # fmt: skip
    assert (strange.status, strange.error["code"]) == (500, "internal")


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
