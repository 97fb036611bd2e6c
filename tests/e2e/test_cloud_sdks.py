"""Platforms' own SDKs, unmodified, in functions that have no network: AWS's for Node, Function Compute's for Python."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import pytest

from tests.faults import rig

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

FILES = {
    # No file asks for AWS's SDK, as on Lambda; nothing says where Lambda, SQS and Function Compute are.
    "fnctl.yaml": """
        functions:
          aws: {path: aws, runtime: node24, handler: index.handler, contract: lambda}
          target: {path: target, runtime: python3.13, handler: m.handler, contract: lambda}
          target-once: {path: target, runtime: python3.13, handler: m.handler, contract: lambda, model: ephemeral}
          fc: {path: fc, runtime: python3.13, handler: m.handler, contract: fc-event}
          fc-target: {path: target, runtime: python3.13, handler: m.raw, contract: fc-event}
        queues:
          orders: {}
    """,
    "aws/index.mjs": """
        import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda'
        import { DeleteMessageCommand, ReceiveMessageCommand, SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs'

        const functions = new LambdaClient(), queues = new SQSClient()
        const QueueUrl = `${process.env.AWS_ENDPOINT_URL_SQS}/000000000000/orders`

        async function invoke(FunctionName, said, more) {
          const asked = new InvokeCommand({ FunctionName, Payload: JSON.stringify(said), ...more })
          const { StatusCode: status, FunctionError: error, Payload, LogResult } = await functions.send(asked)
          const log = Buffer.from(LogResult ?? '', 'base64').toString()
          return { status, error, log, Payload: Payload?.length ? JSON.parse(Buffer.from(Payload)) : null }
        }

        export const handler = async ({ story, target }) => {
          if (story === 'tail') return invoke(target, { say: 'hello' }, { LogType: 'Tail' })
          if (story === 'fails') return invoke(target, { fail: true }, { LogType: 'Tail' })
          if (story === 'event') return invoke(target, {}, { InvocationType: 'Event' })
          if (story === 'nobody') return invoke('nobody', {}).catch((error) => error.name)
          await queues.send(new SendMessageCommand({ QueueUrl, MessageBody: 'an order' }))
          const { Messages: [message] } = await queues.send(new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 5 }))
          await queues.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle: message.ReceiptHandle }))
          return message.Body
        }
    """,
    "target/m.py": """
        import subprocess

        def handler(event, context):
            print("said:", event.get("say"))
            subprocess.run(["echo", "a child"])
            if event.get("fail"):
                raise ValueError("no such order")
            return {"heard": event.get("say")}

        def raw(event, context):
            print("raw:", event.decode())
            if event == b"fail":
                raise ValueError("no such order")
            return event.decode().upper()
    """,
    "fc/requirements.txt": "aliyun-fc2==2.5.2\n",
    "fc/m.py": """
        import base64, json
        import fc2

        def handler(event, context):
            where = f"http://{context.account_id}.{context.region}-internal.fc.aliyuncs.com"
            keys = context.credentials
            client = fc2.Client(
                endpoint=where, accessKeyID=keys.access_key_id, accessKeySecret=keys.access_key_secret
            )
            try:
                answer = client.invoke_function(
                    context.service.name, "fc-target", payload=event, headers={"x-fc-log-type": "Tail"}
                )
            except fc2.FcError as error:
                return json.dumps({"error": error.message})
            log = base64.b64decode(answer.headers["X-Fc-Log-Result"]).decode()
            return json.dumps({"data": answer.data.decode(), "log": log})
    """,
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rig.Running]:
    source = tmp_path_factory.mktemp("sdks")
    for name, text in FILES.items():
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(textwrap.dedent(text).lstrip())
    with rig.desk(source) as desk, rig.running(desk, warm=2) as running:
        yield running
        running.stop()


def aws(served: rig.Running, story: str, target: str = "target") -> object:
    body = f'{{"story": "{story}", "target": "{target}"}}'.encode()
    answer = served.call("aws", "/2015-03-31/functions/aws/invocations", method="POST", body=body)
    assert answer.status == 200, answer.body
    return answer.json


@pytest.mark.parametrize("target", ["target", "target-once"])
def test_a_call_s_answer_and_log_come_together(served: rig.Running, target: str) -> None:
    told = aws(served, "tail", target)
    assert isinstance(told, dict)
    assert (told["status"], told["Payload"]) == (200, {"heard": "hello"})
    assert "\nsaid: hello\n" in told["log"] and "START RequestId" in told["log"]


def test_a_failure_is_a_field_of_the_answer(served: rig.Running) -> None:
    told = aws(served, "fails")
    assert isinstance(told, dict)
    assert (told["status"], told["error"], told["Payload"]["errorType"]) == (200, "Unhandled", "ValueError")
    assert "no such order" in told["log"]


def test_a_call_for_later_and_a_function_that_is_not_there(served: rig.Running) -> None:
    told = aws(served, "event")
    assert isinstance(told, dict) and told["status"] == 202
    assert aws(served, "nobody") == "ResourceNotFoundException"


def test_a_message_through_a_queue(served: rig.Running) -> None:
    assert aws(served, "queue") == "an order"


def test_function_compute_s_sdk_finds_the_functions_by_account_and_region(served: rig.Running) -> None:
    told = served.call("fc", method="POST", body=b"hello").json
    assert told["data"] == "HELLO"
    assert "\nraw: hello\n" in told["log"]
    assert "no such order" in served.call("fc", method="POST", body=b"fail").json["error"]
