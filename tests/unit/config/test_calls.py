"""`calls`: what a function may reach, and words that name nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from fnctl import config
from fnctl.errors import ConfigError
from fnctl.model import Function, Project
from fnctl.triggers.http.permission import may

FILE = """functions:
  orders: {{runtime: node24, handler: a.b, calls: [{calls}]}}
  mail: {{runtime: node24, handler: a.b}}
workflows:
  refund:
    document: {{dsl: 1.0.0, namespace: n, name: refund, version: 1.0.0}}
    do: [{{one: {{call: mail}}}}]
"""


def load(folder: Path, calls: str) -> Project:
    (folder / "a.js").write_text("exports.b = () => 1\n")
    (folder / "fnctl.yaml").write_text(FILE.format(calls=calls))
    return config.load(folder, environ={})


def orders(folder: Path, calls: str) -> Function:
    return next(each for each in load(folder, calls).functions if each.name == "orders")


def test_each_word_allows_what_it_names(tmp_path: Path) -> None:
    function = orders(tmp_path, "mail, queue/jobs.fifo, workflow/refund, event/order.paid")
    for word in ("mail", "queue/jobs.fifo", "workflow/refund", "event/order.paid"):
        assert may(function, word)
    for word in ("orders", "refund", "queue/mail", "queue/*", "workflow/mail", "event/order", "event/*"):
        assert not may(function, word)
    assert may(orders(tmp_path, "event/*"), "event/whatever there is")
    assert may(None, "mail")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("mial", "functions.orders.calls[0]: no function `mial`"),
        ("workflow/refnd", "functions.orders.calls[0]: no workflow `refnd`"),
        ("topic/x", "topic/x"),
        ("queue/", "queue/"),
    ],
)
def test_a_word_that_names_nothing_is_told(tmp_path: Path, word: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, word)
    assert said in str(caught.value)
