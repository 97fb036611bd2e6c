"""What `fnctl run` prints while it serves: output of functions, and one line for each request."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from fnctl.cli import output

# Shown of each look, four times a second: more cannot be read, and each costs the service's process what a call costs.
# What functions print and what went wrong gets more room: a stack is whole.
MOST_REQUESTS = 8
MOST_LINES = 75
LOOK_S = 0.25
# How instances end when all is well, which is of no interest here.
_USUAL = frozenset(f"instance ended: {why}" for why in ("reaped", "evicted", "replaced", "stopped", "surplus", "used"))


@contextlib.contextmanager
def following(logs: Path) -> Iterator[None]:
    """While inside, what the functions of these logs print is shown, on a thread of its own; the last of it at the
    end."""
    over = threading.Event()
    thread = threading.Thread(target=_follow, args=(logs, over), name="following", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(5)


def _follow(logs: Path, over: threading.Event) -> None:
    from fnctl.records.reader import news

    for look in news(logs, over.wait, MOST_REQUESTS, MOST_LINES, LOOK_S):
        lines = [line for entry in look.entries if (line := shown(entry)) is not None]
        if look.more:
            lines.append(f"… {look.more} more: `fnctl logs` has all of them")
        if lines:
            output.say("\n".join(lines))


def shown(entry: Mapping[str, Any]) -> str | None:
    """`14:03:22 shop | what it printed`, or `14:03:22 shop 200 GET /a 1.2 ms`; None for what is not worth a line."""
    at = datetime.fromtimestamp(entry.get("t", 0)).strftime("%H:%M:%S")
    name = entry.get("function", "-")
    if entry.get("kind") == "receipt":
        return f"{at} {name} {_request(entry)}"
    text = str(entry.get("text", ""))
    if text in _USUAL:
        return None
    lines = [output.printable(line, colour=True).encode(errors="replace").decode() for line in text.splitlines()]
    return "\n".join(f"{at} {name} | {line}" for line in lines or [""])


def _request(receipt: Mapping[str, Any]) -> str:
    verdict, status = str(receipt.get("verdict", "-")), int(receipt.get("status") or 0)
    start = receipt.get("start")
    took = f"{receipt.get('total_ms') or 0:.1f} ms"
    parts = [str(status), str(receipt.get("method", "")), str(receipt.get("path", "")), took]
    parts += [f"({start} start)"] if start not in (None, "warm") else []
    parts += [f"{verdict}: {receipt['detail']}" if receipt.get("detail") else verdict] if verdict != "ok" else []
    line = output.printable(" ".join(part for part in parts if part))
    return output.stress(line) if status >= 500 or verdict != "ok" else line
