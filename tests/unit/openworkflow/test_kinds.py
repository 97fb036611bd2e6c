"""What each kind of task does, and what it says when it cannot."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fnctl.openworkflow.fault import standard
from fnctl.openworkflow.world import HttpRequest, HttpResponse, Process, ProcessResult
from tests.support.openworkflow import Played, defined, ended, error, event, output
from tests.support.workflow_world import FakeWorld


def failing(times: int, status: int = 503) -> FakeWorld:
    """Its function `shaky` fails so often, then gives how often it was called."""
    calls = [0]

    def shaky(given: Any) -> int:
        calls[0] += 1
        if calls[0] <= times:
            raise standard("communication", "not now", status=status)
        return calls[0]

    return FakeWorld({"shaky": shaky})


@pytest.mark.parametrize(
    ("text", "given", "wanted"),
    [
        ("do:\n- a: {set: {x: '${ .n + 1 }', y: .n}}\n", {"n": 1}, {"x": 2, "y": ".n"}),
        ("do:\n- a: {set: '${ .n }'}\n", {"n": [1]}, [1]),
        ("do:\n- a: {if: .n > 1, set: {x: 1}, then: end}\n- b: {set: {x: 2}}\n", {"n": 1}, {"x": 2}),
        ("do:\n- a: {if: .n > 1, set: {x: 1}, then: end}\n- b: {set: {x: 2}}\n", {"n": 2}, {"x": 1}),
        ("do:\n- a: {do: [{b: {set: {x: 1}, then: exit}}, {c: {set: {x: 2}}}]}\n- d: {set: {y: .}}\n", {}, {"y": "."}),
        ("do:\n- a: {do: [{b: {set: {x: 1}, then: end}}]}\n- d: {set: {y: 1}}\n", {}, {"x": 1}),
        (
            "do:\n- a: {set: {n: '${ .n + 1 }'}}\n"
            "- b: {switch: [{more: {when: .n < 5, then: a}}, {done: {then: end}}]}\n",
            {"n": 0},
            {"n": 5},
        ),
        ("do:\n- a: {for: {in: .n}, while: . != 3, do: [{b: {set: '${ $item }'}}]}\n", {"n": [1, 3, 5]}, 3),
        ("do:\n- a: {for: {each: x, at: i, in: .n}, do: [{b: {set: '${ [$x, $i] }'}}]}\n", {"n": [7, 8]}, [8, 1]),
        ("do:\n- a: {fork: {branches: [{b: {set: {x: 1}}}, {c: {set: {x: 2}}}]}}\n", {}, [{"x": 1}, {"x": 2}]),
        ("input: {from: .deep}\ndo:\n- a: {set: {x: '${ . }'}}\noutput: {as: .x}\n", {"deep": 3}, 3),
        ("do:\n- a: {input: {from: '{a: .n}'}, set: {x: '${ $input.a }'}, output: {as: .x}}\n", {"n": 4}, 4),
        ("do:\n- a: {set: {x: 1}, export: {as: '{kept: .x}'}}\n- b: {set: '${ $context }'}\n", {}, {"kept": 1}),
        ("do:\n- a: {set: '${ $task.name + $workflow.definition.document.name + $runtime.name }'}\n", {}, "acasefnctl"),
        (
            "use: {functions: {twice: {set: '${ .n * 2 }'}}}\ndo:\n- a: {call: twice, with: {n: '${ .k }'}}\n",
            {"k": 4},
            8,
        ),
    ],
)
def test_what_comes_of_it(text: str, given: Any, wanted: Any) -> None:
    assert output(text, given) == wanted


@pytest.mark.parametrize(
    ("text", "given", "kind", "status", "words", "instance"),
    [
        ("do:\n- a: {set: '${ .n.x }'}\n", {"n": 1}, "expression", 400, "Cannot index number", "/do/0/a"),
        ("do:\n- a: {for: {in: .n}, do: []}\n", {"n": 1}, "expression", 400, "not an array", "/do/0/a"),
        (
            "do:\n- a: {input: {schema: {document: {type: string}}}, set: {x: 1}}\n",
            {},
            "validation",
            400,
            "the input of /do/0/a, at /",
            "/do/0/a",
        ),
        (
            "do:\n- a: {set: {x: 1}, output: {schema: {document: {required: [y]}}}}\n",
            {},
            "validation",
            400,
            "'y' is a required property",
            "/do/0/a",
        ),
        (
            "do:\n- a: {set: {x: 1}, export: {as: ., schema: {document: {required: [y]}}}}\n",
            {},
            "validation",
            400,
            "context",
            "/do/0/a",
        ),
        ("do:\n- a: {call: nobody}\n", {}, "configuration", 400, "no function `nobody`", "/do/0/a"),
        (
            "do:\n- a: {run: {script: {language: cobol, code: x}}}\n",
            {},
            "configuration",
            400,
            "javascript and python",
            "/do/0/a",
        ),
        (
            "do:\n- a: {try: [{b: {do: [{c: {set: '${ .n.x }'}}]}}], catch: {errors: {with: {status: 1}}}}\n",
            {"n": 1},
            "expression",
            400,
            "",
            "/do/0/a/try/0/b/do/0/c",
        ),
        (
            "do:\n- a: {set: '${ [range(200000)] | tojson * 2 }'}\n",
            {},
            "runtime",
            413,
            "too large",
            "/do/0/a",
        ),
    ],
)
def test_how_it_fails(text: str, given: Any, kind: str, status: int, words: str, instance: str) -> None:
    found = error(text, given)
    assert found["type"] == f"https://serverlessworkflow.io/spec/1.0.0/errors/{kind}"
    assert (found["status"], found["instance"]) == (status, instance)
    assert words in found["detail"]


def test_a_time_out_of_a_task_and_of_the_whole() -> None:
    slow = "do:\n- a: {do: [{b: {wait: {hours: 2}}}], timeout: {after: {hours: 1}}}\n"
    found = error(slow, seconds=2 * 3600)
    assert (found["status"], found["instance"]) == (408, "/do/0/a")
    named = "use: {timeouts: {short: {after: PT5M}}}\ntimeout: short\ndo:\n- a: {wait: PT1H}\n"
    assert "longer than 300 s" in error(named, seconds=3600)["detail"]
    assert output(slow.replace("hours: 2", "minutes: 2"), {"x": 1}, seconds=3600) == {"x": 1}


RETRY = "do:\n- a:\n    try: [{b: {call: shaky}}]\n    catch: {retry: {delay: PT1S, %s}%s}\n"


@pytest.mark.parametrize(
    ("policy", "failures", "waits"),
    [
        ("backoff: {constant: {}}", 3, 3),
        ("backoff: {linear: {}}", 3, 1 + 2 + 3),
        ("backoff: {exponential: {}}", 4, 1 + 2 + 4 + 8),
        ("jitter: {from: PT2S, to: PT4S}", 2, 2 * (1 + 3)),
        ("limit: {attempt: {count: 3}}", 3, 3),
    ],
)
def test_tried_again_after_its_delay(policy: str, failures: int, waits: float) -> None:
    async def work() -> None:
        played = Played(defined(RETRY % (policy, "")), {}, failing(failures))
        await played.world.clock.advance(waits - 0.5)
        assert not played.whole.done()
        assert (await played.end(0.5))["output"] == failures + 1

    asyncio.run(work())


@pytest.mark.parametrize(
    ("policy", "attempts"),
    [
        ("limit: {attempt: {count: 2}}", 3),
        ("limit: {duration: PT3S}", 4),
        ("when: $error.status == 500", 1),
        ("exceptWhen: $error.status == 503", 1),
    ],
)
def test_no_attempt_more_than_its_limits(policy: str, attempts: int) -> None:
    world = failing(99)
    assert error(RETRY % (policy, ""), {}, world, 60)["status"] == 503
    assert len(world.acts) == attempts
    assert output(RETRY % (policy, ", do: [{c: {set: '${ $error.status }'}}]"), {}, failing(99), 60) == 503


def test_an_attempt_has_its_own_time() -> None:
    text = (
        "do:\n- a:\n    try: [{b: {wait: PT1H}}]\n"
        "    catch: {retry: {limit: {attempt: {count: 1, duration: PT1M}}}, do: [{c: {set: '${ $error.status }'}}]}\n"
    )
    assert output(text, {}, seconds=180) == 408


@pytest.mark.parametrize(
    ("catch", "caught"),
    [
        ("errors: {with: {status: 503}}", True),
        ("errors: {with: {status: 404}}", False),
        ("errors: {with: {type: https://serverlessworkflow.io/dsl/errors/types/communication}}", True),
        ("errors: {with: {type: https://serverlessworkflow.io/spec/1.0.0/errors/timeout}}", False),
        ("when: $error.status > 500", True),
        ("exceptWhen: $error.status > 500", False),
    ],
)
def test_which_faults_are_caught(catch: str, caught: bool) -> None:
    text = f"do:\n- a: {{try: [{{b: {{call: shaky}}}}], catch: {{{catch}}}}}\n"
    assert ended(text, {"in": 1}, failing(9))["state"] == ("completed" if caught else "faulted")


def test_the_quickest_branch_wins_and_the_others_are_cut_off() -> None:
    text = "do:\n- a: {fork: {compete: true, branches: [{slow: {wait: PT1H}}, {quick: {set: {x: 1}}}]}}\n"
    assert output(text, {}) == {"x": 1}
    failed = "do:\n- a: {fork: {compete: true, branches: [{bad: {call: shaky}}, {good: {wait: PT1S}}]}}\n"
    assert output(failed, {"k": 1}, failing(1), 5) == {"k": 1}


def test_one_branch_that_fails_ends_the_others() -> None:
    text = "do:\n- a: {fork: {branches: [{slow: {wait: PT1H}}, {bad: {call: shaky}}]}}\n"
    assert error(text, {}, failing(1))["instance"] == "/do/0/a/fork/branches/1/bad"


@pytest.mark.parametrize(
    ("to", "events", "wanted"),
    [
        ("one: {with: {type: a}}", [event("b"), event("a", 1), event("a", 2)], [1]),
        ("any: [{with: {type: a}}, {with: {type: b, data: '${ . > 3 }'}}]", [event("b", 1), event("b", 5)], [5]),
        ("all: [{with: {type: a}}, {with: {type: b}}]", [event("b", 1), event("b", 2), event("a", 3)], [1, 3]),
        ("any: [], until: length == 3", [event("x", n) for n in range(5)], [0, 1, 2]),
        ("any: [{with: {type: a}}], until: {one: {with: {type: z}}}", [event("a", 1), event("z", 2)], [1]),
        (
            "all: [{with: {type: a}, correlate: {k: {from: .key}}}, {with: {type: b}, correlate: {k: {from: .key}}}]",
            [event("a", 1, key="x"), event("b", 2, key="y"), event("b", 3, key="x")],
            [1, 3],
        ),
        (
            "one: {with: {type: a}, correlate: {k: {from: .data, expect: '${ .wanted }'}}}",
            [event("a", 1), event("a", 7)],
            [7],
        ),
    ],
)
def test_which_events_are_consumed(to: str, events: list[Any], wanted: list[Any]) -> None:
    text = f"do:\n- a: {{listen: {{to: {{{to}}}}}}}\n"
    assert ended(text, {"wanted": 7}, events=events)["output"] == wanted


def test_an_event_that_comes_twice_is_one() -> None:
    same = event("x", 1)
    text = "do:\n- a: {listen: {to: {any: [], until: length == 2}, read: envelope}, output: {as: '[.[].data]'}}\n"
    assert ended(text, {}, events=[same, same, event("x", 2)])["output"] == [1, 2]


def test_processes_give_what_is_asked_for() -> None:
    seen: list[Process] = []

    def ran(process: Process) -> ProcessResult:
        seen.append(process)
        return ProcessResult(3 if process.what == "false" else 0, "out", "err")

    world = FakeWorld(processes=ran)
    shell = (
        "do:\n- a: {run: {return: %s, shell: {command: %s, arguments: ['${ .n }'], environment: {A: 1}, stdin: x}}}\n"
    )
    for form, wanted in (("stdout", "out"), ("stderr", "err"), ("code", 0), ("none", None)):
        assert output(shell % (form, "ls"), {"n": 5}, world) == wanted
    assert output(shell % ("all", "'false'"), {}, world) == {"code": 3, "stdout": "out", "stderr": "err"}
    assert "ended with the code 3: err" in error(shell % ("stdout", "'false'"), {}, world)["detail"]
    assert (seen[0].arguments, seen[0].environment, seen[0].stdin) == (("5",), {"A": "1"}, "x")
    later = "do:\n- a: {run: {await: false, container: {image: x}}}\n"
    assert output(later, {"in": 1}, world) == {"in": 1}


def test_extensions_stand_before_and_after_and_can_take_a_task_s_place() -> None:
    extended = (
        "use:\n  extensions:\n  - mock:\n      extend: call\n      when: $task.definition.with.n == 1\n"
        "      before: [{m: {set: {mocked: true}, then: exit}}]\n"
        "  - told: {extend: call, after: [{t: {emit: {event: {with: {source: 'https://x.example', type: t}}}}}]}\n"
        "do:\n- a: {call: real, with: {n: %d}}\n"
    )
    world = FakeWorld({"real": lambda given: {"real": given["n"]}})
    assert output(extended % 1, {}, world) == {"mocked": True}
    assert output(extended % 2, {}, world) == {"real": 2}
    assert [each["type"] for each in world.published] == ["t", "t"]


def test_secrets_are_there_where_they_are_declared() -> None:
    text = "use: {secrets: [key]}\ndo:\n- a: {set: {x: '${ $secrets.key.id }'}}\n"
    assert output(text, {}, FakeWorld(secrets={"key": {"id": 7}})) == {"x": 7}
    assert error(text, {})["type"].endswith("/authorization")


def test_a_catalog_s_function_is_fetched_once() -> None:
    asked: list[str] = []

    def answered(request: HttpRequest) -> HttpResponse:
        asked.append(request.url)
        return HttpResponse(200, {}, b"set: {x: '${ .n }'}\n")

    text = (
        "use: {catalogs: {mine: {endpoint: 'https://c.example/root'}}}\n"
        "do:\n- a: {for: {in: '[1, 2]'}, do: [{b: {call: 'log:1.0.0@mine', with: {n: $item}}}]}\n"
    )
    assert output(text, {}, FakeWorld(addresses=answered)) == {"x": "$item"}
    assert set(asked) == {"https://c.example/root/functions/log/1.0.0/function.yaml"}
