"""The to-do list behaves the same in both languages, in both process models, bare and served by fnctl."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True)
class Todolist:
    """A client. `*.localhost` is loopback by definition: not every resolver knows, so it is not asked."""

    url: str

    def call(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Answer:
        where = urlsplit(self.url)
        connection = http.client.HTTPConnection("127.0.0.1", where.port, timeout=60)
        payload = body.encode() if isinstance(body, str) else None if body is None else json.dumps(body).encode()
        headers = {"Host": where.netloc} | ({"Content-Type": kind} if payload is not None else {})
        try:
            connection.request(method, path, payload, headers)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read().decode())
        finally:
            connection.close()

    def add(self, title: str, **rest: Any) -> dict[str, Any]:
        answer = self.call("POST", "/api/todos", {"title": title, **rest})
        assert answer.status == 201, answer.text
        made: dict[str, Any] = answer.json
        return made

    def refusal(self, method: str, path: str, body: Any = None) -> tuple[int, str, bool]:
        """Status and code of an answer that is an error, and whether it says what is wrong."""
        answer = self.call(method, path, body)
        error = answer.json.get("error", {})
        return answer.status, error.get("code", ""), bool(error.get("message"))

    def all(self, query: str = "") -> dict[str, Any]:
        answer = self.call("GET", f"/api/todos{query}")
        assert answer.status == 200, answer.text
        page: dict[str, Any] = answer.json
        return page


@pytest.fixture
def todos(todolist_url: str) -> Iterator[Todolist]:
    """An empty list: the store is shared by the tests (and, on the data service, by both languages)."""
    client = Todolist(todolist_url)
    while items := client.all("?limit=100")["items"]:
        for item in items:
            assert client.call("DELETE", f"/api/todos/{item['id']}").status == 204
    yield client


def test_an_empty_list(todos: Todolist) -> None:
    assert todos.all() == {"items": [], "total": 0, "limit": 50, "offset": 0}


def test_a_todo_is_made_read_changed_completed_and_deleted(todos: Todolist) -> None:
    answer = todos.call("POST", "/api/todos", {"title": "  Milk & bread – ü 🥛 "})
    made = answer.json
    assert answer.status == 201
    assert answer.headers.get_content_type() == "application/json"
    assert answer.headers["Location"] == f"todos/{made['id']}"
    assert set(made) == {"id", "title", "done", "created"}
    assert (made["title"], made["done"]) == ("Milk & bread – ü 🥛", False)
    at = f"/api/todos/{made['id']}"
    assert todos.call("GET", at).json == made
    assert todos.call("PATCH", at, {"title": "Bread"}).json == {**made, "title": "Bread"}
    assert todos.call("PATCH", at, {"done": True}).json == {**made, "title": "Bread", "done": True}
    assert todos.call("PATCH", at, {"title": "Milk", "done": False}).json == {**made, "title": "Milk"}
    completed = todos.call("POST", f"{at}/complete")
    assert (completed.status, completed.json) == (200, {**made, "title": "Milk", "done": True})
    assert todos.call("POST", f"{at}/complete").json == completed.json
    assert todos.all()["items"] == [completed.json]
    deleted = todos.call("DELETE", at)
    assert (deleted.status, deleted.text) == (204, "")
    assert todos.all()["total"] == 0


def test_pages_and_filter(todos: Todolist) -> None:
    made = [todos.add(f"todo {n}", done=n % 2 == 0) for n in range(5)]
    assert todos.all()["items"] == made  # the oldest first
    assert todos.all("?limit=2") == {"items": made[:2], "total": 5, "limit": 2, "offset": 0}
    assert todos.all("?limit=2&offset=4") == {"items": made[4:], "total": 5, "limit": 2, "offset": 4}
    assert todos.all("?offset=9")["items"] == []
    assert todos.all("?done=true&limit=2") == {"items": [made[0], made[2]], "total": 3, "limit": 2, "offset": 0}
    assert todos.all("?done=false")["items"] == [made[1], made[3]]


BAD_QUERIES = ["limit=0", "limit=101", "limit=x", "limit=", "limit=-1", "offset=-1", "done=maybe"]
REFUSED = (400, "bad_request", True)


def test_a_wrong_query_is_refused(todos: Todolist) -> None:
    answers = {query: todos.refusal("GET", f"/api/todos?{query}") for query in BAD_QUERIES}
    assert answers == dict.fromkeys(answers, REFUSED)


BAD_TODOS: list[Any] = [
    None,
    "{",
    "null",
    [],
    "7",
    {},
    {"title": ""},
    {"title": " "},
    {"title": 7},
    {"title": "x" * 201},
]


def test_a_wrong_todo_is_refused(todos: Todolist) -> None:
    bodies = [*BAD_TODOS, {"done": True}, {"title": "x", "done": "yes"}]
    answers = {repr(body): todos.refusal("POST", "/api/todos", body) for body in bodies}
    assert answers == dict.fromkeys(answers, REFUSED)
    assert todos.all()["items"] == []  # if one was kept, its title or its place tells which


def test_a_wrong_change_is_refused(todos: Todolist) -> None:
    made = todos.add("as it was")
    bodies = [*BAD_TODOS, {"done": None}, {"other": 1}]
    answers = {repr(body): todos.refusal("PATCH", f"/api/todos/{made['id']}", body) for body in bodies}
    assert answers == dict.fromkeys(answers, REFUSED)
    assert todos.all()["items"] == [made]


def test_a_body_that_is_not_declared_json_is_refused(todos: Todolist) -> None:
    assert todos.call("POST", "/api/todos", '{"title": "x"}', kind="text/plain").status == 400


@pytest.mark.parametrize("todo", ["nothing", "0", "a.b", "%2e%2e", "x" * 300])
def test_a_todo_that_is_not_there(todos: Todolist, todo: str) -> None:
    calls = [("GET", "", None), ("PATCH", "", {"done": True}), ("DELETE", "", None), ("POST", "/complete", None)]
    for method, rest, body in calls:
        answer = todos.call(method, f"/api/todos/{todo}{rest}", body)
        assert answer.status in ((404, 405) if todo == "%2e%2e" else (404,)), (method, answer.text)
        assert answer.json["error"]["code"]


def test_a_path_that_is_not_there(todos: Todolist) -> None:
    answer = todos.call("GET", "/api/nothing")
    assert (answer.status, answer.json["error"]["code"]) == (404, "not_found")


def test_many_at_once_are_all_kept(todos: Todolist) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(todos.add, (f"todo {n}" for n in range(16))))
        list(pool.map(lambda todo: todos.call("POST", f"/api/todos/{todo['id']}/complete"), made[:8]))
    page = todos.all()
    assert {todo["id"] for todo in page["items"]} == {todo["id"] for todo in made}
    assert todos.all("?done=true")["total"] == 8


def test_the_page_needs_nothing_from_elsewhere(todos: Todolist) -> None:
    answer = todos.call("GET", "/")
    assert answer.status == 200
    assert answer.headers.get_content_type() == "text/html"
    assert "<title>To do</title>" in answer.text
    assert "http://" not in answer.text
    assert "https://" not in answer.text
    assert 'src="/' not in answer.text
    assert 'href="/' not in answer.text
