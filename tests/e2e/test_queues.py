"""Named queues, SQS, Lambda's Invoke and destinations as a user's code meets them, with boto3 inside a function."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.faults import rig
from tests.faults.rig import Desk, Running
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

FILE = """functions:
  cloud: {{path: cloud, runtime: python3.13, handler: cloud.handler, contract: lambda}}
  callee:
    runtime: python3.13
    handler: callee.handler
    contract: lambda
    async: {{retries: 0, on_success: {{queue: outcomes}}, on_failure: {{url: "{url}", secret: hook}}}}
  worker:
    runtime: node24
    handler: worker.handler
    triggers:
      - queue: {{name: jobs, batch: 5}}
queues:
  jobs: {{receives: 2, backoff: 10ms, dead_letters: lost}}
  lost: {{}}
  outcomes: {{}}
secrets:
  hook: {{file: ./hook.txt}}
"""
CLOUD = """import json

import boto3
from botocore.exceptions import ClientError


def handler(event, context):
    said = json.loads(event["body"]) if "body" in event else event
    if said["do"] == "queue":
        sqs = boto3.client("sqs")
        url = sqs.get_queue_url(QueueName="jobs")["QueueUrl"]
        return {"id": sqs.send_message(QueueUrl=url, MessageBody=said["body"])["MessageId"]}
    answer = boto3.client("lambda").invoke(
        FunctionName="callee", InvocationType=said["as"], Payload=json.dumps(said.get("payload", {}))
    )
    return {
        "status": answer["StatusCode"],
        "error": answer.get("FunctionError"),
        "payload": answer["Payload"].read().decode(),
    }
"""
CALLEE = """def handler(event, context):
    if event.get("wrong"):
        raise ValueError("it broke")
    return {"got": event}
"""
WORKER = """exports.handler = async (event) => {
  console.log(`worked on ${event.json.messages.map((each) => each.body).join(' ')}`)
  const bad = event.json.messages.filter((each) => each.body.includes('bad'))
  return {batchItemFailures: bad.map((each) => ({itemIdentifier: each.id}))}
}
"""


def vendor(folder: Path) -> None:
    """boto3 as it is installed here, beside the code: pure Python, with the models of two services."""
    for name in ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3"):
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        shutil.copytree(Path(spec.origin).parent, folder / name, ignore=_needless)
    six = find_spec("six")
    assert six is not None
    assert six.origin is not None
    shutil.copy(six.origin, folder)


def _needless(folder: str, names: list[str]) -> list[str]:
    models = [name for name in names if (Path(folder) / name).is_dir() and name not in ("lambda", "sqs")]
    return [*(models if Path(folder).parts[-2:] == ("botocore", "data") else ()), "__pycache__", "examples"]


class Hook(BaseHTTPRequestHandler):
    got: list[tuple[dict[str, str], bytes]]
    port: int

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture(scope="module")
def hook() -> Iterator[type[Hook]]:
    class made(Hook):
        pass

    made.got = []
    with ThreadingHTTPServer(("127.0.0.1", 0), made) as server:
        made.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield made
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, hook: Any) -> Iterator[Running]:
    source = tmp_path_factory.mktemp("queues") / "source"
    (source / "cloud").mkdir(parents=True)
    for name, text in (
        ("fnctl.yaml", FILE.format(url=f"http://127.0.0.1:{hook.port}/hook")),
        ("cloud/cloud.py", CLOUD),
        ("callee.py", CALLEE),
        ("worker.js", WORKER),
        ("hook.txt", "whsec_c2VjcmV0\n"),
    ):
        (source / name).write_text(text)
    vendor(source / "cloud")
    with rig.desk(source) as desk, rig.running(desk, warm=1) as running:
        yield running
        running.stop()


def row(desk: Desk, name: str) -> dict[str, Any]:
    ended = desk.fnctl("queue", "ls", "-o", "json")
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = next(each for each in json.loads(ended.stdout)["queues"] if each["name"] == name)
    assert found["drift"] == 0
    return found


def invoked(served: Running, **said: Any) -> Any:
    told = served.call("cloud", "/", method="POST", body=json.dumps(said).encode())
    assert told.status == 200, told.body
    return json.loads(told.body)


def test_messages_are_worked_on_in_batches_and_the_bad_ones_end_with_the_dead(served: Running) -> None:
    desk = served.desk
    for body in ("one", "bad"):
        sent = desk.fnctl("queue", "send", "jobs", "-d", body)
        assert sent.returncode == 0, sent.stderr
    until(lambda: row(desk, "lost")["waiting"] == 1, "the bad message among the dead")
    assert row(desk, "jobs")["dead"] == 1
    peeked = desk.fnctl("queue", "peek", "lost").stdout
    assert "batchItemFailures: bad" in peeked
    assert desk.fnctl("queue", "redrive", "lost").stderr.startswith("lost: 1 are waiting again")
    until(lambda: row(desk, "jobs")["dead"] == 2, "it dies again")
    assert desk.fnctl("queue", "purge", "lost", "--state", "waiting").returncode == 0
    wrong = desk.fnctl("queue", "send", "job", "-d", "x")
    assert (wrong.returncode, "did you mean `jobs`?" in wrong.stderr) == (2, True), wrong.stderr


def test_boto3_inside_a_function_sends_to_a_queue(served: Running) -> None:
    before = row(served.desk, "jobs")["done"]
    assert len(invoked(served, do="queue", body="from inside")["id"]) == 26
    until(lambda: row(served.desk, "jobs")["done"] == before + 1, "the message to be worked on")


def test_boto3_on_the_host_receives(served: Running) -> None:
    sqs = boto3.session.Session().client(
        "sqs",
        region_name="us-east-1",
        endpoint_url=f"http://127.0.0.1:{served.port}/_fnctl/sqs",
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )
    url = sqs.create_queue(QueueName="mine")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="hello")
    (got,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=got["ReceiptHandle"])
    assert (got["Body"], row(served.desk, "mine")["done"]) == ("hello", 1)


def test_boto3_inside_a_function_invokes_another(served: Running) -> None:
    good = invoked(served, do="invoke", payload={"a": 1}, **{"as": "RequestResponse"})
    assert (good["status"], good["error"], json.loads(good["payload"])) == (200, None, {"got": {"a": 1}})
    wrong = invoked(served, do="invoke", payload={"wrong": True}, **{"as": "RequestResponse"})
    assert (wrong["status"], wrong["error"]) == (200, "Unhandled")
    assert json.loads(wrong["payload"])["errorType"] == "ValueError"
    assert invoked(served, do="invoke", **{"as": "DryRun"})["status"] == 204


def test_outcomes_of_events_go_where_they_are_sent(served: Running, hook: Any) -> None:
    before = row(served.desk, "outcomes")["waiting"]
    assert invoked(served, do="invoke", payload={"a": 1}, **{"as": "Event"})["status"] == 202
    until(lambda: row(served.desk, "outcomes")["waiting"] == before + 1, "the outcome in its queue")
    assert invoked(served, do="invoke", payload={"wrong": True}, **{"as": "Event"})["status"] == 202
    until(lambda: hook.got, "the signed request")
    fields, body = hook.got[0]
    assert fields["webhook-signature"].startswith("v1,")
    assert json.loads(body)["requestContext"]["condition"] == "RetriesExhausted"
    assert json.loads(body)["requestPayload"] == {"wrong": True}
