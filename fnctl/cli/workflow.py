"""`fnctl workflow`: begin workflows, and see and steer their runs."""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from fnctl.cli import output
from fnctl.cli.async_calls import accepted
from fnctl.cli.invoke import asked
from fnctl.cli.not_running import not_running
from fnctl.cli.options import FileOption, Format, FormatOption, duration, project_paths
from fnctl.cli.ps import span
from fnctl.control import client
from fnctl.errors import DeadlineExceeded, NotFound, TooLarge, UsageError

LOOK_S = 0.2
SLACK_S = 5.0
IdArgument = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, as `workflow run` prints it.")]
_ERRORS = {400: UsageError, 404: NotFound, 413: TooLarge}


def run(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the workflow in fnctl.yaml.")],
    input: Annotated[
        str | None, typer.Option("--input", "-i", metavar="JSON", help="Its input: JSON, @FILE, or - for stdin.")
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Print the run's id, and do not wait.")] = False,
    timeout: Annotated[str, typer.Option("--timeout", metavar="DURATION", help="How long to wait.")] = "15m",
    file: FileOption = None,
) -> int:
    """Start a run of a workflow, wait for its end, and print its output as JSON.

    Exits with 1 if the run fails or is cancelled, and prints its error. Exits with 124 if the run has not ended within
    the timeout; the run continues.

    \b
    Examples:
      fnctl workflow run order --input '{"amount": 7}'
      fnctl workflow run order -d
    """
    wait_s, target = duration("--timeout", timeout), f"/_fnctl/workflows/{quote(name)}"
    body = asked(input, "POST", [], target).body if input is not None else b"{}"
    headers = {"Prefer": "respond-async", "Content-Type": "application/json"}
    said = accepted(file, target, headers, body, timeout_s=client.ADMIN_TIMEOUT_S + SLACK_S, kinds=_ERRORS)
    if detach:
        output.emit(said["id"])
        return 0
    return _followed(file, said["id"], wait_s)


def _followed(file: Path | None, id: str, wait_s: float) -> int:
    until = time.monotonic() + wait_s
    while True:
        said = _admin(file, "GET", f"/v1/runs/{id}")
        if "ended" in said:
            break
        if time.monotonic() >= until:
            hint = f"it goes on; `fnctl workflow show {id}` shows it"
            raise DeadlineExceeded(f"the run {id} is still {said['state']}", hint=hint)
        time.sleep(LOOK_S)
    if said["state"] == "completed":
        output.emit_json(said.get("output"))
        return 0
    output.emit_json(said.get("error") or {"title": f"the run was {said['state']}"})
    output.say(f"run {id}: {said['state']}; `fnctl workflow graph {id}` shows where")
    return 1


def ls(
    open_only: Annotated[bool, typer.Option("--open", help="Only those that have not ended.")] = False,
    file: FileOption = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """List the runs of workflows, the newest first.

    \b
    Examples:
      fnctl workflow ls
      fnctl workflow ls --open -o json
    """
    said = _admin(file, "GET", "/v1/runs")
    rows = [each for each in said["runs"] if not open_only or each["ended"] is None]
    if form is Format.JSON:
        output.emit_json({"runs": rows})
        return
    now = time.time()
    shown = [
        (each["id"], each["of"], each["state"], f"{span(max(0.0, now - each['started']))} ago", _took(each))
        for each in rows
    ]
    output.emit(output.table(("RUN", "WORKFLOW", "STATE", "STARTED", "TOOK"), shown))


def show(id: IdArgument, file: FileOption = None, form: FormatOption = Format.TEXT) -> None:
    """Show a run: its state, its steps, and its output or error.

    \b
    Examples:
      fnctl workflow show 01JF5Z6K3V9Q8N7M4R2T1W0XYZ
      fnctl workflow show 01JF5Z6K3V9Q8N7M4R2T1W0XYZ -o json | jq .steps
    """
    said = _admin(file, "GET", _path(id))
    if form is Format.JSON:
        output.emit_json(said)
        return
    output.emit(f"{said['workflow']} {said['id']}: {said['state']}")
    rows = [
        (each["name"], each["kind"], each["state"], each["attempts"], _took(each | {"started": each["began"]}))
        for each in said["steps"]
    ]
    output.emit(output.table(("STEP", "KIND", "STATE", "ATTEMPTS", "TOOK"), rows))
    for key in ("output", "error", "not_undone"):
        if key in said:
            output.emit(f"{key}: {json.dumps(said[key], ensure_ascii=False)}")


def graph(
    id: IdArgument,
    svg: Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Write the picture there as SVG.")] = None,
    file: FileOption = None,
) -> None:
    """Draw a run: its tasks, with their states and times.

    \b
    Examples:
      fnctl workflow graph 01JF5Z6K3V9Q8N7M4R2T1W0XYZ
      fnctl workflow graph 01JF5Z6K3V9Q8N7M4R2T1W0XYZ --svg run.svg
    """
    said = _admin(file, "GET", _path(id, "/graph"))
    if svg is None:
        output.emit(said["text"].rstrip("\n"))
        return
    try:
        svg.write_text(said["svg"])
    except OSError as error:
        raise UsageError(f"--svg: {svg} cannot be written: {error.strerror}") from error
    output.say(f"wrote {svg}")


def history(
    id: IdArgument,
    io: Annotated[bool, typer.Option("--io", help="Show the input and output of each step.")] = False,
    file: FileOption = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Print the log of a run, one line for each entry.

    \b
    Examples:
      fnctl workflow history 01JF5Z6K3V9Q8N7M4R2T1W0XYZ
      fnctl workflow history 01JF5Z6K3V9Q8N7M4R2T1W0XYZ --io -o json
    """
    said = _admin(file, "GET", _path(id, "/history" + ("?io=1" if io else "")))
    if form is Format.JSON:
        output.emit_json(said)
        return
    for each in said["entries"]:
        at = datetime.fromtimestamp(each["at"]).astimezone().strftime("%H:%M:%S.%f")[:-3]
        rest = {key: value for key, value in each.items() if key not in ("number", "type", "at", "step")}
        more = json.dumps(rest, ensure_ascii=False) if rest else ""
        output.emit(f"{each['number']:>4}  {at}  {each['type']:<10}  {each.get('step', '')}  {more}".rstrip())


def cancel(id: IdArgument, file: FileOption = None) -> None:
    """Cancel a run. Completed tasks with `compensate` are undone.

    \b
    Examples:
      fnctl workflow cancel 01JF5Z6K3V9Q8N7M4R2T1W0XYZ
    """
    _admin(file, "POST", _path(id, "/cancel"))
    output.say(f"cancelled {id}")


def retry(
    id: IdArgument,
    step: Annotated[
        str | None,
        typer.Option("--from", metavar="STEP", help="Continue from this step (default: the one that failed)."),
    ] = None,
    latest: Annotated[
        bool, typer.Option("--latest", help="Use the current definition, if the completed steps fit it.")
    ] = False,
    file: FileOption = None,
) -> None:
    """Continue a failed run from a step. Steps that were completed before are not repeated.

    \b
    Examples:
      fnctl workflow retry 01JF5Z6K3V9Q8N7M4R2T1W0XYZ
      fnctl workflow retry 01JF5Z6K3V9Q8N7M4R2T1W0XYZ --from charge --latest
    """
    asked_for = [f"from={quote(step, safe='')}"] if step is not None else []
    asked_for += ["latest=1"] if latest else []
    said = _admin(file, "POST", _path(id, "/retry" + (f"?{'&'.join(asked_for)}" if asked_for else "")))
    output.say(f"{id} continues from {said['from']}")


def check(
    against_running: Annotated[
        bool, typer.Option("--against-running", help="Also check whether runs that have not ended fit the definitions.")
    ] = False,
    file: FileOption = None,
    form: FormatOption = Format.TEXT,
) -> int:
    """Check the project's workflows; with --against-running, also whether open runs fit them.

    Exits with 1 if a run does not fit. After `reload`, runs continue with the definition they started with.

    \b
    Examples:
      fnctl workflow check
      fnctl workflow check --against-running
    """
    from fnctl import config

    project = config.load(Path.cwd(), file)
    found = _admin(file, "GET", "/v1/workflows/check")["runs"] if against_running else []
    if form is Format.JSON:
        output.emit_json({"workflows": [each.name for each in project.workflows], "runs": found})
    else:
        output.say(f"{len(project.workflows)} workflows are valid")
        for each in found:
            said = [*each["wrong"], *each["functions"]] or ["another definition, which fits"]
            output.emit(f"{each['workflow']} {each['run']} ({each['state']}): {'; '.join(said)}")
    return 1 if any(each["wrong"] for each in found) else 0


def _took(each: dict[str, Any]) -> str:
    end = each.get("ended")
    return "" if end is None else span(max(0.0, end - each["started"]))


def _path(id: str, more: str = "") -> str:
    return f"/v1/runs/{quote(id, safe='')}{more}"


def _admin(file: Path | None, method: str, target: str) -> dict[str, Any]:
    paths = project_paths(file)
    try:
        return client.admin(paths.admin_socket, method, target, timeout_s=client.ADMIN_TIMEOUT_S + SLACK_S)
    except client.NotListening:
        raise not_running(paths, file) from None
