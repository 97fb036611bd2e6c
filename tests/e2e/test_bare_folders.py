"""Apps as they are: folders with an app and nothing of fnctl in them, served by `fnctl run` alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import rig

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

EXPRESS = {
    "package.json": '{"main": "index.js", "dependencies": {"express": "5.3.0"}}',
    "index.js": "const app = require('express')()\n"
    "app.get('/hello/:name', (req, res) => res.send(`Hello, ${req.params.name}!`))\n"
    "app.listen(process.env.PORT || 3000)\n",
}
FLASK = {
    "requirements.txt": "flask==3.1.*\n",
    "app.py": "from flask import Flask\napp = Flask(__name__)\n\n"
    "@app.get('/hello/<name>')\ndef hello(name):\n    return f'Hello, {name}!'\n",
}
FASTAPI = {
    "requirements.txt": "fastapi>=0.115\n",
    "main.py": "from fastapi import FastAPI\nfrom fastapi.responses import PlainTextResponse\napp = FastAPI()\n\n"
    "@app.get('/hello/{name}', response_class=PlainTextResponse)\nasync def hello(name: str):\n"
    "    return f'Hello, {name}!'\n",
}
DJANGO = {
    "requirements.txt": "django==5.2.*\n",
    "manage.py": "import os\nimport sys\n\nif __name__ == '__main__':\n"
    "    os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\n"
    "    from django.core.management import execute_from_command_line\n"
    "    execute_from_command_line(sys.argv)\n",
    "shop/__init__.py": "",
    "shop/settings.py": "SECRET_KEY = 'for a test'\nDEBUG = True\nROOT_URLCONF = 'shop.urls'\n"
    "ALLOWED_HOSTS = ['*']\nSTATIC_URL = '/static/'\n"
    "INSTALLED_APPS = ['django.contrib.admin', 'django.contrib.auth', 'django.contrib.contenttypes',\n"
    "  'django.contrib.messages', 'django.contrib.sessions', 'django.contrib.staticfiles']\n"
    "WSGI_APPLICATION = 'shop.wsgi.application'\n",
    "shop/urls.py": "from django.http import HttpResponse\nfrom django.urls import path\n\n"
    "urlpatterns = [path('hello/<name>', lambda request, name: HttpResponse(f'Hello, {name}!'))]\n",
    "shop/wsgi.py": "import os\nfrom django.core.wsgi import get_wsgi_application\n"
    "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\napplication = get_wsgi_application()\n",
}
APPS = {"express": EXPRESS, "flask": FLASK, "fastapi": FASTAPI, "django": DJANGO}


@pytest.mark.parametrize("app", APPS)
def test_it_is_served_as_it_is(tmp_path: Path, app: str) -> None:
    for name, text in APPS[app].items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with rig.desk(tmp_path) as desk, rig.running(desk, warm=1) as fnctl:
        answer = fnctl.call("project", "/hello/Ada")
        assert (answer.status, answer.body.decode()) == (200, "Hello, Ada!")
        if app == "django":
            style = fnctl.call("project", "/static/admin/css/base.css")
            assert (style.status, style.headers["content-type"]) == (200, "text/css")
            assert fnctl.call("project", "/static/nosuch.css").status == 404
        assert not (desk.project / "fnctl.yaml").exists()
        fnctl.stop()


LAMBDA = {
    "serverless.yml": "service: todos\nprovider:\n  name: aws\n  runtime: nodejs20.x\n"
    "  environment: {GREETING: Hello}\n"
    "functions:\n  greet:\n    handler: src/greet.handler\n    memorySize: 128\n    events:\n"
    "      - httpApi: 'GET /hello/{name}'\n      - schedule: rate(1 day)\n"
    "  missing:\n    handler: src/greet.missing\n    events: [{httpApi: 'POST /todos'}]\n",
    "src/greet.js": "exports.handler = async (event, context) => ({\n"
    "  statusCode: 200,\n  headers: { 'x-request': context.awsRequestId },\n"
    "  body: `${process.env.GREETING}, ${event.pathParameters.name}!`,\n});\n"
    "exports.missing = async () => ({ statusCode: 404 });\n",
}


def test_functions_of_another_platform_are_served_from_its_manifest(tmp_path: Path) -> None:
    for name, text in LAMBDA.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with rig.desk(tmp_path) as desk, rig.running(desk, warm=1) as fnctl:
        answer = fnctl.call("hello", "/Ada")
        assert (answer.status, answer.body.decode()) == (200, "Hello, Ada!")
        assert answer.headers["x-request"]
        assert fnctl.call("todos", "", method="POST").status == 404
        assert "serverless.yml:12: event `schedule` of greet is ignored" in fnctl.said.read_text()
        fnctl.stop()
