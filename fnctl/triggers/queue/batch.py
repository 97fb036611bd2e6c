"""Messages of a named queue as one call of a function, and what its answer says of each. Pure."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from fnctl.model import Contract, Function, QueueTrigger
from fnctl.store.port import Leased
from fnctl.triggers.http.call import Answer, CallRequest
from fnctl.triggers.queue.letter import Letter, sequence
from fnctl.triggers.timer.events import stamp

ACCOUNT = "000000000000"
REGION = "us-east-1"


def arn(queue: str) -> str:
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"


def batch_request(
    function: Function, trigger: QueueTrigger, batch: Sequence[tuple[Leased, Letter]], id: str, now: float
) -> CallRequest:
    """`id`: of the call. Code for AWS Lambda gets SQS' event, all other code a CloudEvent whose data is the batch."""
    lines = {"Host": f"{function.name}.localhost", "Content-Type": "application/json"}
    if function.contract is Contract.LAMBDA:
        said: Mapping[str, Any] = {"Records": [_record(trigger.name, *each, now) for each in batch]}
        return _request(f"/2015-03-31/functions/{function.name}/invocations", lines, said)
    said = {"queue": trigger.name, "messages": [message(*each) for each in batch]}
    fc3 = function.contract is Contract.FC3_HTTP
    path = f"/2023-03-30/functions/{function.name}/invocations" if fc3 else trigger.path
    if function.contract not in (Contract.FC_EVENT, Contract.FC_HTTP, Contract.FC3_HTTP):
        lines |= {
            "Ce-Specversion": "1.0",
            "Ce-Id": id,
            "Ce-Source": f"/queues/{trigger.name}",
            "Ce-Type": "dev.fnctl.queue",
            "Ce-Time": stamp(now),
        }
    return _request(path, lines, said)


def _request(path: str, lines: Mapping[str, str], said: Mapping[str, Any]) -> CallRequest:
    headers = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return CallRequest(b"POST", path.encode(), headers.encode(), json.dumps(said, ensure_ascii=False).encode())


def message(leased: Leased, letter: Letter) -> dict[str, Any]:
    """A message as JSON. `body_base64` in place of `body` where it is not UTF-8."""
    said: dict[str, Any] = {"id": leased.id, **_text(letter.body)}
    if letter.content_type:
        said["content_type"] = letter.content_type
    said |= {"attempt": leased.attempt, "sent": stamp(leased.accepted)}
    if letter.group is not None:
        said["group"] = letter.group
    if letter.attributes:
        said["attributes"] = {name: dict(each) for name, each in letter.attributes.items()}
    if letter.origin is not None:
        said["origin"] = dict(zip(("queue", "id", "reason"), letter.origin, strict=True))
    return said


def _text(body: bytes) -> dict[str, str]:
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(body).decode()}


def _record(queue: str, leased: Leased, letter: Letter, now: float) -> dict[str, Any]:
    text = _text(letter.body)
    body = text.get("body", text.get("body_base64", ""))
    return {
        "messageId": leased.id,
        "receiptHandle": handle(queue, leased.id, leased.epoch),
        "body": body,
        "attributes": system_attributes(queue, leased, letter, now),
        "messageAttributes": {name: _attribute(each) for name, each in letter.attributes.items()},
        "md5OfBody": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": arn(queue),
        "awsRegion": REGION,
    }


def _attribute(each: Mapping[str, str]) -> dict[str, Any]:
    said: dict[str, Any] = {"stringListValues": [], "binaryListValues": [], "dataType": each["DataType"]}
    if "StringValue" in each:
        said["stringValue"] = each["StringValue"]
    if "BinaryValue" in each:
        said["binaryValue"] = each["BinaryValue"]
    return said


def system_attributes(queue: str, leased: Leased, letter: Letter, now: float) -> dict[str, str]:
    """What SQS itself says of a message that is received. Times in ms. The first receipt is known of the first one."""
    first = now if leased.attempt == 1 else leased.accepted
    said = {
        "SenderId": ACCOUNT,
        "SentTimestamp": str(round(leased.accepted * 1000)),
        "ApproximateReceiveCount": str(leased.attempt),
        "ApproximateFirstReceiveTimestamp": str(round(first * 1000)),
    }
    if letter.group is not None:
        said["MessageGroupId"] = letter.group
    if letter.dedup is not None:
        said["MessageDeduplicationId"] = letter.dedup
    if queue.endswith(".fifo"):
        said["SequenceNumber"] = sequence(leased.id)
    if letter.trace is not None:
        said["AWSTraceHeader"] = letter.trace
    if letter.origin is not None:
        said["DeadLetterQueueSourceArn"] = arn(letter.origin[0])
    return said


def handle(queue: str, id: str, epoch: int) -> str:
    """What whoever has received a message shows to delete it."""
    return base64.urlsafe_b64encode(f"{queue} {id} {epoch}".encode()).decode()


def read_handle(text: str) -> tuple[str, str, int] | None:
    """(queue, id, epoch); None where it is no handle."""
    try:
        queue, id, epoch = base64.urlsafe_b64decode(text.encode()).decode().split(" ")
        return (queue, id, int(epoch)) if len(epoch) < 10 else None
    except ValueError:
        return None


def failed_of(answer: Answer, ids: Sequence[str]) -> frozenset[str]:
    """The messages that a function did not get done, by the answer to their batch: {"batchItemFailures":
    [{"itemIdentifier": id}]}. None of them where it says nothing of the kind; all of them where it is not to be made
    out what it says, as AWS has it."""
    try:
        said = json.loads(answer.body) if answer.body else None
    except ValueError:
        return frozenset()
    items = said.get("batchItemFailures") if isinstance(said, dict) else None
    if not items:
        return frozenset()
    named = [each.get("itemIdentifier") if isinstance(each, dict) else None for each in items] if _list(items) else []
    if not named or not all(each in ids for each in named):
        return frozenset(ids)
    return frozenset(str(each) for each in named)


def _list(items: object) -> bool:
    return isinstance(items, list)
