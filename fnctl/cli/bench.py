"""`fnctl bench`: measure a function of the project, or fnctl itself; a table, JSON, and one HTML page."""

from __future__ import annotations

import signal
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
    function: Annotated[str | None, typer.Argument(help="The function to measure.", metavar="FUNCTION")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Measure fnctl itself, on apps made of its templates. Takes a while.")
    ] = False,
    samples: Annotated[int, typer.Option("--samples", "-n", min=2, max=1000, help="First calls of each kind.")] = 20,
    concurrency: Annotated[
        str, typer.Option("--concurrency", "-c", metavar="N,N,…", help="Connections to load it with.")
    ] = "1,8,32",
    duration: Annotated[float, typer.Option("--duration", min=1, max=600, help="Seconds of load a round.")] = 3.0,
    rounds: Annotated[int, typer.Option("--rounds", min=1, max=100, help="Rounds of load at each concurrency.")] = 5,
    rate: Annotated[
        float | None, typer.Option("--rate", min=1, help="Also tell the latency at this many requests per second.")
    ] = None,
    path: Annotated[
        str | None,
        typer.Option("--path", metavar="PATH", help="The path to call; by default the function's first address."),
    ] = None,
    page: Annotated[
        Path | None, typer.Option("--html", help="Where to write the page; by default beside the project's logs.")
    ] = None,
    replayed: Annotated[
        str | None,
        typer.Option(
            "--replay",
            metavar="FILE",
            help="Simulate keep-alive policies on recorded arrivals, or on synthetic[:SEED].",
        ),
    ] = None,
    form: Annotated[str, typer.Option("--output", "-o", help="text or json.")] = "text",
    file: Annotated[Path | None, typer.Option("--file", "-f", help="The fnctl.yaml to use.")] = None,
) -> None:
    """Measure functions: latency by start kind, and throughput, beside what you would do without fnctl.

    Starts services of its own for it, so that none may be running for the project. With --replay it starts nothing,
    and tells cold starts against idle memory for several policies, from the calls a minute in a CSV file.

    \b
    Examples:
      fnctl bench todos
      fnctl bench todos --path /api/todos --concurrency 1,16 -o json
      fnctl bench --all
      fnctl bench --replay synthetic
    """
    from fnctl.bench import report
    from fnctl.bench.session import Settings

    if form not in FORMATS:
        raise UsageError(f"--output {form}: not a format", hint=f"one of: {', '.join(FORMATS)}")
    if replayed is not None:
        if function is not None or everything:
            raise UsageError("--replay simulates: it measures no function", hint="leave out FUNCTION and --all")
        _replay(replayed, form)
        return
    settings = Settings(samples, duration, levels(concurrency), rounds, rate, path)
    signal.signal(signal.SIGTERM, _interrupt)
    with output.progress() as progress:
        result = _everything(settings, progress) if everything else _one(function, file, settings, progress)
    if form == "json":
        from fnctl.bench.measure import as_json

        output.emit_json(as_json(result))
    else:
        output.emit(text(result))
    # not into the folder at hand: that may be a function's, and what lies there is part of it
    page = page or project_paths(file).ensure().root / "bench.html"
    report.write(result, page)
    output.say(f"\nwrote {page}")


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
        raise UsageError(f"--concurrency {given}: numbers from 1 to 10000 are expected", hint="such as 1,8,32")
    return found


def _everything(settings: Settings, progress: Progress) -> Result:
    from fnctl import paths
    from fnctl.bench import suite

    return suite.measure(paths.cache() / "bench" / "projects", settings, progress)


def _one(function: str | None, file: Path | None, settings: Settings, progress: Progress) -> Result:
    from fnctl import config
    from fnctl.bench import one

    project = config.load(Path.cwd(), file)
    if function is None:
        names = [known.name for known in project.functions]
        if len(names) != 1:
            raise UsageError("which function?", hint=f"`fnctl bench NAME`, one of: {', '.join(names)}; or --all")
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
