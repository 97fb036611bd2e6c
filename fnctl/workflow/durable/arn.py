"""Names of an execution and of functions as AWS's API has them. Pure."""

from __future__ import annotations

import re

from fnctl.errors import NotFound

ACCOUNT = "000000000000"
REGION = "us-east-1"
LATEST = "$LATEST"
_EXECUTION = re.compile(
    r"arn:[a-z0-9-]+:lambda:[a-z0-9-]+:\d{12}:function:([a-zA-Z0-9_-]+):[^/:]+/durable-execution/([a-zA-Z0-9_-]+)/([0-9A-Z]{26})"
)


def function_arn(function: str) -> str:
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}:{LATEST}"


def execution_arn(function: str, name: str, run: str) -> str:
    return f"{function_arn(function)}/durable-execution/{name}/{run}"


def run_of(arn: str) -> str:
    """The run's id. Raises NotFound where it is none of an execution."""
    found = _EXECUTION.fullmatch(arn)
    if found is None:
        raise NotFound(f"no durable execution has the ARN {arn[:200]}")
    return found[3]


def function_of(text: str) -> str:
    """The function's name in what the API takes for one: a name, `NAME:ALIAS`, an ARN."""
    if text.startswith("arn:"):
        return text.split(":")[6] if text.count(":") >= 6 else text
    return text.partition(":")[0]
