"""An app whose routes begin with its own function's name: `/NAME/…` is then a path of its own, where it is alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from fnctl.triggers.http.found import Match
from fnctl.triggers.http.routes import Routes
from tests.unit.config.detect.folders import loaded

EXPRESS = "const app = require('express')()\napp.get('/api/todos', (q, r) => r.send('x'))\napp.listen(3000)\n"


def target(routes: Routes, path: bytes, host: bytes = b"localhost") -> bytes:
    found = routes.match(host, b"GET", path)
    assert isinstance(found, Match)
    return found.target


@pytest.mark.parametrize("file", [{}, {"fnctl.yaml": "functions: {api: {handler: index.js}}\n"}])
def test_the_only_function_keeps_its_own_first_segment(tmp_path: Path, file: dict[str, str]) -> None:
    routes = Routes(loaded(tmp_path / "api", {"index.js": EXPRESS, **file}))
    assert target(routes, b"/api/todos") == b"/api/todos"
    assert target(routes, b"/api/api/todos") == b"/api/todos"
    assert target(routes, b"/") == b"/"
    assert target(routes, b"/api/todos", b"api.localhost") == b"/api/todos"


def test_elsewhere_the_name_is_a_prefix(tmp_path: Path) -> None:
    routes = Routes(loaded(tmp_path / "shop", {"index.js": EXPRESS}))
    assert target(routes, b"/shop/api/todos") == b"/api/todos"
    two = "functions:\n  api: {path: a, handler: index.js}\n  b: {path: a, handler: index.js}\n"
    routes = Routes(loaded(tmp_path / "two", {"a/index.js": EXPRESS, "fnctl.yaml": two}))
    assert target(routes, b"/api/todos") == b"/todos"
