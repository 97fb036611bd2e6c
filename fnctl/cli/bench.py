"""`fnctl bench`: measure a function of the project, or simulate policies; a table, JSON, and one HTML page."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fnctl.cli import output
from fnctl.cli.options import project_paths
from fnctl.errors import UsageError

if TYPE_CHECKING:
    from fnctl.bench.measure import Result
    from fnctl.bench.replay import Replay
    from fnctl.bench.session import Settings
    from fnctl.progress import Progress

FORMATS = ("text", "json")


def bench(
    function: Annotated[str | None, typer.Argument(help="Function to measure.", metavar="FUNCTION")] = None,
    samples: Annotated[
        int, typer.Option("--samples", "-n", min=2, max=1000, help="First calls to measure for each start kind.")
    ] = 20,
    concurrency: Annotated[
        str, typer.Option("--concurrency", "-c", metavar="N,N,…", help="Numbers of client connections to test.")
    ] = "1,8,32",
    duration: Annotated[float, typer.Option("--duration", min=1, max=600, help="Seconds of load in each round.")] = 3.0,
    rounds: Annotated[int, typer.Option("--rounds", min=1, max=100, help="Rounds for each number of connections.")] = 5,
    rate: Annotated[
        float | None, typer.Option("--rate", min=1, help="Also measure latency at this many requests per second.")
    ] = None,
    path: Annotated[
        str | None,
        typer.Option("--path", metavar="PATH", help="Path to call (default: the function's first URL)."),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option("--html", help="Where to write the HTML report (default: next to the project's logs)."),
    ] = None,
    replayed: Annotated[
        str | None,
        typer.Option(
            "--replay",
            metavar="FILE",
            help="Simulate keep-alive policies on a CSV of calls per minute, or on synthetic[:SEED].",
        ),
    ] = None,
    form: Annotated[str, typer.Option("--output", "-o", help="Output format: text or json.")] = "text",
    file: Annotated[Path | None, typer.Option("--file", "-f", help="fnctl.yaml to use, or its folder.")] = None,
) -> None:
    """Measure latency by start kind, and throughput, next to the same app without fnctl.

    Starts the project by itself: stop a running `fnctl run` first. With --replay it starts nothing: it simulates
    keep-alive policies on recorded calls, and compares cold starts with idle memory.

    \b
    Examples:
      fnctl bench todos
      fnctl bench todos --path /api/todos --concurrency 1,16 -o json
      fnctl bench --replay synthetic
    """
    from fnctl.bench.session import Settings

    if form not in FORMATS:
        raise UsageError(f"--output {form}: not a format", hint=f"one of: {', '.join(FORMATS)}")
    if replayed is not None:
        if function is not None:
            raise UsageError("--replay cannot be used with FUNCTION", hint="leave one of them out")
        _replay(replayed, form)
        return
    settings = Settings(samples, duration, levels(concurrency), rounds, rate, path)
    with measuring() as progress:
        result = _one(function, file, settings, progress)
    # not into the folder at hand: that may be a function's, and what lies there is part of it
    tell(result, form, page or project_paths(file).ensure().root / "bench.html")


@contextmanager
def measuring() -> Iterator[Progress]:
    """Progress on the terminal; SIGTERM ends what is measured as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _interrupt)
    with output.progress() as progress:
        yield progress


def tell(result: Result, form: str, page: Path) -> None:
    """Print the result in this format, and write its page."""
    from fnctl.bench import report

    if form == "json":
        from fnctl.bench.measure import as_json

        output.emit_json(as_json(result))
    else:
        output.emit(text(result))
    report.write(result, page)
    output.say(f"\nwrote report to {page}")


def _replay(given: str, form: str) -> None:
    from fnctl.bench import replay

    result = replay.replay(replay.trace_of(given))
    if form == "json":
        output.emit_json(replay.as_json(result))
    else:
        output.emit(replay_text(result))


def replay_text(result: Replay) -> str:
    """What was replayed, a row a policy, and what the simulation leaves out."""
    from fnctl.bench import replay

    what = f"{result.source}: {result.calls} calls of {result.functions} functions in {result.minutes} minutes"
    return "\n\n".join((what, output.table(*replay.table(result)), "\n".join(result.notes)))


def _interrupt(signum: int, frame: object) -> None:
    """As Ctrl-C: the services under measurement are in sessions of their own, and have to be stopped in order."""
    raise KeyboardInterrupt


def levels(given: str) -> tuple[int, ...]:
    """`1,8,32` as numbers. UsageError for anything else."""
    try:
        found = tuple(int(part) for part in given.split(","))
    except ValueError:
        found = ()
    if not found or min(found) < 1 or max(found) > 10_000:
        raise UsageError(f"--concurrency {given}: not a list of numbers from 1 to 10000", hint="try 1,8,32")
    return found


def _one(function: str | None, file: Path | None, settings: Settings, progress: Progress) -> Result:
    from fnctl import config
    from fnctl.bench import one

    project = config.load(Path.cwd(), file)
    if function is None:
        names = [known.name for known in project.functions]
        if len(names) != 1:
            raise UsageError(
                "this project has several functions", hint=f"name one: fnctl bench {names[0]} ({', '.join(names)})"
            )
        function = names[0]
    return one.measure(project, function, settings, progress)


def text(result: Result) -> str:
    """The tables of the result, then what was not measured, then the machine."""
    from fnctl.bench import figures

    parts = [
        output.table(headers, rows)
        for headers, rows in (figures.measure_table(result), figures.ratio_table(result), figures.load_table(result))
        if rows
    ]
    if missing := figures.left_out(result):
        parts.append("\n".join(f"not measured: {what}: {why}" for what, why in missing))
    parts.append("\n".join(f"{name}: {value}" for name, value in result.machine))
    if result.notes:
        parts.append("\n".join(result.notes))
    return "\n\n".join(parts)
