"""What SQS does with messages: send, receive, delete, and change how long they are nobody else's; one or a batch."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fnctl.clock import Clock
from fnctl.model import Queue
from fnctl.triggers.http.call import When
from fnctl.triggers.http.deferral import BODY_BYTES
from fnctl.triggers.queue.batch import handle, read_handle, system_attributes
from fnctl.triggers.queue.letter import Letter, sequence
from fnctl.triggers.queue.named import NamedQueues, Received
from fnctl.triggers.queue.receivers import Presence
from fnctl.triggers.sqs.aws_json import (
    SqsError,
    attributes_of,
    invalid,
    md5,
    md5_of_attributes,
    missing,
    number,
    text,
    wanted,
)
from fnctl.triggers.sqs.queues import QueueActions

BATCH = 10
LONGEST_S = 43_200  # of a visibility timeout
_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
Entry = dict[str, Any]


class MessageActions:
    """On the event loop's thread."""

    def __init__(self, named: NamedQueues, queues: QueueActions, clock: Clock, presence: Presence) -> None:
        self._named = named
        self._queues = queues
        self._clock = clock
        self._presence = presence

    async def send_message(self, said: Mapping[str, Any]) -> dict[str, Any]:
        rule = self._queues.rule(said)
        letter = _letter(rule, said)
        (id,) = await self._named.send(rule.name, [(letter, self._when(rule, said))])
        return _sent(rule, letter, id)

    async def send_message_batch(self, said: Mapping[str, Any]) -> dict[str, Any]:
        rule, entries = self._queues.rule(said), _entries(said)
        if sum(len(str(each.get("MessageBody", "")).encode()) for each in entries.values()) > BODY_BYTES:
            raise SqsError("BatchRequestTooLong", f"Batch requests cannot be longer than {BODY_BYTES} bytes.")

        async def one(entry: Entry) -> dict[str, Any]:
            letter = _letter(rule, entry)
            (id,) = await self._named.send(rule.name, [(letter, self._when(rule, entry))])
            return _sent(rule, letter, id)

        return await _each(entries, one)

    def _when(self, rule: Queue, said: Mapping[str, Any]) -> When:
        delay_s = number(said, "DelaySeconds", 0, 900)
        if delay_s is not None and rule.fifo:
            raise invalid("DelaySeconds", "The request include parameter that is not valid for this queue type")
        return When(None if delay_s is None else self._clock.now() + delay_s)

    async def receive_message(self, said: Mapping[str, Any]) -> dict[str, Any]:
        rule = self._queues.rule(said)
        most = number(said, "MaxNumberOfMessages", 1, BATCH, 1) or 1
        visibility_s = number(said, "VisibilityTimeout", 0, LONGEST_S)
        wait_s = number(said, "WaitTimeSeconds", 0, 20)
        found = await self._named.receive(
            rule.name, most, visibility_s, rule.wait_s if wait_s is None else wait_s, self._presence
        )
        system = [*(said.get("AttributeNames") or []), *(said.get("MessageSystemAttributeNames") or [])]
        attributes = said.get("MessageAttributeNames") or []
        now = self._clock.now()
        return {"Messages": [_received(rule.name, each, system, attributes, now) for each in found]} if found else {}

    async def delete_message(self, said: Mapping[str, Any]) -> dict[str, Any]:
        rule = self._queues.rule(said)
        id, epoch = _handle(rule.name, said)
        if (
            not await self._named.delete(rule.name, id, epoch)
            and rule.fifo
            and await self._named.is_open(rule.name, id)
        ):
            raise invalid("ReceiptHandle", "The receipt handle has expired")
        return {}

    async def delete_message_batch(self, said: Mapping[str, Any]) -> dict[str, Any]:
        url = text(said, "QueueUrl")
        return await _each(_entries(said), lambda entry: self.delete_message({**entry, "QueueUrl": url}))

    async def change_message_visibility(self, said: Mapping[str, Any]) -> dict[str, Any]:
        rule = self._queues.rule(said)
        id, epoch = _handle(rule.name, said)
        visible_s = number(said, "VisibilityTimeout", 0, LONGEST_S)
        if visible_s is None:
            raise missing("VisibilityTimeout")
        if not await self._named.change_visibility(rule.name, id, epoch, visible_s):
            raise SqsError("MessageNotInflight", "The message is not available for visibility timeout change.")
        return {}

    async def change_message_visibility_batch(self, said: Mapping[str, Any]) -> dict[str, Any]:
        url = text(said, "QueueUrl")
        return await _each(_entries(said), lambda entry: self.change_message_visibility({**entry, "QueueUrl": url}))


