"""The API of SQS as an unmodified boto3 speaks it, against a real gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from fnctl.model import Queue, QueueTrigger
from fnctl.triggers.http.call import NOW
from fnctl.triggers.queue.batch import handle
from fnctl.triggers.queue.letter import Letter
from fnctl.triggers.queue.receivers import Presence
from fnctl.triggers.sqs.aws_json import md5_of_attributes
from tests.contract.gateway_stage import HELLO, Seen, Stage, answering, app, play
from tests.support.turning import until

LOOPBACK = frozenset({b"127.0.0.1"})
Sqs = Any  # boto3 has no types of its own


def client(made: Stage) -> Sqs:
    return boto3.session.Session().client(
        "sqs",
        region_name="us-east-1",
        endpoint_url=f"http://127.0.0.1:{made.port}/_fnctl/sqs",
        aws_access_key_id="fnctl",
        aws_secret_access_key="fnctl",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=20, read_timeout=40),
    )


def talking(folder: Path, story: Callable[[Sqs], None], *queues: Queue) -> None:
    """`story` in a thread of its own, as boto3 blocks."""

    async def scene(made: Stage) -> None:
        made.queues += queues
        await asyncio.to_thread(lambda: story(client(made)))
        for counts in (await made.store.queues.counts()).values():
            assert counts.drift == 0

    play(folder, scene, hosts=LOOPBACK)


def numbers(sqs: Sqs, url: str) -> tuple[int, int, int]:
    said = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    kinds = ("", "NotVisible", "Delayed")
    waiting, running, delayed = (int(said[f"ApproximateNumberOfMessages{kind}"]) for kind in kinds)
    return waiting, running, delayed


def test_a_receipt_handle_that_is_made_up_reaches_no_other_queue(tmp_path: Path) -> None:
    def story(sqs: Sqs) -> None:
        mine, theirs = (sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("mine", "theirs"))
        sqs.send_message(QueueUrl=theirs, MessageBody="held")
        sqs.send_message(QueueUrl=theirs, MessageBody="waits", DelaySeconds=60)
        (held,) = sqs.receive_message(QueueUrl=theirs, VisibilityTimeout=60)["Messages"]
        made_up = handle("mine", held["MessageId"], 1)
        sqs.delete_message(QueueUrl=mine, ReceiptHandle=made_up)
        for visible_s in (0, 5):
            with pytest.raises(ClientError, match="MessageNotInflight"):
                sqs.change_message_visibility(QueueUrl=mine, ReceiptHandle=made_up, VisibilityTimeout=visible_s)
        assert numbers(sqs, theirs) == (0, 1, 1)
        with pytest.raises(ClientError, match="ReceiptHandleIsInvalid"):
            sqs.delete_message(QueueUrl=mine, ReceiptHandle=handle("mine", held["MessageId"], 10**30))

    talking(tmp_path, story)


def test_a_message_is_sent_received_and_deleted(tmp_path: Path) -> None:
    def story(sqs: Sqs) -> None:
        url = sqs.create_queue(QueueName="orders")["QueueUrl"]
        assert sqs.get_queue_url(QueueName="orders")["QueueUrl"] == url
        attributes: dict[str, dict[str, Any]] = {
            "color": {"DataType": "String", "StringValue": "grün"},
            "size": {"DataType": "Number.int", "StringValue": "7"},
            "raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
        }
        sent = sqs.send_message(QueueUrl=url, MessageBody="hällo", MessageAttributes=attributes)
        assert numbers(sqs, url) == (1, 0, 0)
        (got,) = sqs.receive_message(QueueUrl=url, AttributeNames=["All"], MessageAttributeNames=["All"])["Messages"]
        assert (got["MessageId"], got["Body"]) == (sent["MessageId"], "hällo")
        assert got["MessageAttributes"] == attributes
        assert got["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
        assert got["Attributes"]["ApproximateReceiveCount"] == "1"
        assert numbers(sqs, url) == (0, 1, 0)
        assert "Messages" not in sqs.receive_message(QueueUrl=url)
        sqs.delete_message(QueueUrl=url, ReceiptHandle=got["ReceiptHandle"])
        assert numbers(sqs, url) == (0, 0, 0)

    talking(tmp_path, story)


def test_the_checksum_of_attributes_is_that_of_aws() -> None:
    """The value that the developer guide's algorithm gives, computed by moto and ElasticMQ alike."""
    attributes = {"timestamp": {"DataType": "Number", "StringValue": "1493147359900"}}
    assert md5_of_attributes(attributes) == "235c5c510d26fb653d073faed50ae77c"


