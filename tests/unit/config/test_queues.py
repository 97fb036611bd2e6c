"""Named queues, destinations and rates in fnctl.yaml: what they become, and what is said of those that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from fnctl.model import Broker, BrokerTrigger, Destination, Queue, QueueTrigger, Rate
from tests.unit.config.test_config import TODOS, load, problem

QUEUE = "    triggers:\n      - queue: {name: jobs, batch: 5, window: 2s, concurrency: 3, path: /jobs}\n"


def test_a_trigger_makes_its_queue_and_an_entry_its_rules(tmp_path: Path) -> None:
    project = load(tmp_path, TODOS + QUEUE)
    assert project.functions[0].queues == (QueueTrigger("jobs", 5, 2.0, 3, "/jobs"),)
    assert project.queues == (Queue("jobs"),)
    rules = (
        "queues:\n  jobs: {visibility: 2m, receives: 5, backoff: 10s, dead_letters: lost, retention: 1d, delay: 5s}\n"
    )
    found = {queue.name: queue for queue in load(tmp_path, TODOS + QUEUE + rules + "  lost: {}\n").queues}
    assert found["jobs"] == Queue("jobs", 120.0, 5, 10.0, "lost", 86_400.0, 5.0)
    assert set(found) == {"jobs", "lost"}


def test_destinations_and_rates_arrive(tmp_path: Path) -> None:
    rule = (
        "    async:\n      rate: 600/m\n      burst: 3\n      on_success: {queue: good}\n"
        "      on_failure: {url: 'https://example.org/x', secret: key}\n"
        "queues: {good: {}}\nsecrets: {key: {environment: KEY}}\n"
    )
    (function,) = load(tmp_path, TODOS + rule).functions
    assert function.deferred.rate == Rate(10.0, 3)
    assert function.deferred.on_success == Destination(queue="good")
    failure = function.deferred.on_failure
    assert failure is not None
    assert failure.secret is not None
    assert (failure.url, failure.secret.variable) == ("https://example.org/x", "KEY")


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("    async: {on_success: {function: todo}}\n", "fnctl.yaml:6: on_success of function `todos`", "mean `todos`"),
        (
            "    async: {on_failure: {queue: job}}\nqueues: {jobs: {}}\n",
            "fnctl.yaml:6: on_failure",
            "did you mean `jobs`",
        ),
        ("    async: {on_failure: {queue: jobs}}\n", "no queue `jobs`", "declare it"),
        ("    async: {on_failure: {function: todos}}\n", "in a circle: todos → todos", "another place"),
        ("    async: {on_failure: {url: 'http://a/'}}\n", "`url` and `secret` together", ""),
        ("    async: {on_failure: {url: 'http://a/', secret: k}}\n", "secret `k` is not declared", "file: ./hook.txt"),
        ("    async: {on_failure: {}}\n", "needs one of `function`, `queue` and `url`", ""),
        ("    async: {rate: fast}\n", "`fast` is not a rate", "10/s"),
        ("    async: {burst: 3}\n", "`burst` without `rate`", ""),
        (QUEUE + "queues: {jobs: {visibility: 30s}}\n", "fnctl.yaml:7: queue `jobs` has a visibility of 30s", "raise"),
        ("queues: {jobs: {dead_letters: lots}, lost: {}}\n", "no queue `lots`", "did you mean `lost`?"),
        ("queues: {a: {dead_letters: b}, b: {dead_letters: a}}\n", "dead_letters in a circle: a → b → a", "another"),
        ("queues: {a: {dead_letters: b.fifo}, b.fifo: {}}\n", "only one of them keeps the order", ".fifo"),
        ("queues: {'a b': {}}\n", "invalid name `a b`", ""),
    ],
)
def test_what_cannot_be_is_told_with_its_line(tmp_path: Path, text: str, said: str, hint: str) -> None:
    found = problem(tmp_path, TODOS + text)
    assert said in found.message
    assert hint in (found.hint or found.message)


def test_a_circle_over_several_functions_is_shown_once_with_its_chain(tmp_path: Path) -> None:
    more = "".join(
        f"  {name}: {{path: todos, runtime: node24, handler: index.js, async: {{on_failure: {{function: {to}}}}}}}\n"
        for name, to in (("a", "b"), ("b", "c"), ("c", "a"), ("d", "a"))
    )
    found = problem(tmp_path, TODOS + more)
    assert "destinations in a circle: a → b → c → a" in found.message
    assert "d → a" not in found.message


def test_triggers_of_brokers_arrive(tmp_path: Path) -> None:
    text = TODOS + (
        "    triggers:\n"
        "      - redis: {url: 'redis://h:1', stream: orders, group: g, path: /r}\n"
        "      - nats: {url: 'nats://h:2', subject: 'a.*', stream: S}\n"
        "      - mqtt: {url: 'mqtt://h:3', topic: a/+, qos: 2}\n"
        "      - amqp: {url: 'amqp://h:5/v', queue: jobs, path: /a}\n"
        "      - postgres: {url: 'postgresql://h:4/d', channel: Orders}\n"
    )
    (function,) = load(tmp_path, text).functions
    assert function.brokers == (
        BrokerTrigger(Broker.REDIS, "redis://h:1", "orders", "g", path="/r"),
        BrokerTrigger(Broker.NATS, "nats://h:2", "a.*", stream="S"),
        BrokerTrigger(Broker.MQTT, "mqtt://h:3", "a/+", qos=2),
        BrokerTrigger(Broker.AMQP, "amqp://h:5/v", "jobs", path="/a"),
        BrokerTrigger(Broker.POSTGRES, "postgresql://h:4/d", "Orders"),
    )


@pytest.mark.parametrize(
    ("trigger", "said"),
    [
        ("redis: {url: 'http://h', stream: a}", "url cannot be `http://h`"),
        ("nats: {url: 'nats://h', subject: ''}", "fnctl.yaml:7: the trigger `nats` names nothing"),
        ("mqtt: {url: 'mqtt://h', topic: a, qos: 3}", "qos"),
        ("mqtt: {url: 'mqtt://h'}", "`topic` is missing"),
        ("amqp: {url: 'mqtt://h', queue: a}", "url"),
        ("amqp: {url: 'amqp://h'}", "`queue` is missing"),
        ("postgres: {url: 'mysql://h', channel: a}", "url cannot be `mysql://h`"),
    ],
)
def test_a_broker_that_cannot_be_is_told_with_its_line(tmp_path: Path, trigger: str, said: str) -> None:
    assert said in problem(tmp_path, TODOS + f"    triggers:\n      - {trigger}\n").message
