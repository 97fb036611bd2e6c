"""Which lines of a program's output say why it ended: not always the last ones. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

KEPT = 200  # lines of a load's output that are looked at
LAST = 3  # of the end, whatever they say
WHY = 4  # of those that say why
_WHY = re.compile(
    r"\w*(?:Error|Exception)\b|\b(?:error|fatal|panic|failed|failure|refused|denied|cannot|can't|unable|not found"
    r"|no such|missing|invalid|unknown|undefined|segmentation|killed|aborted?)\b",
    re.IGNORECASE,
)
# … and hardly ever without a reason, as `undefined` does in a list of settings.
_SURE = re.compile(r"\w+(?:Error|Exception)\b|\b(?:fatal|panic)\b|^\W*Error:", re.IGNORECASE)
# A place in a stack, which says where: JavaScript, Python, Java, Ruby, Go.
_FRAME = re.compile(r"^\s+at |^\s*File \"|^\s+from .*:\d+:in |^\t\S+\.go:\d+|^goroutine \d+")


def telling(lines: Sequence[str]) -> list[str]:
    """The lines to show, in their order, `…` where some are left out: those that say why, and the last ones."""
    if len(lines) <= LAST + 2:
        return list(lines)
    why = [at for at, line in enumerate(lines) if _WHY.search(line) and not _FRAME.match(line)]
    sure = [at for at in why if _SURE.search(lines[at])]
    shown = sorted({*(sure or why)[:1], *why[-(WHY - 1) :], *range(len(lines) - LAST, len(lines))})
    told: list[str] = []
    for before, at in zip([-1, *shown], shown, strict=False):
        told += ["…"] if at > before + 1 else []
        told.append(lines[at])
    return told
