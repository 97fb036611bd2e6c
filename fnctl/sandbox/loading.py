"""What an instance is loaded with, and the words of the protocol about it: the load message, and a load that failed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fnctl.errors import DeadlineExceeded, LoadError
from fnctl.model import (
    ALIBABA_ACCOUNT,
    ALIBABA_REGION,
    INSIDE,
    Bundle,
    Contract,
    Function,
    Isolation,
    Model,
    Reach,
    RuntimeSpec,
    SiteKey,
)
from fnctl.protocol import messages
from fnctl.sandbox import hints as advice
from fnctl.sandbox import reports

PORT = 3000  # what a web app is told to listen on; nothing does
MESSAGE_CHARS, STACK_CHARS, LINE_CHARS = 2000, 16_000, 300


@dataclass(frozen=True, slots=True)
class Code:
    """A function, its bundle, and how its runtime is booted."""

    function: Function
    bundle: Bundle
    runtime: RuntimeSpec
    alias: str = ""  # under which it is deployed, beside the function's current version

    @property
    def site(self) -> SiteKey:
        return SiteKey(self.function.name, self.alias)

    @property
    def reach(self) -> Reach:
        """What its sandbox can talk to: no other sandbox runs it."""
        return self.function.reach

    @property
    def version(self) -> str:
        return self.bundle.digest.removeprefix("sha256:")[:12]


def load_message(code: Code) -> messages.Message:
    """What an agent is told to load."""
    function = code.function
    return messages.load(
        function, code.version, environment(code), port(function), once=once(function), share=can_share(function)
    )


def can_share(function: Function) -> bool:
    """Whether requests of it may go on one connection, if its agent knows how."""
    return function.model is Model.RESIDENT and function.concurrency > 1 and not function.command


def once(function: Function) -> bool:
    """Whether its sandbox ends with the first invocation."""
    return function.model is Model.EPHEMERAL and function.isolation is Isolation.CONTAINER


# Throw-away credentials: SDKs do not send a request without any, and nobody looks at these.
_AWS = {
    "AWS_ACCESS_KEY_ID": "fnctl",
    "AWS_SECRET_ACCESS_KEY": "fnctl",
    "AWS_ENDPOINT_URL_LAMBDA": f"http://{INSIDE}",
    "AWS_ENDPOINT_URL_SQS": f"http://{INSIDE}/_fnctl/sqs",
}

# For Function Compute's, which make the address of the context's account and region.
_ALIBABA = {
    "ALIBABA_CLOUD_ACCESS_KEY_ID": "fnctl",
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "fnctl",
    "FC_ACCOUNT_ID": ALIBABA_ACCOUNT,
    "FC_REGION": ALIBABA_REGION,
}
_OF_FC = (Contract.FC_EVENT, Contract.FC_HTTP, Contract.FC3_HTTP)

# What ties a line to its execution is a field of it: durable functions log in Lambda's JSON format.
_JSON_LOGS = {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"}


def environment(code: Code) -> dict[str, str]:
    """The function's own variables, over those that its runtime gives to a command and where it finds functions."""
    function = code.function
    given = dict(code.runtime.commands) if function.command else {}
    if function.calls != ():
        given["FNCTL_URL"] = f"http://{INSIDE}"
        given |= _AWS if function.contract is Contract.LAMBDA else {}
        given |= _ALIBABA if function.contract in _OF_FC else {}
    if function.durable is not None:
        given |= _AWS | _JSON_LOGS
    own = dict(function.environment)
    # a list of folders comes before the runtime's, which a command needs to find its interpreter and packages
    joined = {name: f"{own[name]}:{value}" for name, value in given.items() if name.endswith("PATH") and own.get(name)}
    return {**given, **own, **joined}


def port(function: Function) -> int:
    """Where it is to listen. A command that cannot be told listens where it will: its `PORT` then says where."""
    return int(dict(function.environment).get("PORT", PORT)) if function.command else PORT


def load_error(function: Function, message: Mapping[str, Any], output: Iterable[str] = ()) -> LoadError:
    """The error that a `load_failed` stands for: file, line and message of the function's own, its stack as detail.

    Where it has no stack, the last lines of `output` tell more than the end of the process does.
    """
    file = reports.text(message, "file")
    where = f"{file}:{reports.text(message, 'line', '?')}: " if file else ""
    what = f"{reports.text(message, 'type', 'Error')}: {reports.text(message, 'message')}"
    stack = reports.text(message, "stack")[:STACK_CHARS]
    said = "" if stack else "".join(f"\n  {line[:LINE_CHARS]}" for line in output)
    return LoadError(
        f"{function.name} did not load: {where}{what}"[:MESSAGE_CHARS] + (f"; last output:{said}" if said else ""),
        detail=stack or None,
        hint=advice.hint(function, what + said) or f"fix the code; `fnctl logs {function.name}` has more",
    )


def load_timeout(function: Function, timeout_s: float, waits_for: str) -> DeadlineExceeded:
    """`waits_for`: what the agent said last that it waits for, if it did."""
    if function.command:
        hint = "make it listen on $PORT, or set the port it uses: `environment: {PORT: …}`; or raise `timeout`"
    else:
        hint = "work at import time counts as loading: move it into the handler, or raise `timeout`"
    waited = f": waited for {waits_for[:MESSAGE_CHARS]}" if waits_for else ""
    return DeadlineExceeded(
        f"{function.name}: the code did not load within {timeout_s:g} s{waited}", hint=hint, code="load_timeout"
    )