def _letter(rule: Queue, said: Mapping[str, Any]) -> Letter:
    """The message of a request. Raises SqsError."""
    body = text(said, "MessageBody").encode("utf-8", "surrogatepass")
    if not body:
        raise missing("MessageBody")
    if len(body) > BODY_BYTES:
        raise invalid(
            "MessageBody", f"One or more parameters are invalid. Message must be shorter than {BODY_BYTES} bytes"
        )
    group, dedup = said.get("MessageGroupId"), said.get("MessageDeduplicationId")
    if rule.fifo and group is None:
        raise missing("MessageGroupId")
    if rule.fifo and dedup is None and not rule.content_dedup:
        why = "The queue should have ContentBasedDeduplication enabled, or MessageDeduplicationId must be provided"
        raise SqsError("InvalidParameterValue", why)
    if not rule.fifo and dedup is not None:
        raise invalid("MessageDeduplicationId", "The request include parameter that is not valid for this queue type")
    system = attributes_of(said, "MessageSystemAttributes")
    return Letter(
        body=body,
        attributes=attributes_of(said, "MessageAttributes"),
        group=None if group is None else text(said, "MessageGroupId"),
        dedup=None if dedup is None else text(said, "MessageDeduplicationId"),
        trace=system.get("AWSTraceHeader", {}).get("StringValue"),
    )


def _sent(rule: Queue, letter: Letter, id: str) -> dict[str, Any]:
    said = {"MessageId": id, "MD5OfMessageBody": md5(letter.body)}
    if letter.attributes:
        said["MD5OfMessageAttributes"] = md5_of_attributes(letter.attributes)
    if letter.trace is not None:
        header = {"AWSTraceHeader": {"DataType": "String", "StringValue": letter.trace}}
        said["MD5OfMessageSystemAttributes"] = md5_of_attributes(header)
    if rule.fifo:
        said["SequenceNumber"] = sequence(id)
    return said


def _received(queue: str, each: Received, system: list[Any], attributes: list[Any], now: float) -> dict[str, Any]:
    leased, letter = each.leased, each.letter
    said: dict[str, Any] = {
        "MessageId": leased.id,
        "ReceiptHandle": handle(queue, leased.id, leased.epoch),
        "MD5OfBody": md5(letter.body),
        "Body": letter.body.decode("utf-8", "replace"),
    }
    if told := wanted(system, system_attributes(queue, leased, letter, now)):
        said["Attributes"] = told
    if chosen := wanted(attributes, letter.attributes):
        said |= {"MessageAttributes": chosen, "MD5OfMessageAttributes": md5_of_attributes(chosen)}
    return said


def _handle(queue: str, said: Mapping[str, Any]) -> tuple[str, int]:
    found = read_handle(text(said, "ReceiptHandle"))
    if found is None or found[0] != queue:
        raise SqsError("ReceiptHandleIsInvalid", "The input receipt handle is invalid.")
    return found[1], found[2]


def _entries(said: Mapping[str, Any]) -> dict[str, Entry]:
    """The entries of a batch by their ids. Raises SqsError."""
    given = said.get("Entries")
    if not isinstance(given, list) or not given or not all(isinstance(each, dict) for each in given):
        raise SqsError("EmptyBatchRequest", "There should be at least one entry in the request.")
    if len(given) > BATCH:
        raise SqsError("TooManyEntriesInBatchRequest", f"Maximum number of entries per request are {BATCH}.")
    ids = [str(each.get("Id", "")) for each in given]
    if not all(_ID.fullmatch(id) for id in ids):
        raise SqsError(
            "InvalidBatchEntryId", "A batch entry id can only contain letters, digits, hyphens, underscores."
        )
    if len(set(ids)) < len(ids):
        raise SqsError("BatchEntryIdsNotDistinct", "Two or more batch entries in the request have the same Id.")
    return dict(zip(ids, given, strict=True))


async def _each(entries: Mapping[str, Entry], one: Callable[[Entry], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """Each entry for itself, in order: what is wrong with one is no other's fault."""
    successful, failed = [], []
    for id, entry in entries.items():
        try:
            successful.append({"Id": id, **await one(entry)})
        except SqsError as error:
            failed.append({"Id": id, "SenderFault": True, "Code": error.kind, "Message": error.message})
    return {"Successful": successful, **({"Failed": failed} if failed else {})}
