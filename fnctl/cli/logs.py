"""`fnctl logs`: what functions printed, and a receipt for each invocation, merged by time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from fnctl.cli import output
from fnctl.cli.not_running import not_running
from fnctl.cli.options import Format, FormatOption, project_paths
from fnctl.config.units import duration_s
from fnctl.errors import NotFound, UsageError

TIMES = ("queue", "container", "runtime", "load", "handler")


def logs(
    function: Annotated[
        str | None, typer.Argument(metavar="FUNCTION", help="Function or service to show (default: all).")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Follow new output, until Ctrl-C.")] = False,
    tail: Annotated[
        int | None, typer.Option("--tail", "-n", min=0, metavar="N", help="Show only the last N entries.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Show entries since a duration ago (`10m`) or a time (ISO 8601)."),
    ] = None,
    invocation: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Show only the invocation with this ID.")
    ] = None,
    form: FormatOption = Format.TEXT,
    file: Annotated[
        Path | None, typer.Option("--file", envvar="FNCTL_FILE", help="fnctl.yaml to use, or its folder.")
    ] = None,
) -> None:
    """Show the output of functions and services, and a receipt for each invocation.

    A receipt shows how the invocation started, how long each part took, the CPU time and memory used, and the result.

    \b
    Examples:
      fnctl logs -f
      fnctl logs todos --since 10m
      fnctl logs -o json | jq 'select(.verdict == "oom")'
    """
    import json

    from fnctl.records.reader import read

    paths = project_paths(file)
    if not paths.logs.is_dir():
        raise not_running(paths, file)
    if function is not None and not follow and not (paths.logs / f"{function}.jsonl").exists():
        raise NotFound(f"no logs for a function or service `{function}`", hint=_known(paths.logs))
    begin = None if since is None else moment(since, time.time())
    entries = read(paths.logs, function, since=begin, tail=tail if invocation is None else None, follow=follow)
    if invocation is not None:
        entries = _of(entries, invocation, tail, follow=follow)
    for entry in entries:
        output.emit(json.dumps(entry) if form is Format.JSON else shown(entry))
        if follow:
            output.flush()


def _of(
    entries: Iterator[dict[str, Any]], invocation: str, tail: int | None, *, follow: bool
) -> Iterator[dict[str, Any]]:
    """Those of one invocation. NotFound where there is none: an empty answer would look like a quiet function."""
    own = (entry for entry in entries if entry.get("id") == invocation)
    if follow:
        return own
    found = list(own)
    if not found:
        hint = "it is in the receipt, and in the response as X-Fnctl-Invocation-Id; only the last logs are kept"
        raise NotFound(f"no logs of an invocation `{invocation}`", hint=hint)
    return iter(found if tail is None else found[len(found) - min(tail, len(found)) :])


def _known(folder: Path) -> str:
    names = sorted(path.stem for path in folder.glob("*.jsonl"))
    return f"functions with logs: {', '.join(names)}" if names else "no function has logs yet"


def moment(text: str, now: float) -> float:
    """Epoch seconds of `10m` (ago) or an ISO 8601 time; local where it names no zone. UsageError for anything else."""
    try:
        return now - duration_s(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise UsageError(f"--since: `{text}` is not a time", hint="try 10m, 2h or 2030-01-31T09:00:00") from error


def shown(entry: dict[str, Any]) -> str:
    """One entry as a line: time, function, invocation, then the text or the receipt."""
    at = datetime.fromtimestamp(entry.get("t", 0)).strftime("%H:%M:%S.%f")[:-3]
    said = receipt(entry) if entry.get("kind") == "receipt" else str(entry.get("text", ""))
    # A stack is one entry of several lines. A function may print lone surrogates, which no terminal takes.
    lines = [output.printable(line, colour=True).encode(errors="replace").decode() for line in said.splitlines()]
    said = "\n  ".join(lines)
    return f"{at} {entry.get('function', '-')} {entry.get('id') or '-'} {said}"


def receipt(entry: dict[str, Any]) -> str:
    """`200 GET /api/todos warm 1.2 ms (queue 0 container 0 runtime 0 load 0 handler 1.1) cpu 0.8 ms peak 54 MB ok`"""
    times = " ".join(f"{name} {_ms(entry.get(f'{name}_ms'))}" for name in TIMES)
    parts = [
        str(entry.get("status", "-")),
        f"{entry.get('method', '')} {entry.get('path', '')}".strip(),
        entry.get("start") or "not started",
        f"{_ms(entry.get('total_ms'))} ms ({times})",
        f"cpu {_ms(entry.get('cpu_ms'))} ms",
        f"peak {_mb(entry.get('peak_memory_mb'))}",
        _verdict(entry),
    ]
    return " ".join(part for part in parts if part)


def _verdict(entry: dict[str, Any]) -> str:
    verdict = str(entry.get("verdict", "-"))
    detail = f": {entry['detail']}" if entry.get("detail") else ""
    return output.paint(verdict, "32" if verdict == "ok" else "31") + detail


def _ms(value: float | None) -> str:
    """At most one decimal, and none where it says nothing; `?` for what could not be measured."""
    return "?" if value is None else f"{value:.1f}".removesuffix(".0")


def _mb(value: float | None) -> str:
    return "?" if value is None else f"{value:.0f} MB"
