"""What follows the end of a call that was made later: its outcome as a message for a function, a queue or a webhook.

It is put in the same step as the word on the call: there is one where the call has ended, and none where it goes on.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fnctl.clock import Clock
from fnctl.dispatch.invocation import Invocations
from fnctl.model import Contract, Destination, Function
from fnctl.store.port import Leased, Message, MessageState, Settlement
from fnctl.triggers.http.call import Answer, CallRequest
from fnctl.triggers.queue.batch import ACCOUNT, REGION
from fnctl.triggers.queue.hooks import hook_message
from fnctl.triggers.queue.letter import Letter
from fnctl.triggers.queue.named import NamedQueues
from fnctl.triggers.queue.records import packed, queue_of, read_outcome, unpacked
from fnctl.triggers.timer.events import stamp

_JSON = "application/json"


class Destinations:
    """(lane.Outcomes) On the event loop's thread."""

    def __init__(
        self,
        clock: Clock,
        invocations: Invocations,
        functions: Callable[[], Mapping[str, Function]],
        queues: NamedQueues,
        kick: Callable[[str], None],
    ) -> None:
        """`kick`: something was put into what the store knows by this name."""
        self._clock = clock
        self._invocations = invocations
        self._functions = functions
        self._queues = queues
        self._kick = kick

    def messages(self, function: Function, leased: Leased, answer: Answer, word: Settlement) -> tuple[Message, ...]:
        ended = {MessageState.DONE: "on_success", MessageState.DEAD: "on_failure"}.get(word.state)
        destination: Destination | None = getattr(function.deferred, ended) if ended is not None else None
        if destination is None or ended is None:
            return ()
        record = outcome_record(function, leased, answer, word)
        lines = _lines(function, leased, ended, word.at)
        body = json.dumps(record, ensure_ascii=False).encode("utf-8", "replace")
        if destination.function is not None:
            return self._to_function(destination.function, lines, body)
        if destination.queue is not None:
            return self._to_queue(destination.queue, body)
        id = self._invocations.next_id(word.at)
        return (hook_message(function, ended, id, body, word.at),)

    def kick(self, put: Iterable[Message]) -> None:
        for stored in {message.queue for message in put}:
            self._kick(stored)

    def _to_function(self, name: str, lines: Mapping[str, str], body: bytes) -> tuple[Message, ...]:
        function = self._functions().get(name)
        if function is None:  # it was there when the files were read
            return ()
        now = self._clock.now()
        api = {Contract.LAMBDA: "2015-03-31", Contract.FC3_HTTP: "2023-03-30"}.get(function.contract or Contract.WEB)
        path = f"/{api}/functions/{name}/invocations" if api else "/"
        fields = {"Host": f"{name}.localhost", "Content-Type": _JSON, **lines}
        headers = "".join(f"{key}: {value}\r\n" for key, value in fields.items()).encode()
        return (
            Message(
                id=self._invocations.next_id(now),
                queue=queue_of(name),
                body=packed(CallRequest(b"POST", path.encode(), headers, body)),
                due=now,
                accepted=now,
                expires=now + function.deferred.max_age_s,
            ),
        )

    def _to_queue(self, name: str, body: bytes) -> tuple[Message, ...]:
        rule = self._queues.rules.find(name)
        if rule is None:
            return ()
        return (self._queues.message(rule, Letter(body, _JSON, group="outcomes" if rule.fifo else None), moved=True),)


def _lines(function: Function, leased: Leased, ended: str, at: float) -> dict[str, str]:
    """The outcome as a CloudEvent in binary mode."""
    return {
        "Ce-Specversion": "1.0",
        "Ce-Id": leased.id,
        "Ce-Source": f"/functions/{function.name}",
        "Ce-Type": "dev.fnctl.call.succeeded" if ended == "on_success" else "dev.fnctl.call.failed",
        "Ce-Time": stamp(at),
    }


def outcome_record(function: Function, leased: Leased, answer: Answer, word: Settlement) -> dict[str, Any]:
    """The record that AWS Lambda sends to destinations."""
    said = read_outcome(word.result) or {}
    reason = str(said.get("reason", ""))
    conditions = {MessageState.DONE: "Success", MessageState.DEAD: "RetriesExhausted"}
    condition = "EventAgeExceeded" if "max_age" in reason else conditions[word.state]
    request = unpacked(leased.body)
    response: dict[str, Any] = {"statusCode": answer.status, "executedVersion": "$LATEST"}
    if answer.error is not None:
        response["functionError"] = "Unhandled"
        payload: Any = {"errorMessage": answer.error.message, "errorType": answer.error.code}
    else:
        payload = _payload(answer.body)
    return {
        "version": "1.0",
        "timestamp": stamp(word.at),
        "requestContext": {
            "requestId": leased.id,
            "functionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function.name}:$LATEST",
            "condition": condition,
            "approximateInvokeCount": leased.attempt,
        },
        "requestPayload": _payload(request.body),
        "responseContext": response,
        "responsePayload": payload,
    }


def _payload(body: bytes) -> Any:
    """JSON as what it says, other text as text, other bytes as base64; nothing as null."""
    if not body:
        return None
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return base64.b64encode(body).decode()
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
