"""The bus over a real gateway: events in each mode, to each function that asks for them, once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fnctl.model import EventTrigger, Function
from tests.contract.deferred_calls import Told, ask
from tests.contract.gateway_stage import HELLO, Seen, Stage, answering, app, play, talk

BINARY = {
    "Ce-Id": "7",
    "Ce-Source": "/shop",
    "Ce-Type": "order.paid",
    "Ce-Specversion": "1.0",
    "Ce-Amount": "120",
    "Ce-Note": "gr%C3%BCn",
    "Content-Type": "text/plain",
}
STRUCTURED = {
    "id": "8",
    "source": "/shop",
    "type": "order.paid",
    "specversion": "1.0",
    "express": True,
    "data": {"order": 7},
}


def asking(name: str, filter: str = "", path: str = "/") -> Function:
    return replace(app(name), triggers=(EventTrigger(filter, path),))


def test_a_page_of_another_site_publishes_nothing(tmp_path: Path) -> None:
    """What a browser sends for it without asking: a simple request, whose answer the page cannot read."""

    def post(path: str, site: str) -> bytes:
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nSec-Fetch-Site: {site}\r\n"
        return f"{head}Content-Length: 2\r\n\r\n{{}}".encode()

    async def scene(made: Stage) -> None:
        for path in ("/_fnctl/events", "/_fnctl/queues/jobs", "/_fnctl/sqs", "/_fnctl/workflows/w", "/_fnctl/aws/x"):
            refused = await talk(made, post(path, "cross-site"))
            assert refused.startswith(b"HTTP/1.1 403 "), (path, refused)
            own = await talk(made, post(path, "same-origin"))
            assert not own.startswith(b"HTTP/1.1 403 "), (path, own)

    play(tmp_path, scene, hosts=frozenset({b"127.0.0.1"}))


async def publish(made: Stage, fields: dict[str, str], body: bytes = b"data") -> Told:
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    head = f"POST /_fnctl/events HTTP/1.1\r\nHost: localhost\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
    return await ask(made, head.encode() + body, unix=True)


def called(told: Told) -> list[str]:
    assert told.status == 202, told.body
    return [each["function"] for each in told.json["calls"]]


def test_an_event_goes_to_those_who_ask_for_it_once(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        seen: dict[str, list[Seen]] = {"all": [], "dear": [], "other": []}
        await made.add(asking("all", path="/events"), answering(HELLO, seen["all"]))
        await made.add(asking("dear", "type = 'order.paid' AND INT(amount) > 100"), answering(HELLO, seen["dear"]))
        await made.add(asking("other", "type = 'order.shipped'"), answering(HELLO, seen["other"]))
        first = await publish(made, BINARY)
        assert called(first) == ["all", "dear"]
        assert (await publish(made, BINARY)).json == first.json  # the same source and id are the same event
        await made.deferred.rest()
        assert [len(requests) for requests in seen.values()] == [1, 1, 0]
        (request,) = seen["all"]
        assert request.line == b"POST /events HTTP/1.1"
        assert request.body == b"data"
        assert request.one(b"content-type") == b"text/plain"
        assert request.one(b"ce-type") == b"order.paid"
        assert request.one(b"ce-note") == b"gr%C3%BCn"

    play(tmp_path, scene)


def test_structured_events_and_batches_of_them_arrive_in_binary_mode(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        seen: list[Seen] = []
        await made.add(asking("app", "express = true"), answering(HELLO, seen))
        one = json.dumps(STRUCTURED).encode()
        assert called(await publish(made, {"Content-Type": "application/cloudevents+json"}, one)) == ["app"]
        batch = json.dumps(
            [{**STRUCTURED, "id": "9", "data_base64": "aGk=", "datacontenttype": "text/plain"} | {"data": None}]
        )
        batch = batch.replace('"data": null, ', "").replace(', "data": null', "")
        fields = {"Content-Type": "application/cloudevents-batch+json"}
        assert called(await publish(made, fields, batch.encode())) == ["app"]
        await made.deferred.rest()
        assert [json.loads(seen[0].body), seen[1].body] == [{"order": 7}, b"hi"]
        assert [request.one(b"content-type") for request in seen] == [b"application/json", b"text/plain"]
        assert [request.one(b"ce-express") for request in seen] == [b"true", b"true"]

    play(tmp_path, scene)


@pytest.mark.parametrize(
    ("fields", "body", "message"),
    [
        ({}, b"x", "the attribute `id` is missing"),
        ({**BINARY, "Ce-Specversion": "0.3"}, b"x", "specversion is `0.3`"),
        ({"Content-Type": "application/cloudevents+json"}, b"{", "its body is not JSON"),
        ({"Content-Type": "application/cloudevents+json"}, b"[" * 50_000, "its body is not JSON"),
        ({"Content-Type": "application/cloudevents+json"}, b"[]", "an event is a JSON object"),
        ({"Content-Type": "application/cloudevents-batch+json"}, b"{}", "a batch is a JSON array"),
        ({"Content-Type": "application/cloudevents+avro"}, b"x", "no format of events"),
        (
            {"Content-Type": "application/cloudevents+json"},
            json.dumps({**STRUCTURED, "Bad-Name": 1}).encode(),
            "`Bad-Name` is no name of an attribute",
        ),
        (
            {"Content-Type": "application/cloudevents+json"},
            json.dumps({**STRUCTURED, "list": [1]}).encode(),
            "the attribute `list` is neither text",
        ),
    ],
)
def test_what_is_no_event_is_refused(tmp_path: Path, fields: dict[str, str], body: bytes, message: str) -> None:
    async def scene(made: Stage) -> None:
        await made.add(asking("app"), answering(HELLO))
        told = await publish(made, fields, body)
        assert (told.status, told.json["error"]["code"]) == (400, "bad_event")
        assert message in told.json["error"]["message"]
        assert await made.store.queues.counts() == {}

    play(tmp_path, scene)


def test_an_event_that_nobody_asks_for_is_accepted(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        await made.add(app(), answering(HELLO))
        assert called(await publish(made, BINARY)) == []

    play(tmp_path, scene)


def test_only_post_publishes(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        await made.add(asking("app"), answering(HELLO))
        told = await ask(made, b"GET /_fnctl/events HTTP/1.1\r\nHost: localhost\r\n\r\n", unix=True)
        assert (told.status, told.headers["allow"]) == (405, "POST")

    play(tmp_path, scene)


def test_where_strangers_can_call_nobody_publishes(tmp_path: Path) -> None:
    """The stage's gateway answers for any host name, as one behind a proxy does."""

    async def scene(made: Stage) -> None:
        await made.add(asking("app"), answering(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"))
        head = b"POST /_fnctl/events HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
        told = await ask(made, head)
        assert told.status == 404  # it is the lone function's path, and its answer
        assert await made.store.queues.counts() == {}

    play(tmp_path, scene)
