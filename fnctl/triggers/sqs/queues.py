"""What SQS does with queues themselves: make, find, list, describe, change, empty, delete."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fnctl.clock import Clock
from fnctl.config.kinds import QUEUE_PATTERN
from fnctl.model import Function, Queue
from fnctl.store.port import Counts, MessageState, Queues
from fnctl.triggers.http.deferral import BODY_BYTES
from fnctl.triggers.http.permission import check, may
from fnctl.triggers.queue.batch import ACCOUNT, arn
from fnctl.triggers.queue.letter import stored_as
from fnctl.triggers.queue.named import VISIBILITY_S, NamedQueues
from fnctl.triggers.sqs.aws_json import SqsError, invalid, number, text, wanted

PATH = "/_fnctl/sqs"
MOST_MADE = 1000  # queues by CreateQueue: their rules are held in memory
_WEEKS_S = 1_209_600
# What can be set of a queue and has no meaning here: nothing is encrypted or shared with other accounts.
_WITHOUT_EFFECT = frozenset(
    {
        "DeduplicationScope",
        "FifoThroughputLimit",
        "KmsDataKeyReusePeriodSeconds",
        "KmsMasterKeyId",
        "MaximumMessageSize",
        "Policy",
        "RedriveAllowPolicy",
        "SqsManagedSseEnabled",
    }
)


class QueueActions:
    """`host`: by which the client reached us; the URLs of queues have it. `caller`: the function that asks. Each raises
    Forbidden where it may not use a queue."""

    def __init__(
        self, named: NamedQueues, queues: Queues, clock: Clock, host: str, caller: Function | None = None
    ) -> None:
        self._named = named
        self._queues = queues
        self._clock = clock
        self._host = host
        self._caller = caller

    def rule(self, said: Mapping[str, Any]) -> Queue:
        """The queue of a request. Raises SqsError."""
        name = text(said, "QueueUrl").rstrip("/").rpartition("/")[2]
        return self._rule(name)

    def _rule(self, name: str) -> Queue:
        check(self._caller, f"queue/{name}", "use")
        rule = self._named.rules.find(name)
        if rule is None:
            raise SqsError("QueueDoesNotExist", "The specified queue does not exist.")
        return rule

    def _mine(self) -> dict[str, Queue]:
        """The queues that whoever asks may use."""
        return {name: rule for name, rule in self._named.rules.all().items() if may(self._caller, f"queue/{name}")}

    def _url(self, name: str) -> str:
        return f"http://{self._host}{PATH}/{ACCOUNT}/{name}"

    async def create_queue(self, said: Mapping[str, Any]) -> dict[str, Any]:
        name = text(said, "QueueName")
        if not re.fullmatch(QUEUE_PATTERN, name) or len(name) > 80:
            raise invalid("QueueName", "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80")
        check(self._caller, f"queue/{name}", "use")
        attributes = said.get("Attributes") or {}
        known = self._named.rules.find(name)
        if known is None:
            if len(self._named.rules.made) >= MOST_MADE:
                raise SqsError("OverLimit", f"There are {MOST_MADE} queues made by CreateQueue already.", status=403)
            made = self._changed(Queue(name, receives=None), attributes)
            await self._named.rules.make(made, self._clock.now())
        elif not self._named.rules.is_declared(name) and self._changed(known, attributes) != known:
            raise SqsError("QueueNameExists", "A queue already exists with the same name and a different value.")
        return {"QueueUrl": self._url(name)}

    async def get_queue_url(self, said: Mapping[str, Any]) -> dict[str, Any]:
        return {"QueueUrl": self._url(self._rule(text(said, "QueueName")).name)}

    async def list_queues(self, said: Mapping[str, Any]) -> dict[str, Any]:
        prefix, most = text(said, "QueueNamePrefix", ""), number(said, "MaxResults", 1, 1000, 1000)
        after = text(said, "NextToken", "")
        names = sorted(name for name in self._mine() if name.startswith(prefix) and name > after)
        found: dict[str, Any] = {"QueueUrls": [self._url(name) for name in names[:most]]}
        if most is not None and len(names) > most:
            found["NextToken"] = names[most - 1]
        return found

    async def list_dead_letter_source_queues(self, said: Mapping[str, Any]) -> dict[str, Any]:
        target = self.rule(said).name
        sources = [name for name, each in self._mine().items() if each.dead_letters == target]
        return {"queueUrls": [self._url(name) for name in sorted(sources)]}

    async def get_queue_attributes(self, said: Mapping[str, Any]) -> dict[str, Any]:
        rule = self.rule(said)
        counts = (await self._queues.counts()).get(stored_as(rule.name), Counts())
        delayed = await self._queues.delayed(stored_as(rule.name), self._clock.now())
        visibility_s = VISIBILITY_S if rule.visibility_s is None else rule.visibility_s
        known = {
            "QueueArn": arn(rule.name),
            "ApproximateNumberOfMessages": counts.waiting - delayed,
            "ApproximateNumberOfMessagesNotVisible": counts.running,
            "ApproximateNumberOfMessagesDelayed": delayed,
            "VisibilityTimeout": round(visibility_s),
            "MessageRetentionPeriod": round(rule.retention_s),
            "DelaySeconds": round(rule.delay_s),
            "MaximumMessageSize": BODY_BYTES,
            "ReceiveMessageWaitTimeSeconds": round(rule.wait_s),
        }
        if rule.dead_letters is not None:
            policy = {"deadLetterTargetArn": arn(rule.dead_letters), "maxReceiveCount": rule.receives}
            known["RedrivePolicy"] = json.dumps(policy)
        if rule.fifo:
            known |= {"FifoQueue": "true", "ContentBasedDeduplication": str(rule.content_dedup).lower()}
        return {"Attributes": {key: str(value) for key, value in wanted(said.get("AttributeNames"), known).items()}}

    async def set_queue_attributes(self, said: Mapping[str, Any]) -> dict[str, Any]:
        rule = self.rule(said)
        if self._named.rules.is_declared(rule.name):
            raise SqsError("UnsupportedOperation", f"The queue {rule.name} is declared in fnctl.yaml: change it there.")
        await self._named.rules.make(self._changed(rule, said.get("Attributes") or {}), self._clock.now())
        return {}

    async def purge_queue(self, said: Mapping[str, Any]) -> dict[str, Any]:
        await self._queues.purge(stored_as(self.rule(said).name), MessageState.WAITING, self._clock.now())
        return {}

    async def delete_queue(self, said: Mapping[str, Any]) -> dict[str, Any]:
        rule = self.rule(said)
        if self._named.rules.is_declared(rule.name):
            raise SqsError("UnsupportedOperation", f"The queue {rule.name} is declared in fnctl.yaml: remove it there.")
        await self.purge_queue(said)
        await self._named.rules.remove(rule.name, self._clock.now())
        return {}

    def _changed(self, rule: Queue, attributes: Mapping[str, Any]) -> Queue:
        """The queue with these attributes. Raises SqsError."""
        for key, value in attributes.items():
            if key == "VisibilityTimeout":
                rule = replace(rule, visibility_s=float(number(attributes, key, 0, 43_200) or 0))
            elif key == "MessageRetentionPeriod":
                rule = replace(rule, retention_s=float(number(attributes, key, 60, _WEEKS_S) or 60))
            elif key == "DelaySeconds":
                rule = replace(rule, delay_s=float(number(attributes, key, 0, 900) or 0))
            elif key == "ReceiveMessageWaitTimeSeconds":
                rule = replace(rule, wait_s=float(number(attributes, key, 0, 20) or 0))
            elif key == "RedrivePolicy":
                rule = self._redriven(rule, value)
            elif key == "ContentBasedDeduplication":
                rule = replace(rule, content_dedup=str(value).lower() == "true")
            elif key == "FifoQueue":
                if (str(value).lower() == "true") != rule.fifo:
                    raise invalid("FifoQueue", "The name of a FIFO queue ends in .fifo, and no other does")
            elif key not in _WITHOUT_EFFECT:
                raise SqsError("InvalidAttributeName", f"Unknown Attribute {key}.")
        return rule

    def _redriven(self, rule: Queue, policy: Any) -> Queue:
        if policy == "":
            return replace(rule, receives=None, dead_letters=None)
        try:
            said = json.loads(policy)
            target, receives = str(said["deadLetterTargetArn"]).rpartition(":")[2], int(said["maxReceiveCount"])
        except (ValueError, TypeError, KeyError) as error:
            raise invalid("RedrivePolicy", "Must be JSON with deadLetterTargetArn and maxReceiveCount") from error
        if not 1 <= receives <= 1000:
            raise invalid("RedrivePolicy", "maxReceiveCount must be between 1 and 1000")
        check(self._caller, f"queue/{target}", "use")
        if self._named.rules.find(target) is None or target == rule.name:
            raise invalid("RedrivePolicy", f"Dead letter target does not exist: {target}")
        return replace(rule, receives=receives, dead_letters=target)
