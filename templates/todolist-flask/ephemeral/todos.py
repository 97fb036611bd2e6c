"""The same to-do list as single functions, one a control action.

Each invocation gets a fresh process, so nothing is kept in here: the todos are in the data service at DATA_URL. Only
Python's standard library, so that loading takes no time.
"""

import json
import os
import re
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

DATA_URL = os.environ.get("DATA_URL", "http://data")
DATA_TIMEOUT_S = 10
MAX_TITLE = 200
MAX_PAGE = 100
STORE = {"x-todo-store": "data service"}  # the page tells its reader
PAGE = Path(__file__).with_name("page.html")


class Refused(Exception):
    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class Missing(Exception):
    """The data service has no such record."""


def data(method, path, record=None):
    """One call to the data service: the JSON of its answer, and its headers."""
    connection = HTTPConnection(urlsplit(DATA_URL).netloc, timeout=DATA_TIMEOUT_S)
    try:
        body, headers = (None, {}) if record is None else (json.dumps(record), {"Content-Type": "application/json"})
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        text = response.read()
    except OSError as error:
        raise ConnectionError(f"data service at {DATA_URL}: {error}") from error
    finally:
        connection.close()
    if response.status == 404:
        raise Missing
    if response.status >= 300:
        raise RuntimeError(f"data service: {method} {path}: {response.status} {text.decode()}")
    return json.loads(text) if text else None, response.headers


def todo_of(record):
    return {key: record[key] for key in ("id", "title", "done", "created")}


def on_todo(event, method, record=None):
    """One call about the todo that the path names."""
    todo_id = event["params"]["id"]
    missing = Refused(404, "not_found", f"there is no todo {todo_id}")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}", todo_id):
        raise missing  # what the data service would not take as an id is nobody's
    try:
        answer, _ = data(method, f"/todos/{todo_id}", record)
    except Missing:
        raise missing from None
    return answer and todo_of(answer)


def whole_number(query, name, fallback, least, most):
    value = query.get(name)
    if value is None:
        return fallback
    if not re.fullmatch(r"[0-9]{1,9}", value) or not least <= int(value) <= most:
        raise Refused(400, "bad_request", f"{name} must be a whole number from {least} to {most}")
    return int(value)


def fields_of(event, *, required):
    """The fields of a todo that the event's body sets, checked."""
    body = event.get("json")
    if not isinstance(body, dict):
        raise Refused(400, "bad_request", "send a JSON object")
    fields = {}
    if "title" in body or required:
        title = body.get("title")
        title = title.strip() if isinstance(title, str) else ""
        if not 1 <= len(title) <= MAX_TITLE:
            raise Refused(400, "bad_request", f"title must be text of 1 to {MAX_TITLE} characters")
        fields["title"] = title
    if "done" in body:
        if not isinstance(body["done"], bool):
            raise Refused(400, "bad_request", "done must be true or false")
        fields["done"] = body["done"]
    if not fields:
        raise Refused(400, "bad_request", "give a title or done")
    return fields


def handler(action):
    """A handler out of an action. What it refuses becomes a response; any other error is a crash, and logged as one."""

    def handle(event, context):
        try:
            response = action(event)
        except Refused as refused:
            error = {"code": refused.code, "message": refused.message}
            response = {"statusCode": refused.status, "body": {"error": error}}
        return {**response, "headers": {**STORE, **response.get("headers", {})}}

    return handle


def page(event, context):
    return {"statusCode": 200, "headers": {"content-type": "text/html; charset=utf-8"}, "body": PAGE.read_text("utf-8")}


@handler
def list_todos(event):
    query = event["query"]
    limit = whole_number(query, "limit", 50, 1, MAX_PAGE)
    offset = whole_number(query, "offset", 0, 0, 10**9 - 1)
    done = query.get("done")
    if done not in (None, "true", "false"):
        raise Refused(400, "bad_request", "done must be true or false")
    records, headers = data("GET", f"/todos?_limit={limit}&_offset={offset}" + (f"&done={done}" if done else ""))
    items, total = [todo_of(record) for record in records], int(headers["X-Total-Count"])
    return {"statusCode": 200, "body": {"items": items, "total": total, "limit": limit, "offset": offset}}


@handler
def create(event):
    record, _ = data("POST", "/todos", {"done": False, **fields_of(event, required=True)})
    return {"statusCode": 201, "headers": {"location": f"todos/{record['id']}"}, "body": todo_of(record)}


@handler
def get(event):
    return {"statusCode": 200, "body": on_todo(event, "GET")}


@handler
def update(event):
    return {"statusCode": 200, "body": on_todo(event, "PATCH", fields_of(event, required=False))}


@handler
def complete(event):
    return {"statusCode": 200, "body": on_todo(event, "PATCH", {"done": True})}


@handler
def remove(event):
    on_todo(event, "DELETE")
    return {"statusCode": 204}
