"""`fnctl queue`: named queues, and calls that were accepted and are made later; what became of them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from fnctl.cli import invoke, output
from fnctl.cli.async_calls import accepted
from fnctl.cli.not_running import not_running
from fnctl.cli.options import FileOption, Format, FormatOption, duration, project_paths
from fnctl.cli.ps import span
from fnctl.control import client
from fnctl.errors import ConflictError, DeadlineExceeded, NotFound, UsageError
from fnctl.paths import ProjectPaths

_ERRORS = dict.fromkeys((400, 403, 404, 409, 413), UsageError)

LOOK_S = 0.2
BODY_CHARS = 60
STATES = ("waiting", "running", "done", "dead", "cancelled")
NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="A function with asynchronous calls, or a queue (or `queue/NAME`).")
]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The call's id, as `invoke --async` prints it.")]
StateOption = Annotated[str, typer.Option("--state", metavar="STATE", help=f"One of {', '.join(STATES)}.")]


def ls(file: FileOption = None, form: FormatOption = Format.TEXT) -> None:
    """List queues, and functions with asynchronous calls, with the number of entries in each state.

    ACCEPTED must be the sum of the five states. If it is not, the row is marked: this would be an error in fnctl.

    \b
    Examples:
      fnctl queue ls
      fnctl queue ls -o json
    """
    said = _admin(project_paths(file), "GET", "/v1/queues")
    if form is Format.JSON:
        output.emit_json(said)
        return
    rows = [
        (
            each["name"],
            each["kind"],
            *(each[state] for state in STATES),
            f"{each['accepted']}" + (f" (drift {each['drift']})" if each["drift"] else ""),
            each["dead_kept"],
        )
        for each in said["queues"]
    ]
    headers = ("NAME", "KIND", "WAITING", "RUNNING", "DONE", "DEAD", "CANCELLED", "ACCEPTED", "DEAD KEPT")
    output.emit(output.table(headers, rows))


def send(
    name: Annotated[str, typer.Argument(metavar="QUEUE", help="The queue.")],
    data: Annotated[
        str, typer.Option("--data", "-d", help="The message: text, @FILE, or - for stdin.", metavar="DATA")
    ],
    delay: Annotated[
        str | None,
        typer.Option("--delay", metavar="DURATION", help="Deliver the message after this time, not earlier."),
    ] = None,
    group: Annotated[
        str | None, typer.Option("--group", metavar="NAME", help="Messages of one group are delivered in order.")
    ] = None,
    dedup: Annotated[
        str | None,
        typer.Option("--dedup", metavar="ID", help="Messages with the same ID within 5 minutes count as one."),
    ] = None,
    file: FileOption = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Send a message to a queue, and print its id.

    \b
    Examples:
      fnctl queue send jobs -d '{"order": 7}'
      fnctl queue send jobs.fifo -d @order.json --group order-7
    """
    request = invoke.asked(data, "POST", [], f"/_fnctl/queues/{quote(name, safe='')}")
    given = {"X-Fnctl-Delay": delay, "X-Fnctl-Group": group, "X-Fnctl-Dedup": dedup}
    headers = {**request.headers, **{key: value for key, value in given.items() if value is not None}}
    said = accepted(file, request.target, headers, request.body, timeout_s=invoke.ACCEPT_S, kinds=_ERRORS)
    output.emit_json(said) if form is Format.JSON else output.emit(said["id"])


def show(
    id: IdArgument,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the call has ended.")] = False,
    timeout: Annotated[str, typer.Option("--timeout", metavar="DURATION", help="How long to wait.")] = "15m",
    file: FileOption = None,
) -> int:
    """Print a call as JSON: its state, and the answer to its last attempt.

    Exits with 1 if the call is dead or was cancelled, and with 124 if it has not ended in time.

    \b
    Examples:
      fnctl queue show 01JF5Z6K3V9Q8N7M4R2T1W0XYZ
      fnctl queue show --wait 01JF5Z6K3V9Q8N7M4R2T1W0XYZ | jq .result.body
    """
    paths, until = project_paths(file), time.monotonic() + duration("--timeout", timeout)
    while True:
        said = _call(paths, "GET", id)
        if "ended" in said or not wait:
            break
        if time.monotonic() >= until:
            raise DeadlineExceeded(f"the call {id} is still {said['state']}", hint="wait longer with --timeout")
        time.sleep(LOOK_S)
    output.emit_json(said)
    return 1 if said["state"] in ("dead", "cancelled") else 0


