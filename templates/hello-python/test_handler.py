"""Run with `pytest`. A handler is a plain function, so a test needs no platform: give it an event and a context."""

from types import SimpleNamespace

from handler import handler

CONTEXT = SimpleNamespace(id="test")


def test_greets_by_name():
    assert handler({"query": {"name": "Ada"}}, CONTEXT)["body"]["message"] == "Hello, Ada!"


def test_greets_the_world_when_nobody_is_named():
    response = handler({"query": {}}, CONTEXT)
    assert response["statusCode"] == 200
    assert response["body"] == {"message": "Hello, world!", "id": "test"}
