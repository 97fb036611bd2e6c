"""The picture of a graph: for the terminal, and as SVG. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from fnctl.openworkflow.graph import Box

_MARKS = {
    "completed": "✓",
    "failed": "✗",
    "undone": "↶",
    "running": "▶",
    "waiting": "…",
    "cut": "✂",
    "skipped": "-",
    "pending": "·",
}
_FILLS = {
    "completed": "#d9f2dc",
    "failed": "#f8d3d0",
    "undone": "#f3e3c3",
    "running": "#d5e6fb",
    "waiting": "#e7dcf7",
    "cut": "#e6e6e6",
    "skipped": "#f4f4f4",
    "pending": "#ffffff",
}
_WIDTH, _HEIGHT, _GAP, _PAD, _HEAD = 210.0, 44.0, 22.0, 12.0, 40.0
_LETTERS = 34  # that a box holds


def text(boxes: list[Box], now: float | None = None) -> str:
    """One line a task; what is within it is indented."""
    return "\n".join(_lines(boxes, "", now)) + "\n"


def _lines(boxes: list[Box], indent: str, now: float | None) -> Iterator[str]:
    for box in boxes:
        said = [f"{indent}{_MARKS[box.state]} {box.name}", f"({box.kind}{': ' + box.note if box.note else ''})"]
        said += [f"×{box.visits}"] if box.visits > 1 else []
        said += [span] if (span := lasted(box, now)) else []
        said += [f"→ {box.then}"] if box.then else []
        yield " ".join(said)
        for label, inner in box.groups:
            if label:
                yield f"{indent}  {label}:"
            yield from _lines(inner, indent + ("    " if label else "  ") + ("‖ " if box.beside else ""), now)


def lasted(box: Box, now: float | None) -> str:
    """How long it took, or takes already."""
    end = box.ended if box.state not in ("running", "waiting") else now
    if box.began is None or end is None:
        return ""
    return spoken(max(0.0, end - box.began))


def spoken(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for unit, size in (("d", 86_400.0), ("h", 3600.0), ("m", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


# -- SVG ---------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Part:
    """Something drawn, at its own origin."""

    width: float
    height: float
    svg: str

    def at(self, x: float, y: float) -> str:
        return f'<g transform="translate({x:g} {y:g})">{self.svg}</g>'


def svg(boxes: list[Box], title: str, now: float | None = None) -> str:
    """A whole document."""
    body = _column(boxes, now)
    width, height = body.width + 2 * _PAD, body.height + 2 * _PAD + 28
    heading = f'<text x="{_PAD:g}" y="24" font-weight="bold">{escape(title)}</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}"'
        f' viewBox="0 0 {width:g} {height:g}"'
        ' font-family="sans-serif" font-size="13"><defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4"'
        ' markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="#555"/></marker></defs>'
        f'<rect width="100%" height="100%" fill="#fff"/>{heading}{body.at(_PAD, _PAD + 28)}</svg>\n'
    )


def _column(boxes: list[Box], now: float | None) -> _Part:
    """One below the other, with arrows between."""
    parts = [_drawn(box, now) for box in boxes]
    width = max((part.width for part in parts), default=_WIDTH)
    y, found = 0.0, []
    for number, part in enumerate(parts):
        if number:
            found.append(_arrow(width / 2, y - _GAP, width / 2, y))
        found.append(part.at((width - part.width) / 2, y))
        y += part.height + _GAP
    return _Part(width, max(0.0, y - _GAP), "".join(found))


def _drawn(box: Box, now: float | None) -> _Part:
    if not any(inner for _, inner in box.groups):
        return _Part(_WIDTH, _HEIGHT, _frame(box, _WIDTH, _HEIGHT, now))
    groups = [(label, part) for label, inner in box.groups if inner for part in _groups(box, inner, now)]
    width = sum(part.width for _, part in groups) + _PAD * (len(groups) + 1)
    head = _HEAD + (14.0 if any(label for label, _ in groups) else 0.0)
    height = max(part.height for _, part in groups) + head + _PAD
    width = max(width, _WIDTH)
    x, found = _PAD, [_frame(box, width, height, now)]
    for label, part in groups:
        found.append(f'<text x="{x:g}" y="{head - 4:g}" fill="#555" font-size="11">{escape(label)}</text>')
        found.append(part.at(x, head))
        x += part.width + _PAD
    return _Part(width, height, "".join(found))


def _groups(box: Box, inner: list[Box], now: float | None) -> list[_Part]:
    return [_drawn(each, now) for each in inner] if box.beside else [_column(inner, now)]


def _frame(box: Box, width: float, height: float, now: float | None) -> str:
    span = lasted(box, now)
    second = " · ".join(each for each in (box.kind, box.note, f"×{box.visits}" if box.visits > 1 else "", span) if each)
    dash = ' stroke-dasharray="4 3"' if box.state in ("pending", "skipped") else ""
    then = f'<text x="{width - 8:g}" y="17" text-anchor="end" font-size="11">→ {escape(box.then)}</text>'
    return (
        f'<rect class="{box.state}" width="{width:g}" height="{height:g}" rx="6" fill="{_FILLS[box.state]}"'
        f' stroke="#555"{dash}><title>{escape(f"{box.name}: {box.state}")}</title></rect>'
        f'<text x="8" y="17">{_MARKS[box.state]} {escape(_short(box.name))}</text>'
        f'<text x="8" y="34" font-size="11" fill="#333">{escape(_short(second))}</text>{then if box.then else ""}'
    )


def _short(words: str) -> str:
    return words if len(words) <= _LETTERS else f"{words[: _LETTERS - 1]}…"


def _arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path d="M{x1:g} {y1:g} {x2:g} {y2:g}" stroke="#555" fill="none" marker-end="url(#tip)"/>'
