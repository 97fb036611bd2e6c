"""Run with `pytest`, after `pip install -r requirements.txt pytest`. Flask's own test client; no server, no Docker."""

import pytest
from app import app


@pytest.fixture
def client():
    return app.test_client()


def test_a_todo_is_added_completed_and_deleted(client):
    response = client.post("/api/todos", json={"title": "  Milk "})
    made = response.get_json()
    assert response.status_code == 201
    assert (made["title"], made["done"]) == ("Milk", False)
    at = f"/api/todos/{made['id']}"
    assert client.post(f"{at}/complete").get_json() == {**made, "done": True}
    assert client.get(at).get_json() == {**made, "done": True}
    assert client.delete(at).status_code == 204
    assert client.get(at).status_code == 404


@pytest.mark.parametrize("body", [None, [], {}, {"title": " "}, {"title": 7}, {"title": "x" * 201}])
def test_a_title_is_needed(client, body):
    response = client.post("/api/todos", json=body)
    assert response.status_code == 400
    assert response.get_json()["error"]["code"] == "bad_request"


def test_the_page_is_served(client):
    response = client.get("/")
    assert response.status_code == 200
    assert b"<title>To do</title>" in response.data
    response.close()
