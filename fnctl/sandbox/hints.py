"""What a function's own error means in a sandbox, and how to allow it: one hint, by the words of the error. Pure."""

from __future__ import annotations

import re

from fnctl.model import Contract, Function, Model
from fnctl.sandbox import network_hint as unreachable

# EROFS as Node, Python and the C library call it, and SQLite's word for a database in such a place.
_READ_ONLY = re.compile(
    r"EROFS|[Rr]ead-only file system|attempt to write a readonly database"
    r"|[Uu]nable to open (?:the )?database|SQLITE_CANTOPEN|SQLITE_READONLY"
    # Node's name for it where folders above are to be made, too
    r"|ENOENT: no such file or directory, mkdir '(?!/tmp/)"
)
# What code asks of its arguments that only another contract gives.
_OTHERS = (
    (Contract.FC_HTTP, r"\bset(?:StatusCode|Header) is not a function|\bresp\.send is not a function"),
    (
        Contract.FRAMEWORK_HTTP,
        r"\bres\.(?:send|status|json|sendStatus) is not a function"
        r"|'dict' object has no attribute '(?:get_json|args|form)'",
    ),
    (Contract.OPENFAAS, r"\bcontext\.(?:status|succeed|fail)\b.* is not a function|context\.headers is not a function"),
    (
        Contract.LAMBDA,
        r"getRemainingTimeInMillis is not a function|no attribute '(?:aws_request_id|get_remaining_time_in_millis"
        r"|invoked_function_arn|memory_limit_in_mb)'|\bcallback is not a function",
    ),
    (
        Contract.FC_EVENT,
        r"no attribute '(?:request_id|credentials|account_id)'|\"\[object Object\]\" is not valid JSON"
        r"|JSON object must be str, bytes or bytearray, not dict",
    ),
    (Contract.WEB, r"missing \d required positional arguments?: .*'start_response'"),
)
_CONTRACTS = tuple((contract, re.compile(pattern)) for contract, pattern in _OTHERS)

# What `env`, the shells and the kernel say of a name that ends in a carriage return, in each way to show one.
_CARRIAGE_RETURN = re.compile(
    r"(\r|\\r|\^M)['’]?: (No such file|not found|bad interpreter|command not found)|\r: not found"
)


def hint(function: Function, text: str) -> str | None:
    """What to do about the failure that `text` tells of; None where it is none that the sandbox is the cause of."""
    found = unreachable.hint(function, text) or _read_only(function, text) or _line_endings(text)
    return found or _contract(function, text)


def _contract(function: Function, text: str) -> str | None:
    """The code was written for another platform, as what it misses shows."""
    found = next((contract for contract, words in _CONTRACTS if words.search(text)), None)
    if found is None or found is function.contract or function.command:
        return None
    now = f"not for `{function.contract}`" if function.contract else "not for fnctl's own"
    return f"the code seems written for the contract `{found}`, {now}: set `contract: {found}` in fnctl.yaml"


def _line_endings(text: str) -> str | None:
    if not _CARRIAGE_RETURN.search(text):
        return None
    return "a script has Windows line endings (CRLF): `sed -i 's/\\r$//' FILE` converts it"


def _read_only(function: Function, text: str) -> str | None:
    if not _READ_ONLY.search(text):
        return None
    until = "the invocation" if function.model is Model.EPHEMERAL else "the instance"
    return (
        f"everything except /tmp is read-only, also /fn/app with the code: write to /tmp ({function.tmp_mb} MB, in"
        f" memory, removed with {until}; `tmp` in fnctl.yaml sets its size), or to a service"
    )
