"""One request of SQS' API: which action it asks for, and the answer or error in AWS' JSON protocol.

Requests come to `/_fnctl/sqs`, or to the URL of a queue below it; which does not matter. Signatures are not looked at.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from fnctl.clock import Clock
from fnctl.errors import FnctlError, Forbidden, QueueFull
from fnctl.model import Function
from fnctl.store.port import Queues
from fnctl.triggers.http.deferral import Reply
from fnctl.triggers.queue.named import NamedQueues
from fnctl.triggers.queue.receivers import Presence
from fnctl.triggers.queue.rules import NoQueue
from fnctl.triggers.sqs.aws_json import CONTENT_TYPE, SqsError, error_reply
from fnctl.triggers.sqs.messages import MessageActions
from fnctl.triggers.sqs.queues import PATH, QueueActions

__all__ = ["PATH", "SqsRequest"]

Action = Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]
_TARGET = "AmazonSQS."


class SqsRequest:
    """(deferral.Asking) `presence` ends a long poll whose client is gone."""

    def __init__(
        self,
        named: NamedQueues,
        clock: Clock,
        queues: Queues,
        host: bytes,
        fields: Sequence[tuple[str, str]],
        caller: Function | None = None,
    ) -> None:
        """`caller`: the function that asks; None: somebody outside."""
        self.presence = Presence()
        on_queues = QueueActions(named, queues, clock, host.decode("latin-1") or "localhost", caller)
        on_messages = MessageActions(named, on_queues, clock, self.presence)
        self._actions: dict[str, Action] = {
            "CreateQueue": on_queues.create_queue,
            "GetQueueUrl": on_queues.get_queue_url,
            "ListQueues": on_queues.list_queues,
            "ListDeadLetterSourceQueues": on_queues.list_dead_letter_source_queues,
            "GetQueueAttributes": on_queues.get_queue_attributes,
            "SetQueueAttributes": on_queues.set_queue_attributes,
            "PurgeQueue": on_queues.purge_queue,
            "DeleteQueue": on_queues.delete_queue,
            "SendMessage": on_messages.send_message,
            "SendMessageBatch": on_messages.send_message_batch,
            "ReceiveMessage": on_messages.receive_message,
            "DeleteMessage": on_messages.delete_message,
            "DeleteMessageBatch": on_messages.delete_message_batch,
            "ChangeMessageVisibility": on_messages.change_message_visibility,
            "ChangeMessageVisibilityBatch": on_messages.change_message_visibility_batch,
        }
        self._target = next((value for name, value in fields if name.lower() == "x-amz-target"), "")

    async def reply(self, body: bytes) -> Reply:
        try:
            said = await self._said(body)
        except SqsError as error:
            return Reply(*error_reply(error), "")
        except NoQueue as error:  # deleted while it was on its way
            return Reply(*error_reply(SqsError("QueueDoesNotExist", error.message)), "")
        except Forbidden as error:
            return Reply(*error_reply(SqsError("AccessDenied", error.message, status=403)), "")
        except QueueFull as error:
            return Reply(*error_reply(SqsError("RequestThrottled", error.message, status=429)), "")
        except FnctlError as error:
            return Reply(*error_reply(SqsError("ServiceUnavailable", error.message, status=503)), "")
        return Reply(200, f"Content-Type: {CONTENT_TYPE}\r\n".encode(), json.dumps(said).encode(), "")

    async def _said(self, body: bytes) -> dict[str, Any]:
        action = self._actions.get(self._target.removeprefix(_TARGET))
        if action is None or not self._target.startswith(_TARGET):
            known = ", ".join(self._actions)
            what = (
                f"the action {self._target}" if self._target else "a request without X-Amz-Target (the query protocol)"
            )
            raise SqsError("UnsupportedOperation", f"{what} is not supported here; there are {known}.")
        try:
            said = json.loads(body or b"{}")
        except (ValueError, RecursionError) as error:
            raise SqsError("SerializationException", f"The body is not JSON: {error}") from error
        if not isinstance(said, dict):
            raise SqsError("SerializationException", "The body is not a JSON object.")
        return await action(said)