def test_batches_tell_of_each_entry(tmp_path: Path) -> None:
    def story(sqs: Sqs) -> None:
        url = sqs.create_queue(QueueName="orders")["QueueUrl"]
        entries: list[dict[str, Any]] = [{"Id": str(each), "MessageBody": f"m{each}"} for each in range(3)]
        entries.append({"Id": "wrong", "MessageBody": "x", "DelaySeconds": 1000})
        said = sqs.send_message_batch(QueueUrl=url, Entries=entries)
        assert [each["Id"] for each in said["Successful"]] == ["0", "1", "2"]
        assert [(each["Id"], each["Code"]) for each in said["Failed"]] == [("wrong", "InvalidParameterValue")]
        got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
        assert [each["Body"] for each in got] == ["m0", "m1", "m2"]
        longer: list[dict[str, Any]] = [
            {"Id": str(index), "ReceiptHandle": each["ReceiptHandle"], "VisibilityTimeout": 0}
            for index, each in enumerate(got)
        ]
        assert len(sqs.change_message_visibility_batch(QueueUrl=url, Entries=longer)["Successful"]) == 3
        again = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
        entries = [{"Id": str(index), "ReceiptHandle": each["ReceiptHandle"]} for index, each in enumerate(again)]
        entries.append({"Id": "wrong", "ReceiptHandle": "nonsense"})
        said = sqs.delete_message_batch(QueueUrl=url, Entries=entries)
        assert (len(said["Successful"]), said["Failed"][0]["Code"]) == (3, "ReceiptHandleIsInvalid")

    talking(tmp_path, story)


def test_queues_are_listed_changed_emptied_and_deleted(tmp_path: Path) -> None:
    def story(sqs: Sqs) -> None:
        url = sqs.create_queue(QueueName="b", Attributes={"VisibilityTimeout": "7", "DelaySeconds": "60"})["QueueUrl"]
        sqs.create_queue(QueueName="a")
        names = [each.rpartition("/")[2] for each in sqs.list_queues()["QueueUrls"]]
        assert names == ["a", "b", "declared"]
        assert len(sqs.list_queues(QueueNamePrefix="decl")["QueueUrls"]) == 1
        first = sqs.list_queues(MaxResults=2)
        assert len(sqs.list_queues(MaxResults=2, NextToken=first["NextToken"])["QueueUrls"]) == 1
        assert sqs.create_queue(QueueName="b")["QueueUrl"] == url
        with pytest.raises(sqs.exceptions.QueueNameExists):
            sqs.create_queue(QueueName="b", Attributes={"VisibilityTimeout": "8"})
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "9"})
        said = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout", "QueueArn"])["Attributes"]
        assert said == {"VisibilityTimeout": "9", "QueueArn": "arn:aws:sqs:us-east-1:000000000000:b"}
        sqs.send_message(QueueUrl=url, MessageBody="x")
        assert numbers(sqs, url) == (0, 0, 1)
        sqs.purge_queue(QueueUrl=url)
        assert numbers(sqs, url) == (0, 0, 0)
        sqs.delete_queue(QueueUrl=url)
        with pytest.raises(sqs.exceptions.QueueDoesNotExist):
            sqs.send_message(QueueUrl=url, MessageBody="x")
        declared = sqs.get_queue_url(QueueName="declared")["QueueUrl"]
        with pytest.raises(sqs.exceptions.UnsupportedOperation):
            sqs.delete_queue(QueueUrl=declared)

    talking(tmp_path, story, Queue("declared"))


