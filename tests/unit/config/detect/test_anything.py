"""Whatever the files hold, looking at them ends with a finding or an error of ours, and never with another."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from fnctl import config
from fnctl.config.detect import look
from fnctl.errors import ConfigError, NotFound
from tests.unit.config.detect import test_aws, test_fc, test_openfaas_openwhisk
from tests.unit.config.detect.folders import RUNTIMES, write

MANIFESTS = {
    "template.yaml": test_aws.SAM.replace("!Ref ", "").replace("!Sub ", "").replace("!GetAtt ", ""),
    "serverless.yml": test_aws.SERVERLESS,
    "template.yml": test_fc.FUN + test_fc.FUN_HTTP,
    "s.yaml": test_fc.FC3,
    "s.yml": test_fc.FC2,
    "stack.yml": test_openfaas_openwhisk.STACK,
    "manifest.yaml": test_openfaas_openwhisk.MANIFEST,
}
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 1.5, math.inf, "", "x", "${a.b}", "${", [], ["a"], [[]], {}, {"a": {}}, {"Ref": []}]
)
BOUNDED = settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def spots(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places of all values in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(spot for key, each in inner for spot in spots(each, (*path, key)))]


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    key, *rest = path
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[key] = changed(copy[key], tuple(rest), new)
    return copy


@pytest.mark.parametrize("name", MANIFESTS)
@BOUNDED
@given(data=st.data())
def test_a_manifest_with_anything_anywhere(tmp_path: Path, name: str, data: st.DataObject) -> None:
    yaml = YAML(typ="safe", pure=True)
    document = yaml.load(MANIFESTS[name])
    for _ in range(data.draw(st.integers(1, 3))):
        document = changed(document, data.draw(st.sampled_from(spots(document))), data.draw(ODD))
    with (tmp_path / name).open("w") as file:
        yaml.dump(document, file)
    with suppress(ConfigError, NotFound):
        config.load(tmp_path, environ={}, runtimes=RUNTIMES)


WORDS = [
    *(
        "exports.a = ",
        "module.exports = {",
        "async ",
        "(event, context) => ",
        "function handler(",
        "export ",
        "default ",
    ),
    *(")", "}", "{", "'", "`", "/*", "//", "\n", ".listen(", "$", "\\", "\0", "é", "..."),
    *("def handler(event):", "\n    return ", "app = Flask(", "import *", "@functions_framework.http", "<?php "),
]
PIECES = st.lists(st.sampled_from(WORDS), max_size=12).map("".join)
FILES = [
    "index.js",
    "app.py",
    "index.php",
    "package.json",
    "requirements.txt",
    "pyproject.toml",
    "manage.py",
    "Procfile",
]


@pytest.mark.parametrize("name", FILES)
@BOUNDED
@given(text=PIECES)
def test_code_with_anything_in_it(tmp_path: Path, name: str, text: str) -> None:
    write(tmp_path, {name: text})
    assert look(tmp_path, RUNTIMES.values()).problems == ()
