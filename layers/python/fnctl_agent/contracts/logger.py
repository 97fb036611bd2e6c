"""The root logger as platforms prepare it: `logging.getLogger().info(…)` reaches the function's log without a setup."""

from __future__ import annotations

import logging
import sys

from fnctl_agent import logs


def prepare(level: int, layout: str) -> logging.Logger:
    """The root logger, writing to stderr; `%(invocation)s` in `layout` is the invocation's id."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(layout, "%Y-%m-%dT%H:%M:%S"))
    handler.addFilter(_with_invocation)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level)
    return root


def _with_invocation(record: logging.LogRecord) -> bool:
    record.invocation = logs.invocation.get() or "-"
    return True
