"""Definitions that are refused: where, why, and the nearest word."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest
from jsonschema import Draft202012Validator

from fnctl.openworkflow.checks import Surroundings
from fnctl.openworkflow.definition import parse
from fnctl.openworkflow.validation import schema
from tests.support.openworkflow import HEAD, defined, troubles

CALL = "do:\n- a:\n    call: http\n    with: {method: get, endpoint: 'https://x.example'}\n"


@pytest.mark.parametrize(
    ("text", "line", "words", "hint"),
    [
        ("do:\n- a:\n    sett: {x: 1}\n", 4, "`sett` of the task `a`", "did you mean `set`?"),
        ("do:\n- a:\n    wait: {secnds: 3}\n", 4, "`secnds` is not known in `wait`", "did you mean `seconds`?"),
        ("do:\n- a:\n    wait: 5s\n", 4, "`wait` cannot be '5s'", "matches"),
        ("do:\n- a:\n    set: {x: 1}\n    inpt: 3\n", 5, "`inpt` is not known in `a`", "did you mean `input`?"),
        (
            "do:\n- a:\n    call: http\n    with: {metod: get, endpoint: 'https://x.example'}\n",
            5,
            "`metod`",
            "did you mean `method`?",
        ),
        ("do:\n- a:\n    do:\n    - b:\n        wat: 1\n", 6, "`wat` of the task `b`", "did you mean `wait`?"),
        ("do:\n- a: {set: {x: 1}}\n  b: {set: {x: 1}}\n", 3, "one task, and not `a`, `b`", "begin each task"),
        ("do: {a: {set: {x: 1}}}\n", 2, "`do` is a list of tasks", "each item"),
        ("dos: []\n", 1, "`do` is missing", "`dos` stands there"),
        ("do:\n- a: [\n", 4, "is not YAML", ""),
        ("do:\n- a:\n    set: {x: 1}\n    wait: PT1S\n", 5, "`wait` is not known in `a`", "known: compensate"),
        ("do: []\ndo: []\n", 3, "`do` stands here twice", ""),
        ("do:\n- a:\n    set: {x: 1}\n    compensate: {b: {}}\n", 5, "`compensate` cannot be", "array"),
        ("schedule: {cron: '61 * * * *'}\ndo: []\n", 2, "is no cron expression", "minute"),
    ],
)
def test_what_the_schema_refuses(text: str, line: int, words: str, hint: str) -> None:
    found = troubles(text)
    assert [each for each in found if each.startswith(f"w.yaml:{line}:") and words in each and hint in each], found


@pytest.mark.parametrize(
    ("text", "line", "words", "hint"),
    [
        ("do:\n- a: {call: chrge}\n", 3, "no function is named `chrge`", "did you mean `charge`?"),
        ("do:\n- a: {set: {x: 1}, then: c}\n- b: {set: {x: 1}}\n", 3, "leads to `c`", "tasks there: a, b"),
        ("do:\n- a:\n    if: .x |\n    set: {x: 1}\n", 4, "does not parse, at its column 4", "jq"),
        ("do:\n- a:\n    set: {x: '${ $indx }'}\n", 4, "`$indx` in `$indx` is not defined", "known: authorization"),
        ("do:\n- a: {raise: {error: nope}}\n", 3, "`use.errors` has no `nope`", "none"),
        ("do:\n- a: {try: [], catch: {retry: slow}}\n", 3, "`use.retries` has no `slow`", "none"),
        ("do:\n- a: {wait: PT1S, timeout: long}\n", 3, "`use.timeouts` has no `long`", "none"),
        ("use: {secrets: [pw]}\ndo: []\n", 2, "no secret `pw`", "known: key"),
        ("do:\n- a: {set: {x: '${ $secrets.key }'}}\n", 3, "`use.secrets` does not name `key`", "none"),
        ("do:\n- a: {set: {x: 1}}\n- a: {set: {x: 1}}\n", 4, "two tasks of one list are named `a`", ""),
        ("do:\n- a: {run: {workflow: {namespace: t, name: u, version: latest}}}\n", 3, "no workflow", "`t/v`"),
        (
            "do:\n- a:\n    call: grpc\n    with:\n      proto: {endpoint: 'https://x.example'}\n"
            "      service: {name: s, host: h}\n      method: m\n",
            4,
            "`call: grpc` is not supported",
            "",
        ),
        (
            "do:\n- a:\n    call: http\n    with:\n      method: get\n"
            "      endpoint: {uri: 'https://x.example', authentication: {use: who}}\n",
            7,
            "is named `who`",
            "none",
        ),
    ],
)
def test_what_names_nothing(text: str, line: int, words: str, hint: str) -> None:
    around = Surroundings(frozenset({"charge"}), frozenset({"key"}), frozenset({"t/v"}))
    found = troubles(text, around)
    assert len(found) == 1, found
    assert found[0].startswith(f"w.yaml:{line}:") and words in found[0] and hint in found[0], found


def test_variables_are_known_where_they_are_given_and_nowhere_else() -> None:
    loop = "do:\n- a:\n    for: {each: pet, in: .pets}\n    do:\n    - b: {set: {x: '${ $pet + $index }'}}\n"
    assert troubles(loop) == []
    after = loop + "- c: {set: {x: '${ $pet }'}}\n"
    assert len(troubles(after)) == 1
    caught = "do:\n- a:\n    try: []\n    catch: {as: e, when: $e.status == 1, do: [{b: {set: {x: '${ $e }'}}}]}\n"
    assert troubles(caught) == []


def test_the_parts_say_what_the_whole_schema_says() -> None:
    """Tasks are held against the schema one by one; the whole of it is the judge."""
    judge = Draft202012Validator(schema())
    cases = [
        CALL,
        CALL + "  timeout: {after: {seconds: 1}}\n",
        CALL.replace("method: get", "method: get, foo: 1"),
        "do:\n- a: {do: [{b: {wait: PT1S}}]}\n",
        "do:\n- a: {do: [{b: {wait: {x: 1}}}]}\n",
        "do:\n- a: {fork: {branches: [{b: {set: {x: 1}}}], compete: yes}}\n",
        "do:\n- a: {fork: {branches: [{b: {set: {x: 1}}}], compete: true}}\n",
        "do:\n- a: {try: [{b: {raise: {error: x}}}], catch: {do: [{c: {set: {}}}]}}\n",
        "do:\n- a: {try: [{b: {raise: {error: x}}}], catch: {do: [{c: {set: {y: 1}}}]}}\n",
        "use: {functions: {f: {set: {x: 1}}, g: {sat: 1}}}\ndo: []\n",
        "use: {functions: {f: {do: [{b: {set: {x: 1}}}]}}}\ndo: []\n",
        "use: {extensions: [{e: {extend: all, before: [{b: {set: {x: 1}}}]}}]}\ndo: []\n",
        "use: {extensions: [{e: {extend: alles, before: [{b: {set: {x: 1}}}]}}]}\ndo: []\n",
        "do:\n- a: {listen: {to: {any: [], until: {one: {with: {type: x}}}}}}\n",
        "do:\n- a: {listen: {to: {any: [], until: {any: [], until: x}}}}\n",
        "do:\n- a: {set: {x: 1}, compensate: [{b: {set: {y: 1}}}]}\n",
        "do:\n- a: {set: {x: 1}, wait: PT1S}\n",
        "do:\n- a: {run: {shell: {command: ls}, script: {language: js, code: x}}}\n",
    ]
    for text in cases:
        source, definition = parse(HEAD + text, "w.yaml")
        assert (definition is not None) == judge.is_valid(source.data), text


def test_what_a_sandboxed_container_cannot_have_is_refused_before_it_runs() -> None:
    text = (
        "do:\n- a:\n    run:\n      container:\n        image: x\n        ports: {80: 80}\n        volumes: {/a: /b}\n"
    )
    ports, volumes = troubles(text)
    assert "w.yaml:7" in ports and "`ports` of a container are not supported" in ports
    assert "w.yaml:8" in volumes and "pass data in by `stdin`" in volumes


def test_the_schema_is_the_specification_s_unchanged() -> None:
    text = (files("fnctl.openworkflow") / "schema" / "workflow-1.0.3.json").read_text()
    assert json.loads(text)["$id"] == "https://serverlessworkflow.io/schemas/1.0.3/workflow.yaml"
    assert "Apache License" in (files("fnctl.openworkflow") / "schema" / "NOTICE").read_text()


def test_the_digest_is_of_the_content_alone() -> None:
    first, again = defined("do:\n- a: {set: {x: 1, y: 2}}\n"), defined("do: # all\n  - a: {set: {y: 2, x: 1}}\n")
    assert first.digest == again.digest
    assert first.digest != defined("do:\n- a: {set: {x: 1, y: 3}}\n").digest


def test_json_is_read_too() -> None:
    data = {"document": {"dsl": "1.0.3", "namespace": "a", "name": "b", "version": "1.0.0"}, "do": []}
    assert parse(json.dumps(data), "w.json")[1] is not None