WRONG: tuple[tuple[str, Callable[[Sqs, str], Any]], ...] = (
    ("AWS.SimpleQueueService.NonExistentQueue", lambda sqs, url: sqs.get_queue_url(QueueName="nobody")),
    ("InvalidParameterValue", lambda sqs, url: sqs.create_queue(QueueName="a b")),
    ("InvalidParameterValue", lambda sqs, url: sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=11)),
    ("InvalidAttributeName", lambda sqs, url: sqs.set_queue_attributes(QueueUrl=url, Attributes={"Nice": "1"})),
    ("ReceiptHandleIsInvalid", lambda sqs, url: sqs.delete_message(QueueUrl=url, ReceiptHandle="x")),
    ("AWS.SimpleQueueService.EmptyBatchRequest", lambda sqs, url: sqs.send_message_batch(QueueUrl=url, Entries=[])),
    ("AWS.SimpleQueueService.UnsupportedOperation", lambda sqs, url: sqs.tag_queue(QueueUrl=url, Tags={"a": "b"})),
)


def test_what_is_wrong_is_said_by_its_code(tmp_path: Path) -> None:
    def story(sqs: Sqs) -> None:
        url = sqs.create_queue(QueueName="orders")["QueueUrl"]
        for code, wrong in WRONG:
            with pytest.raises(ClientError) as caught:
                wrong(sqs, url)
            assert caught.value.response["Error"]["Code"] == code

    talking(tmp_path, story)


def test_fifo_keeps_groups_in_order_and_knows_a_message_by_its_word(tmp_path: Path) -> None:
    def story(sqs: Sqs) -> None:
        url = sqs.create_queue(QueueName="orders.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        sent = [
            sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId="g", MessageDeduplicationId=word)
            for body, word in (("1", "a"), ("1", "a"), ("2", "b"))
        ]
        assert sent[0]["MessageId"] == sent[1]["MessageId"] != sent[2]["MessageId"]
        assert int(sent[0]["SequenceNumber"]) < int(sent[2]["SequenceNumber"])
        (first,) = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"])["Messages"]
        assert (first["Body"], first["Attributes"]["MessageGroupId"]) == ("1", "g")
        assert "Messages" not in sqs.receive_message(QueueUrl=url)
        sqs.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
        (second,) = sqs.receive_message(QueueUrl=url)["Messages"]
        assert second["Body"] == "2"
        with pytest.raises(ClientError, match="MessageDeduplicationId"):
            sqs.send_message(QueueUrl=url, MessageBody="x", MessageGroupId="g")
        url = sqs.create_queue(
            QueueName="content.fifo", Attributes={"FifoQueue": "true", "ContentBasedDeduplication": "true"}
        )["QueueUrl"]
        ids = {sqs.send_message(QueueUrl=url, MessageBody="x", MessageGroupId="g")["MessageId"] for _ in range(2)}
        assert len(ids) == 1

    talking(tmp_path, story)


def test_the_dead_move_by_the_redrive_policy(tmp_path: Path) -> None:
    def story(sqs: Sqs) -> None:
        dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
        policy = {"deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:dead", "maxReceiveCount": 2}
        url = sqs.create_queue(QueueName="orders", Attributes={"RedrivePolicy": json.dumps(policy)})["QueueUrl"]
        assert sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [url]
        sqs.send_message(QueueUrl=url, MessageBody="poison")
        for _ in range(2):
            (got,) = sqs.receive_message(QueueUrl=url)["Messages"]
            sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=got["ReceiptHandle"], VisibilityTimeout=0)
        assert "Messages" not in sqs.receive_message(QueueUrl=url)
        (letter,) = sqs.receive_message(QueueUrl=dead, MessageSystemAttributeNames=["All"])["Messages"]
        assert letter["Body"] == "poison"
        assert letter["Attributes"]["DeadLetterQueueSourceArn"].endswith(":orders")

    talking(tmp_path, story)


