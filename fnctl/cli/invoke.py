"""`fnctl invoke`: call one function. Its answer goes to stdout as it is, the receipt to stderr."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from fnctl.cli import output
from fnctl.cli.not_running import not_running
from fnctl.cli.options import FileOption, Format, FormatOption, duration, project_paths
from fnctl.control import client
from fnctl.control.holder import holder
from fnctl.errors import FnctlError, UsageError

EXIT_FAILED = 1
EXIT_TIMEOUT = 124
ACCEPT_S = 30.0


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent. `target` is the path in the function, from `/`."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes | None


def invoke(
    name: Annotated[str, typer.Argument(metavar="FUNCTION", help="Function to call.")],
    data: Annotated[
        str | None, typer.Option("--data", "-d", help="Request body: text, @FILE, or - for stdin.", metavar="DATA")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option("--method", "-X", metavar="METHOD", help="HTTP method (default: GET, or POST with --data)."),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option("--header", "-H", metavar="HEADER", help="Request header, `Name: value`. Repeatable."),
    ] = None,
    path: Annotated[str, typer.Option("--path", metavar="PATH", help="Path and query of the request.")] = "/",
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="DURATION", help="How long to wait for the response.")
    ] = "15m",
    later: Annotated[
        bool, typer.Option("--async", help="Make the call asynchronously, with retries; print its id and return.")
    ] = False,
    delay: Annotated[
        str | None,
        typer.Option("--delay", metavar="DURATION", help="With --async: make the call after this time, not earlier."),
    ] = None,
    form: FormatOption = Format.TEXT,
    file: FileOption = None,
) -> int:
    """Call one function and print its response. Works without `fnctl run`: the function is then started for this call.

    Exits with 1 if the response is a 5xx, and with 124 if it is a 504 (timeout). --async needs a
    running service; `fnctl queue show` shows the result of the call.

    \b
    Examples:
      fnctl invoke hello
      fnctl invoke todos --path /api/todos -d '{"title": "milk"}'
      fnctl invoke thumbnail -d @photo.jpg -H 'Content-Type: image/jpeg' > small.jpg
      fnctl invoke mail --async --delay 10m -d '{"to": "a@example.org"}'
    """
    request = asked(data, method, header or [], path)
    if delay is not None and not later:
        raise UsageError("--delay needs --async", hint="add --async, or remove --delay")
    if later:
        return _accept(name, request, delay, file, form)
    wait_s = duration("--timeout", timeout)
    with _gateway_socket(name, file) as socket:
        target = f"/{name}{request.target}"
        with client.send(
            socket, request.method, target, headers=request.headers, body=request.body, timeout_s=wait_s
        ) as response:
            _print(response, form)
            return verdict(response.status)


def _accept(name: str, request: Request, delay: str | None, file: Path | None, form: Format) -> int:
    paths = project_paths(file)
    headers = {**request.headers, "Prefer": "respond-async"}
    if delay is not None:
        duration("--delay", delay)
        headers["X-Fnctl-Delay"] = delay
    target = f"/{name}{request.target}"
    try:
        with client.send(
            paths.gateway_socket, request.method, target, headers=headers, body=request.body, timeout_s=ACCEPT_S
        ) as response:
            body = b"".join(response.chunks())
    except client.NotListening:
        raise not_running(paths, file) from None
    said = json.loads(body)
    if response.status != 202:
        _print_refusal(said)
        return verdict(response.status) or EXIT_FAILED
    output.emit_json(said) if form is Format.JSON else output.emit(said["id"])
    return 0


def _print_refusal(said: Mapping[str, Any]) -> None:
    told = said["error"]
    output.error(FnctlError(told["message"], hint=told.get("hint"), code=told["code"]))


@contextlib.contextmanager
def _gateway_socket(name: str, file: Path | None) -> Iterator[Path]:
    """The gateway's socket of the running service, else of one that lives as long as this call."""
    paths = project_paths(file)
    if holder(paths.lock) is not None:
        yield paths.gateway_socket
        return
    from fnctl import config
    from fnctl.control import one_call

    project = config.load(Path.cwd(), file)
    with contextlib.ExitStack() as lifetime:
        # The progress ends before the answer is printed: on a terminal its last drawing would wipe the answer out.
        with output.progress() as progress:
            socket = lifetime.enter_context(one_call.one_shot(project, name, progress))
        yield socket


