"""The root logger as platforms prepare it: `logging.getLogger().info(…)` reaches the function's log without a setup."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from typing import Any

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


def prepare_json(level: str) -> logging.Logger:
    """The same in Lambda's JSON format: an object a line, with the fields of `extra` at its top level."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    handler.addFilter(_with_invocation)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level if level in logging.getLevelNamesMapping() else logging.INFO)
    return root


class JsonLines(logging.Formatter):
    """Source of its fields: docs.aws.amazon.com/lambda/latest/dg/python-logging.html."""

    OWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "invocation", "taskName"}

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        said: dict[str, Any] = {
            "timestamp": at,
            "level": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
            "requestId": getattr(record, "invocation", "-"),
        }
        if record.exc_info and record.exc_info[0] is not None:
            said["errorType"] = record.exc_info[0].__name__
            said["errorMessage"] = str(record.exc_info[1])
            said["stackTrace"] = traceback.format_exception(*record.exc_info)
        for key, value in record.__dict__.items():
            if key not in self.OWN and key not in said:
                said[key] = value
        return json.dumps(said, ensure_ascii=False, default=str)


def _with_invocation(record: logging.LogRecord) -> bool:
    record.invocation = logs.invocation.get() or "-"
    return True