def test_a_message_that_is_not_deleted_in_time_comes_again(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        made.queues.append(Queue("orders"))
        sqs = await asyncio.to_thread(client, made)
        url = f"http://127.0.0.1:{made.port}/_fnctl/sqs/000000000000/orders"

        async def receive(**said: Any) -> list[dict[str, Any]]:
            got = await asyncio.to_thread(lambda: sqs.receive_message(QueueUrl=url, **said))
            return list(got.get("Messages", []))

        await asyncio.to_thread(lambda: sqs.send_message(QueueUrl=url, MessageBody="x"))
        (first,) = await receive(VisibilityTimeout=60)
        longer = {"QueueUrl": url, "ReceiptHandle": first["ReceiptHandle"], "VisibilityTimeout": 600}
        await asyncio.to_thread(lambda: sqs.change_message_visibility(**longer))
        await made.clock.advance(599)
        assert await receive() == []
        await made.clock.advance(2)
        (again,) = await receive()
        assert again["MessageId"] == first["MessageId"]
        with pytest.raises(ClientError) as caught:
            await asyncio.to_thread(lambda: sqs.change_message_visibility(**longer))
        assert caught.value.response["Error"]["Code"] == "AWS.SimpleQueueService.MessageNotInflight"

    play(tmp_path, scene, hosts=LOOPBACK)


def test_a_long_poll_is_answered_by_the_message_it_waits_for(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        made.queues.append(Queue("orders"))
        sqs = await asyncio.to_thread(client, made)
        url = f"http://127.0.0.1:{made.port}/_fnctl/sqs/000000000000/orders"
        poll = asyncio.create_task(
            asyncio.to_thread(lambda: sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"])
        )
        await until(lambda: made.gateway.in_flight == 1)
        await asyncio.to_thread(lambda: client(made).send_message(QueueUrl=url, MessageBody="at last"))
        (got,) = await poll
        assert got["Body"] == "at last"

    play(tmp_path, scene, hosts=LOOPBACK)


def test_who_waits_for_a_message_is_woken_by_it(tmp_path: Path) -> None:
    """For longer than this test may take: nobody looks again in between."""

    async def scene(made: Stage) -> None:
        made.queues.append(Queue("orders"))
        named = made.deferred.named
        waiting = asyncio.create_task(named.receive("orders", 1, None, 3600.0, Presence()))
        await until(lambda: named.waiting("orders") == 1)
        await named.send("orders", [(Letter(b"at last"), NOW)])
        (got,) = await waiting
        assert got.letter.body == b"at last"

    play(tmp_path, scene)


def test_a_poll_whose_client_left_takes_no_message(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        made.queues.append(Queue("orders"))
        body = b'{"QueueUrl": "orders", "WaitTimeSeconds": 20}'
        head = b"POST /_fnctl/sqs HTTP/1.1\r\nHost: a\r\nX-Amz-Target: AmazonSQS.ReceiveMessage\r\n"
        _, writer = await asyncio.open_unix_connection(str(made.socket))
        writer.write(head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        await until(lambda: made.gateway.in_flight == 1)
        writer.close()
        await until(lambda: made.gateway.in_flight == 0)
        sqs = await asyncio.to_thread(client, made)
        url = f"http://127.0.0.1:{made.port}/_fnctl/sqs/000000000000/orders"
        await asyncio.to_thread(lambda: sqs.send_message(QueueUrl=url, MessageBody="x"))
        assert len((await asyncio.to_thread(lambda: sqs.receive_message(QueueUrl=url)))["Messages"]) == 1

    play(tmp_path, scene, hosts=LOOPBACK)


def test_what_boto3_sends_comes_to_a_function_too(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        made.queues.append(Queue("orders"))
        seen: list[Seen] = []
        await made.add(replace(app(), triggers=(QueueTrigger("orders"),)), answering(HELLO, seen))
        sqs = await asyncio.to_thread(client, made)
        url = f"http://127.0.0.1:{made.port}/_fnctl/sqs/000000000000/orders"
        attributes = {"color": {"DataType": "String", "StringValue": "red"}}
        await asyncio.to_thread(lambda: sqs.send_message(QueueUrl=url, MessageBody="x", MessageAttributes=attributes))
        await made.deferred.rest()
        (message,) = json.loads(seen[0].body)["messages"]
        assert (message["body"], message["attributes"]) == ("x", attributes)

    play(tmp_path, scene, hosts=LOOPBACK)