def asked(data: str | None, method: str | None, headers: Sequence[str], path: str) -> Request:
    """The request that the options stand for. UsageError for what is no header and no path."""
    body = _body(data)
    parsed = dict(_header(text) for text in headers)
    if body is not None and not any(name.lower() == "content-type" for name in parsed):
        parsed["Content-Type"] = _content_type(body)
    if not path.startswith("/") or re.search(r"[\x00-\x20\x7f]", path):
        raise UsageError(f"--path {path!r} is not a path", hint="start it with / and write spaces as %20")
    return Request((method or ("GET" if body is None else "POST")).upper(), path, parsed, body)


def _body(data: str | None) -> bytes | None:
    if data is None:
        return None
    if data == "-":
        return sys.stdin.buffer.read()
    if not data.startswith("@"):
        return data.encode(errors="surrogateescape")
    try:
        return Path(data[1:]).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {data[1:]}: {os.strerror(error.errno or 0)}") from error


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or re.search(r"[\r\n\x00]", value):
        raise UsageError(f"--header {text!r} is not a header", hint="write -H 'Name: value'")
    return name, value.strip()


def _content_type(body: bytes) -> str:
    """What a body that nobody named looks like."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return "application/octet-stream"
    try:
        json.loads(text)
    except ValueError:
        return "text/plain; charset=utf-8"
    return "application/json"


def _print(response: client.Response, form: Format) -> None:
    if form is Format.JSON:
        output.emit_json(as_json(response, b"".join(response.chunks())))
        return
    last = b"\n"
    for chunk in response.chunks():
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        last = chunk[-1:]
    if sys.stdout.isatty() and last != b"\n":
        output.emit("")
    output.say(receipt_line(response.status, response.reason, response.headers))


def as_json(response: client.Response, body: bytes) -> dict[str, Any]:
    """`body` is text, or base64 under `body_base64` where it is not UTF-8."""
    import base64

    said: dict[str, Any] = {"status": response.status, "headers": dict(response.headers)}
    try:
        said["body"] = body.decode()
    except UnicodeDecodeError:
        said["body_base64"] = base64.b64encode(body).decode()
    return {**said, "id": response.headers.get("x-fnctl-invocation-id"), "receipt": server_timing(response.headers)}


def receipt_line(status: int, reason: str, headers: Mapping[str, str]) -> str:
    """`200 OK  warm  queue 0.0 ms  …  handler 1.2 ms  01J…`, of what the gateway says."""
    timing = server_timing(headers)
    parts = [f"{status} {reason}".strip(), str(timing.pop("start", ""))]
    parts += [f"{name} {took:.1f} ms" for name, took in timing.items() if isinstance(took, float)]
    parts.append(headers.get("x-fnctl-invocation-id", ""))
    return "  ".join(output.printable(part) for part in parts if part)


def server_timing(headers: Mapping[str, str]) -> dict[str, float | str]:
    """`start;desc=warm, queue;dur=0.1` as {"start": "warm", "queue": 0.1}: ms, or words."""
    found: dict[str, float | str] = {}
    for metric in headers.get("server-timing", "").split(","):
        name, *parameters = (part.strip() for part in metric.split(";"))
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key == "dur":
                with contextlib.suppress(ValueError):
                    found[name] = float(value)
            elif key == "desc":
                found.setdefault(name, value.strip('"'))
    return found


def verdict(status: int) -> int:
    """The exit code that a status stands for."""
    if status == 504:
        return EXIT_TIMEOUT
    return EXIT_FAILED if status >= 500 else 0
