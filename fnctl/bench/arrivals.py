"""Arrivals of calls by the minute: the value, and reading it from a file. Not what is done about them.

Two forms of CSV are read. That of the Azure Functions trace of 2019 (`invocations_per_function_md.anon.d01.csv`):
`HashOwner,HashApp,HashFunction,Trigger,1,2,…,1440`, a row a function and a column a minute. And a short one of our own:
`function,minute,count`, with minutes from 0; minutes without calls need no row.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fnctl.errors import UsageError

if TYPE_CHECKING:
    from _csv import Reader as CsvReader

AZURE = ("HashOwner", "HashApp", "HashFunction", "Trigger")
OWN = ("function", "minute", "count")
LONGEST_MIN = 366 * 1440  # past a year it is a mistake, such as seconds since the epoch
FORMS = f"`{','.join(AZURE)},1,2,…` (Azure Functions 2019) or `{','.join(OWN)}`"


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The calls of one function: `(minute, calls)` in order of the minute, and only where there were any."""

    function: str
    counts: tuple[tuple[int, int], ...]

    @property
    def calls(self) -> int:
        return sum(calls for _, calls in self.counts)


@dataclass(frozen=True, slots=True)
class Trace:
    """Functions that were called at least once, by name, over `minutes` from minute 0."""

    source: str
    minutes: int
    functions: tuple[Arrivals, ...]

    @property
    def calls(self) -> int:
        return sum(function.calls for function in self.functions)


def read(path: Path) -> Trace:
    """The trace in a file. UsageError with `file:line` for what is not one of the two forms, or holds no call."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            trace = _parsed(_Lines(path, csv.reader(stream)))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}", hint=f"a CSV file of the form {FORMS}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text", hint=f"a CSV file of the form {FORMS}") from error
    if not trace.functions:
        raise UsageError(f"{path}: contains no calls", hint="at least one count must be above 0")
    return trace


class _Lines:
    """The rows of a CSV file, which know where they stand."""

    def __init__(self, path: Path, reader: CsvReader) -> None:
        self.path = path
        self._reader = reader

    def __iter__(self) -> Iterator[list[str]]:
        """Rows that are not blank."""
        try:
            yield from (row for row in self._reader if row)
        except csv.Error as error:
            raise self.wrong(f"not CSV: {error}") from error

    def wrong(self, what: str, hint: str | None = None) -> UsageError:
        # a quoted cell may hold line breaks, so that rows are not lines
        return UsageError(f"{self.path}:{max(1, self._reader.line_num)}: {what}", hint=hint)

    def number(self, text: str, what: str, most: int | None = None) -> int:
        """A whole number from 0."""
        if not (text.isascii() and text.isdigit()) or len(text) > 15:
            raise self.wrong(f"{what}: a whole number from 0 is expected, found {text[:40]!r}")
        value = int(text)
        if most is not None and value >= most:
            raise self.wrong(f"{what}: less than {most} is expected, found {value}")
        return value


def _parsed(lines: _Lines) -> Trace:
    rows = iter(lines)
    header = tuple(cell.strip() for cell in next(rows, []))
    if header == OWN:
        return _own(lines, rows)
    if header[: len(AZURE)] == AZURE and len(header) > len(AZURE):
        return _azure(lines, rows, header)
    raise lines.wrong(f"not the header of a trace: {','.join(header)[:80] or 'nothing'}", hint=f"expected {FORMS}")


def _own(lines: _Lines, rows: Iterator[list[str]]) -> Trace:
    found: dict[str, Counter[int]] = {}
    for row in rows:
        if len(row) != len(OWN):
            raise lines.wrong(f"{len(OWN)} cells are expected ({', '.join(OWN)}), found {len(row)}")
        name, minute, count = (cell.strip() for cell in row)
        if not name:
            raise lines.wrong("the function has no name")
        found.setdefault(name, Counter())[lines.number(minute, "minute", LONGEST_MIN)] += lines.number(count, "count")
    last = max((max(minutes) for minutes in found.values()), default=-1)
    return _trace(lines.path, last + 1, found)


def _azure(lines: _Lines, rows: Iterator[list[str]], header: tuple[str, ...]) -> Trace:
    first = len(AZURE)
    if header[first:] != tuple(str(minute) for minute in range(1, len(header) - first + 1)):
        raise lines.wrong("the columns after Trigger are not the minutes 1, 2, 3, …")
    found: dict[str, Counter[int]] = {}
    for row in rows:
        if len(row) != len(header):
            raise lines.wrong(f"{len(header)} cells are expected as in the header, found {len(row)}")
        # one function may have a row for each of its triggers
        minutes = found.setdefault(f"{row[1]}/{row[2]}", Counter())
        for minute, cell in enumerate(row[first:]):
            if cell != "0":
                minutes[minute] += lines.number(cell, f"minute {minute + 1}")
    return _trace(lines.path, len(header) - first, found)


def _trace(path: Path, minutes: int, found: dict[str, Counter[int]]) -> Trace:
    called = ((name, tuple(sorted((at, n) for at, n in counts.items() if n))) for name, counts in sorted(found.items()))
    return Trace(path.name, minutes, tuple(Arrivals(name, counts) for name, counts in called if counts))
