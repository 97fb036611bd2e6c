"""What the user sees: data on stdout, everything else on stderr. The only importer of `rich`, where a bar moves."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from fnctl.errors import FnctlError
from fnctl.progress import Progress

if TYPE_CHECKING:
    from rich.progress import TaskID

KEPT_LINES = 20  # of a step's own output, shown where the step fails
# Everything a terminal acts on but tab and colour: a function's output must not move the cursor or set a title.
CONTROL = re.compile(
    r"(?P<colour>\x1b\[[0-9;]*m)"
    r"|\x1b\[[0-?]*[ -/]*[@-~]"  # other control sequences
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # strings: titles, links, device control
    r"|[\x00-\x08\x0a-\x1f\x7f-\x9f]"
)


def emit(text: str) -> None:
    """A line of data."""
    sys.stdout.write(text + "\n")


def emit_json(value: object) -> None:
    emit(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def emit_error(failure: FnctlError) -> None:
    """As JSON, on one line: what reads JSON lines reads it, too."""
    fields = {"code": failure.code, "message": failure.message, "hint": failure.hint, "detail": failure.detail}
    emit(
        json.dumps({"error": {name: value for name, value in fields.items() if value is not None}}, ensure_ascii=False)
    )


def flush() -> None:
    """Let a reader at the other end of a pipe see what was emitted, now."""
    sys.stdout.flush()


def say(text: str) -> None:
    """A line for the person at the terminal."""
    sys.stdout.flush()
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def notes(texts: Iterable[str]) -> None:
    """What the user should know of how the project was understood."""
    for text in texts:
        say(f"note: {printable(text)}")


def error(failure: FnctlError) -> None:
    """`error: …`, the evidence indented, then a blank line and the hint."""
    _tell(_paint("error:", "31;1", sys.stderr), failure)


def warning(failure: FnctlError) -> None:
    """Like an error, of what goes on nevertheless."""
    _tell(_paint("warning:", "33;1", sys.stderr), failure)


def _tell(word: str, failure: FnctlError) -> None:
    parts = [f"{word} {failure.message}"]
    if failure.detail:
        parts.append("\n".join(f"  {printable(line)}" for line in failure.detail.rstrip().splitlines()))
    if failure.hint:
        parts.append(f"\n{_paint('hint:', '36;1', sys.stderr)} {failure.hint}")
    say("\n".join(parts))


def printable(text: str, colour: bool = False) -> str:
    """`text` without what a terminal would act on; colours stay where asked for."""
    return CONTROL.sub(lambda found: (found["colour"] or "") if colour else "", text)


def paint(text: str, style: str) -> str:
    """`text` in an ANSI style ("31;1") where stdout shows colours, else as it is."""
    return _paint(text, style, sys.stdout)


def stress(text: str) -> str:
    """What is bad news, in what is said."""
    return _paint(text, "31", sys.stderr)


def _paint(text: str, style: str, stream: TextIO) -> str:
    return f"\x1b[{style}m{text}\x1b[0m" if colours(stream) else text


def colours(stream: TextIO) -> bool:
    """Whether to colour: a terminal that can, and no NO_COLOR (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns aligned by spaces, cut nowhere: reads the same in a terminal, a pipe and a bug report."""
    cells = [list(headers), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headers))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def _cell(value: object) -> str:
    return "-" if value is None or value == "" else printable(str(value))


def megabytes(size: float) -> str:
    """Bytes as "12.3 MB", the unit that every figure of fnctl is shown in."""
    return f"{size / 1e6:.1f} MB"


def clear() -> None:
    """An empty page, on a terminal; nothing elsewhere."""
    if sys.stdout.isatty():
        sys.stdout.write("\x1b[H\x1b[2J")


@contextlib.contextmanager
def live(stream: TextIO | None = None) -> Iterator[Callable[[str], None]]:
    """A page on stderr that each call draws anew in place. For terminals: ask `isatty` first."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with Live(console=Console(file=stream or sys.stderr), auto_refresh=False) as shown:
        yield lambda text: shown.update(Text(text), refresh=True)


@contextlib.contextmanager
def progress(stream: TextIO | None = None) -> Iterator[Progress]:
    """Tell the progress of long work on stderr: live on a terminal, else a line when a step starts and ends."""
    stream = stream or sys.stderr
    if not stream.isatty() or os.environ.get("TERM") == "dumb":
        yield PlainProgress(stream)
        return
    live = LiveProgress(stream)
    with live.shown():
        yield live


class _Steps:
    """What both drawings remember of the steps that run: since when, and the last lines of each."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._began: dict[str, float] = {}
        self._lines: dict[str, deque[str]] = {}

    def begin(self, step: str) -> None:
        with self._lock:
            self._began[step] = self._clock()
            self._lines[step] = deque(maxlen=KEPT_LINES)

    def keep(self, step: str, text: str) -> None:
        with self._lock:
            self._lines.setdefault(step, deque(maxlen=KEPT_LINES)).append(printable(text))

    def end(self, step: str) -> tuple[float, list[str]]:
        """Seconds it took, and its last lines."""
        with self._lock:
            now = self._clock()
            return now - self._began.pop(step, now), list(self._lines.pop(step, ()))


class PlainProgress:
    """Progress as lines, for pipes and CI. A step's own output is shown only where the step fails."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._steps = _Steps(clock)

    def start(self, step: str) -> None:
        self._steps.begin(step)
        self._write(step)

    def line(self, step: str, text: str) -> None:
        self._steps.keep(step, text)

    def done(self, step: str, note: str = "") -> None:
        took, _ = self._steps.end(step)
        self._write(f"{step}: done{f', {note}' if note else ''} ({took:.1f} s)")

    def failed(self, step: str, note: str = "") -> None:
        took, lines = self._steps.end(step)
        said = f"{step}: failed{f', {note}' if note else ''} ({took:.1f} s)"
        self._write("\n".join([said, *(f"  {line}" for line in lines)]))

    def _write(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


class LiveProgress:
    """Progress on a terminal: a spinner a running step with its last line, and a plain line for each that ended."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.console import Console
        from rich.progress import Progress as Bars
        from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

        self._console = Console(file=stream, highlight=False, markup=False)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[last]}", style="dim", markup=False),
        )
        self._bars = Bars(*columns, console=self._console, transient=True)
        self._steps = _Steps(clock)
        self._tasks: dict[str, TaskID] = {}

    def shown(self) -> contextlib.AbstractContextManager[Any]:
        return self._bars

    def start(self, step: str) -> None:
        self._steps.begin(step)
        self._tasks[step] = self._bars.add_task(step, total=None, last="")

    def line(self, step: str, text: str) -> None:
        self._steps.keep(step, text)
        if step in self._tasks:
            self._bars.update(self._tasks[step], last=printable(text)[:60])

    def done(self, step: str, note: str = "") -> None:
        took, _ = self._end(step)
        self._console.print(f"✓ {_ended(step, note, took)}", style="green", soft_wrap=True)

    def failed(self, step: str, note: str = "") -> None:
        took, lines = self._end(step)
        self._console.print(f"✗ {_ended(step, note, took)}", style="red", soft_wrap=True)
        for line in lines:
            self._console.print(f"  {line}", style="dim", soft_wrap=True)

    def _end(self, step: str) -> tuple[float, list[str]]:
        task = self._tasks.pop(step, None)
        if task is not None:
            self._bars.remove_task(task)
        return self._steps.end(step)


def _ended(step: str, note: str, took_s: float) -> str:
    return f"{step}  {note + '  ' if note else ''}{took_s:.1f} s"