def peek(
    name: NameArgument,
    state: StateOption = "waiting",
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Maximum number of entries.")] = 20,
    file: FileOption = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """List calls of a function, or messages of a queue, in one state, the oldest first.

    \b
    Examples:
      fnctl queue peek mail
      fnctl queue peek jobs
      fnctl queue peek mail --state dead -o json
    """
    said = _admin(project_paths(file), "GET", f"{_path(name)}?state={quote(state)}&limit={limit}")
    if form is Format.JSON:
        output.emit_json(said)
        return
    now = said["now"]
    rows = [(each["id"], each["attempts"], *_times(each, now), _why(each)) for each in said["calls"]]
    output.emit(output.table(("ID", "ATTEMPTS", "ACCEPTED", "DUE OR ENDED", "LAST ANSWER OR BODY"), rows))


def cancel(id: IdArgument, file: FileOption = None) -> None:
    """Cancel a waiting call. A call that is running or has ended cannot be cancelled.

    \b
    Examples:
      fnctl queue cancel 01JF5Z6K3V9Q8N7M4R2T1W0XYZ
    """
    _call(project_paths(file), "DELETE", id)
    output.say(f"cancelled {id}")


def redrive(name: NameArgument, file: FileOption = None) -> None:
    """Repeat the dead calls of a function, or the dead messages of a queue, with all attempts.

    Messages that moved to a dead letter queue are moved back.

    \b
    Examples:
      fnctl queue redrive mail
      fnctl queue redrive jobs
    """
    said = _admin(project_paths(file), "POST", f"{_path(name)}/redrive")
    output.say(f"{name}: {said['redriven']} are waiting again")


def purge(name: NameArgument, state: StateOption = "dead", file: FileOption = None) -> None:
    """Delete calls of a function, or messages of a queue. Waiting ones are cancelled.

    \b
    Examples:
      fnctl queue purge mail
      fnctl queue purge mail --state waiting
    """
    said = _admin(project_paths(file), "POST", f"{_path(name)}/purge?state={quote(state)}")
    output.say(f"{said['purged']} of {name} purged")


def _path(name: str) -> str:
    return f"/v1/queues/{quote(name, safe='/')}"


def _admin(paths: ProjectPaths, method: str, target: str) -> dict[str, Any]:
    try:
        return client.admin(paths.admin_socket, method, target)
    except client.NotListening:
        raise not_running(paths) from None


def _call(paths: ProjectPaths, method: str, id: str) -> dict[str, Any]:
    """Ask the gateway about one call. Raises NotFound and ConflictError as it answers."""
    try:
        return asked(paths.gateway_socket, method, id)
    except client.NotListening:
        raise not_running(paths) from None


def asked(socket: Path, method: str, id: str) -> dict[str, Any]:
    target = f"/_fnctl/invocations/{quote(id, safe='')}"
    with client.send(socket, method, target, timeout_s=client.ADMIN_TIMEOUT_S) as response:
        said = json.loads(b"".join(response.chunks()))
    if response.status == 409:
        raise ConflictError(said["error"]["message"], code=said["error"]["code"])
    if response.status != 200:
        raise NotFound(
            f"no asynchronous call has the id {id}", hint="`fnctl queue ls` shows which functions have calls"
        )
    assert isinstance(said, dict)
    return said


def _times(each: dict[str, Any], now: float) -> tuple[str, str]:
    at = each.get("ended", each.get("due", now))
    return (
        f"{span(max(0, now - each['accepted']))} ago",
        f"in {span(at - now)}" if at > now else f"{span(now - at)} ago",
    )


def _why(each: dict[str, Any]) -> str:
    if "body" in each:
        body = output.printable(each["body"][:BODY_CHARS])
        reason = each.get("reason") or each.get("origin", {}).get("reason")
        return f"{reason}: {body}" if reason else body
    result = each.get("result")
    if result is None:
        return ""
    return str(result["error"]["message"]) if "error" in result else f"status {result['status']}"
