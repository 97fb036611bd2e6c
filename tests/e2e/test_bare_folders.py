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
    "ALLOWED_HOSTS = ['*']\nWSGI_APPLICATION = 'shop.wsgi.application'\n",
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
        assert not (desk.project / "fnctl.yaml").exists()
        fnctl.stop()
