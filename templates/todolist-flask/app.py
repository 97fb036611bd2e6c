"""A to-do list: an ordinary Flask app, which also runs as it is with `python app.py`. It knows nothing of fnctl."""

import os
import re
import threading
import uuid
from datetime import UTC, datetime
from pathlib import Path

from flask import Flask, abort, request, send_file
from werkzeug.exceptions import HTTPException

MAX_TITLE = 200
MAX_PAGE = 100
PAGE = Path(__file__).with_name("page.html")

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 16 * 1024
app.json.sort_keys = False

# In memory on purpose: see README.md for what becomes of it when the process ends.
todos = {}
changing = threading.Lock()  # the server may answer several requests at a time


def whole_number(name, fallback, least, most):
    value = request.args.get(name)
    if value is None:
        return fallback
    if not re.fullmatch(r"[0-9]{1,9}", value) or not least <= int(value) <= most:
        abort(400, f"{name} must be a whole number from {least} to {most}")
    return int(value)


def done_filter():
    value = request.args.get("done")
    if value not in (None, "true", "false"):
        abort(400, "done must be true or false")
    return None if value is None else value == "true"


def fields_of_body(*, required):
    """The fields of a todo that the body sets, checked."""
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        abort(400, "send a JSON object")
    fields = {}
    if "title" in body or required:
        title = body.get("title")
        title = title.strip() if isinstance(title, str) else ""
        if not 1 <= len(title) <= MAX_TITLE:
            abort(400, f"title must be text of 1 to {MAX_TITLE} characters")
        fields["title"] = title
    if "done" in body:
        if not isinstance(body["done"], bool):
            abort(400, "done must be true or false")
        fields["done"] = body["done"]
    if not fields:
        abort(400, "give a title or done")
    return fields


def find(todo_id):
    return todos.get(todo_id) or abort(404, f"there is no todo {todo_id}")


@app.get("/")
def page():
    return send_file(PAGE)


@app.get("/api/todos")
def list_todos():
    limit = whole_number("limit", 50, 1, MAX_PAGE)
    offset = whole_number("offset", 0, 0, 10**9 - 1)
    done = done_filter()
    with changing:
        found = [todo for todo in todos.values() if done is None or todo["done"] == done]
    return {"items": found[offset : offset + limit], "total": len(found), "limit": limit, "offset": offset}


@app.post("/api/todos")
def create():
    fields = fields_of_body(required=True)
    todo = {"id": str(uuid.uuid4()), "title": "", "done": False, **fields, "created": datetime.now(UTC).isoformat()}
    with changing:
        todos[todo["id"]] = todo
    return todo, 201, {"Location": f"todos/{todo['id']}"}


@app.get("/api/todos/<todo_id>")
def get(todo_id):
    return find(todo_id)


@app.patch("/api/todos/<todo_id>")
def update(todo_id):
    fields = fields_of_body(required=False)
    with changing:
        todo = todos[todo_id] = {**find(todo_id), **fields}
    return todo


@app.post("/api/todos/<todo_id>/complete")
def complete(todo_id):
    with changing:
        todo = todos[todo_id] = {**find(todo_id), "done": True}
    return todo


@app.delete("/api/todos/<todo_id>")
def delete(todo_id):
    with changing:
        find(todo_id)
        del todos[todo_id]
    return "", 204


@app.errorhandler(HTTPException)
def refused(error):
    code = {404: "not_found", 500: "internal"}.get(error.code, "bad_request")
    return {"error": {"code": code, "message": error.description}}, error.code


@app.after_request
def tell_the_store(response):
    if request.path.startswith("/api/"):
        response.headers["X-Todo-Store"] = "memory"  # the page tells its reader
    return response


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "5000")))
