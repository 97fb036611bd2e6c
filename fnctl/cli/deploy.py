"""`fnctl deploy`: let another version of a release take over in the running service."""

from __future__ import annotations

import time
from typing import Annotated
from urllib.parse import urlencode

import typer

from fnctl.cli import output
from fnctl.cli.not_running import not_running
from fnctl.cli.options import Format, FormatOption, duration, project_paths
from fnctl.control import client
from fnctl.errors import UsageError


def deploy(
    release: Annotated[str, typer.Argument(metavar="RELEASE", help="REGISTRY/REPO:TAG, REPO@sha256:… or FILE.tar.")],
    probe: Annotated[
        str,
        typer.Option(
            "--probe", metavar="PATH", help="GET this of each changed function without `health` before the switch."
        ),
    ] = "",
    to: Annotated[
        str, typer.Option("--to", metavar="ALIAS", help="Have this alias mean it; what serves other calls stays.")
    ] = "",
    canary: Annotated[
        str,
        typer.Option("--canary", metavar="PERCENT", help="Try it with this share of calls first, such as 10%."),
    ] = "",
    lasting: Annotated[
        str, typer.Option("--for", metavar="DURATION", help="How long the trial lasts (default: 5m, or no limit).")
    ] = "",
    calls: Annotated[
        int | None, typer.Option("--calls", metavar="N", min=1, help="The trial ends after N calls of its own.")
    ] = None,
    max_errors: Annotated[
        float,
        typer.Option("--max-errors", metavar="PERCENT", min=0, help="How many more of its calls may fail, in percent."),
    ] = 1.0,
    max_slower: Annotated[
        float, typer.Option("--max-slower", metavar="TIMES", min=1, help="How many times the old p99 its own may be.")
    ] = 1.5,
    timeout: Annotated[
        str, typer.Option("--timeout", "-t", metavar="DURATION", help="How long to wait for it.")
    ] = "20m",
    form: FormatOption = Format.TEXT,
) -> None:
    """Have the running service serve another release. Run it in the folder of the service.

    The release is fetched and checked. An instance of each function that it changes is loaded, and asked for its
    `health`. Then all of it takes over at once. Requests in flight end where they began. If anything fails, the version
    before keeps serving.

    With --canary, a share of the calls goes to the new version first. It takes over when the trial is over; more errors
    or a higher p99 than the version before end it at once. `fnctl rollback` ends it, too.

    \b
    Examples:
      fnctl deploy registry.example.org/team/shop:1.5
      fnctl deploy registry.example.org/team/shop:1.5 --to next
      fnctl deploy registry.example.org/team/shop:1.5 --canary 10% --for 2m
      fnctl rollback
    """
    from fnctl.registry import reference

    if not release.endswith(".tar"):
        reference.parse(release)
    else:
        from pathlib import Path

        release = str(Path(release).absolute())
    if probe and not probe.startswith("/"):
        raise UsageError(f"--probe cannot be `{probe[:20]}`", hint="a path, such as /health")
    asked: dict[str, object] = {"release": release, "probe": probe, "to": to}
    wait_s = duration("--timeout", timeout)
    if canary:
        if to:
            raise UsageError("--canary tries what is to take over, --to gives it a name", hint="use one of them")
        for_s = duration("--for", lasting or "5m") if lasting or calls is None else None
        asked |= {"canary": percent(canary), "errors": max_errors / 100, "slower": max_slower}
        asked |= {key: value for key, value in (("for", for_s), ("calls", calls)) if value is not None}
        wait_s += for_s or 0.0
    elif lasting or calls is not None:
        raise UsageError("--for and --calls are of a trial", hint="add --canary 10%")
    _change(f"/v1/deploy?{urlencode(asked)}", wait_s, form)


def percent(text: str) -> float:
    """Of 1. UsageError where it is none between 0 and 100."""
    try:
        share = float(text.removesuffix("%")) / 100
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise UsageError(f"--canary {text[:20]}: not a share of calls", hint="try --canary 10%")
    return share


def rollback(
    to: Annotated[
        int | None, typer.Option("--to", metavar="N", min=1, help="Version to go back to (default: the one before).")
    ] = None,
    timeout: Annotated[
        str, typer.Option("--timeout", "-t", metavar="DURATION", help="How long to wait for it.")
    ] = "5m",
    form: FormatOption = Format.TEXT,
) -> None:
    """Have the running service serve a version that it served before. Nothing is built, and nothing fetched. The one
    before the current is still loaded, and takes over at once.

    \b
    Examples:
      fnctl rollback
      fnctl rollback --to 3
    """
    _change(f"/v1/rollback?{urlencode({'to': to} if to else {})}", duration("--timeout", timeout), form)


def promote(
    word: Annotated[str, typer.Argument(metavar="ALIAS|VERSION", help="What is to serve calls without an alias.")],
    timeout: Annotated[
        str, typer.Option("--timeout", "-t", metavar="DURATION", help="How long to wait for it.")
    ] = "5m",
    form: FormatOption = Format.TEXT,
) -> None:
    """Have what an alias means serve the calls that ask for no alias. Of several versions, the one with most weight.

    \b
    Examples:
      fnctl promote next
      fnctl promote 8
    """
    _change(f"/v1/promote?{urlencode({'from': word})}", duration("--timeout", timeout), form)


def _change(target: str, wait_s: float, form: Format) -> None:
    folders = project_paths(None)
    began = time.monotonic()
    try:
        answer = client.admin(folders.admin_socket, "POST", target, timeout_s=wait_s)
    except client.NotListening:
        raise not_running(folders) from None
    if form is Format.JSON:
        output.emit_json(answer)
        return
    output.notes(answer["notes"])
    what = "; ".join(f"{verb} {', '.join(answer[verb])}" for verb in ("added", "changed", "removed") if answer[verb])
    said = f"version {answer['version']} is served: {what or 'nothing has changed'}"
    output.say(f"{said} ({time.monotonic() - began:.1f} s)\n{answer['release']}")
