"""Run with `pytest`. A handler is a plain function: give it an event. What talks to the data service needs one:

DATA_URL=http://127.0.0.1:PORT pytest
"""

import os

import pytest
from ephemeral import todos

needs_data = pytest.mark.skipif("DATA_URL" not in os.environ, reason="DATA_URL names no data service")


def event(**rest):
    return {"query": {}, "params": {}, **rest}


def test_the_page_is_html():
    response = todos.page(event(), None)
    assert response["headers"]["content-type"].startswith("text/html")
    assert "<title>To do</title>" in response["body"]


@pytest.mark.parametrize("json", [None, "x", [], {}, {"title": " "}, {"title": 7}, {"title": "x", "done": "no"}])
def test_what_cannot_be_a_todo_is_refused_before_the_data_service_is_asked(json):
    assert todos.create(event(json=json), None)["statusCode"] == 400


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "101"}, {"offset": "-1"}, {"done": "maybe"}])
def test_a_wrong_page_is_refused(query):
    assert todos.list_todos(event(query=query), None)["statusCode"] == 400


def test_an_id_that_the_data_service_would_not_take_is_not_found():
    assert todos.get(event(params={"id": "../other"}), None)["statusCode"] == 404


@needs_data
def test_a_todo_is_added_completed_and_deleted():
    made = todos.create(event(json={"title": "Milk"}), None)
    assert made["statusCode"] == 201
    one = event(params={"id": made["body"]["id"]})
    assert todos.complete(one, None)["body"] == {**made["body"], "done": True}
    assert todos.get(one, None)["body"] == {**made["body"], "done": True}
    assert todos.remove(one, None)["statusCode"] == 204
    assert todos.get(one, None)["statusCode"] == 404
