"""One project with a Python function of every contract, in both process models, behind one `fnctl run`."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults import rig
from tests.faults.rig import Answer, Running
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]

JSON = {"Content-Type": "application/json"}
EVENT = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/tests", "ce-type": "made", **JSON}

FILES = {
    "requirements.txt": "functions-framework\nflask\ndjango\nfastapi\nuvicorn\naiohttp\n",
    "lambda_function.py": """
        import json, logging
        logger = logging.getLogger()
        logger.setLevel("INFO")

        def lambda_handler(event, context):
            logger.info("request %s", context.aws_request_id)
            body = {"path": event["rawPath"], "query": event.get("queryStringParameters")}
            return {"statusCode": 200, "headers": {"content-type": "application/json"}, "cookies": ["seen=1"],
                    "body": json.dumps(body)}

        def failing(event, context):
            raise ValueError("no luck")
        """,
    "fc.py": """
        made = []

        def initialize(context):
            made.append(context.region)

        def handler(event, context):
            return f"{made} got {event.decode()}"

        def http(environ, start_response):
            start_response("201 Created", [("Content-type", "text/plain")])
            return [environ["fc.context"].function.name.encode(), environ["fc.request_uri"].encode()]
        """,
    "google.py": """
        import functions_framework

        @functions_framework.http
        def hello(request):
            return f"Hello {request.args.get('name', 'World')}!"

        @functions_framework.cloud_event
        def happened(cloud_event):
            print(f"happened: {cloud_event.data['what']}")
        """,
    "handler.py": """
        def handle(event, context):
            return {"statusCode": 200, "body": {"got": event.body.decode()}}
        """,
    "whisk.py": """
        def main(params):
            return {"greeting": "Hello " + params["name"]}
        """,
    "events.py": """
        from cloudevents.http import CloudEvent

        def handler(event):
            return CloudEvent({"type": "answer", "source": "/f"}, {"seen": event.data})
        """,
    "web_flask.py": """
        from flask import Flask
        app = Flask(__name__)

        @app.get("/")
        def index():
            return "flask"

        if __name__ == "__main__":
            app.run()
        """,
    "web_fastapi.py": """
        from fastapi import FastAPI
        app = FastAPI()

        @app.get("/")
        def index():
            return "fastapi"
        """,
    "web_aiohttp.py": """
        from aiohttp import web

        async def index(request):
            return web.Response(text="aiohttp")

        app = web.Application()
        app.add_routes([web.get("/", index)])
        web.run_app(app, port=8080)
        """,
    "site1/__init__.py": "",
    "site1/settings.py": """
        SECRET_KEY = "x"
        ALLOWED_HOSTS = ["*"]
        ROOT_URLCONF = "site1.urls"
        """,
    "site1/urls.py": """
        from django.http import HttpResponse
        from django.urls import path
        urlpatterns = [path("", lambda request: HttpResponse("django"))]
        """,
    "site1/wsgi.py": """
        import os
        from django.core.wsgi import get_wsgi_application
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site1.settings")
        application = get_wsgi_application()
        """,
}
FUNCTIONS = {
    "lambda": "contract: lambda, handler: lambda_function.lambda_handler",
    "failing": "contract: lambda, handler: lambda_function.failing",
    "fc-event": "contract: fc-event, handler: fc.handler, initializer: fc.initialize",
    "fc-http": "contract: fc-http, handler: fc.http",
    "google-http": "contract: functions-framework-http, handler: google.hello",
    "google-event": "contract: functions-framework-cloudevent, handler: google.happened",
    "openfaas": "contract: openfaas, handler: handler.handle",
    "openwhisk": "contract: openwhisk, handler: whisk.main",
    "cloudevents": "contract: cloudevents, handler: events.handler",
    "flask": "contract: web, handler: web_flask.py",
    "fastapi": "contract: web, handler: web_fastapi.app",
    "django": "contract: web, handler: site1.wsgi.application",
    "aiohttp": "contract: web, handler: web_aiohttp.py",
}
MODELS = ("resident", "ephemeral")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    source = tmp_path_factory.mktemp("contracts")
    for name, text in FILES.items():
        place(source / name, textwrap.dedent(text))
    entries = [
        f"  {name}-{model}: {{runtime: python3.13, model: {model}, {entry}}}\n"
        for name, entry in FUNCTIONS.items()
        for model in MODELS
    ]
    place(source / "fnctl.yaml", "functions:\n" + "".join(entries))
    with rig.desk(source) as desk, rig.running(desk, warm=2) as running:
        yield running
        running.stop()


def place(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> str:
    named: str = request.param
    return named


def post(running: Running, function: str, body: Any, headers: dict[str, str] = JSON, path: str = "/") -> Answer:
    return running.call(function, path, method="POST", body=json.dumps(body).encode(), headers=headers)


def test_lambda(running: Running, model: str) -> None:
    answer = running.call(f"lambda-{model}", "/a?b=1")
    assert (answer.status, answer.headers["Set-Cookie"]) == (200, "seen=1")
    assert answer.json == {"path": "/a", "query": {"b": "1"}}
    said = until(lambda: [row for row in running.desk.lines(f"lambda-{model}") if row["kind"] != "receipt"], "a line")
    assert answer.id in said[0]["text"], "the request's id there is the invocation's here"
    failed = running.call(f"failing-{model}")
    assert (failed.status, failed.error["code"]) == (502, "crash")
    assert "ValueError: no luck" in failed.error["message"]


def test_function_compute(running: Running, model: str) -> None:
    assert post(running, f"fc-event-{model}", {"a": 1}).body == b"['local'] got {\"a\": 1}"
    answer = running.call(f"fc-http-{model}", "/x?y=z")
    assert (answer.status, answer.body) == (201, f"fc-http-{model}/x?y=z".encode())


def test_the_functions_framework(running: Running, model: str) -> None:
    assert running.call(f"google-http-{model}", "/?name=Ann").body == b"Hello Ann!"
    assert post(running, f"google-event-{model}", {"what": "rain"}, EVENT).status == 200
    name = f"google-event-{model}"
    until(lambda: any("happened: rain" in row.get("text", "") for row in running.desk.lines(name)), "the event's line")
    assert post(running, name, {"what": "rain"}).status == 400


def test_openfaas_and_openwhisk(running: Running, model: str) -> None:
    assert post(running, f"openfaas-{model}", 7).json == {"got": "7"}
    assert running.call(f"openwhisk-{model}", "/?name=Ann").json == {"greeting": "Hello Ann"}


def test_cloudevents(running: Running, model: str) -> None:
    answer = post(running, f"cloudevents-{model}", {"a": 1}, EVENT)
    assert (answer.headers["ce-type"], answer.json) == ("answer", {"seen": {"a": 1}})
    assert post(running, f"cloudevents-{model}", {"a": 1}).status == 400


@pytest.mark.parametrize("app", ["flask", "fastapi", "django", "aiohttp"])
def test_web_apps(running: Running, app: str, model: str) -> None:
    for _ in range(2):
        answer = running.call(f"{app}-{model}")
        assert (answer.status, answer.body.decode().strip('"')) == (200, app)
