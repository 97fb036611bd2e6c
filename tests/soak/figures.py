"""What a part of the soak has found: figures to print, and what failed."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.soak.pulse import MOST_S, Pulse


@dataclass(slots=True)
class Figures:
    """Of one part. `failed` holds what must not be, each with how often it was."""

    part: str
    counted: dict[str, Any] = field(default_factory=dict)
    failed: Counter[str] = field(default_factory=Counter)

    def turned(self, pulse: Pulse) -> None:
        """Of a part whose loop is that of what is tested."""
        self.counted["longest_turn_s"] = longest = pulse.stop()
        if longest > MOST_S:
            self.failed[f"a turn of {longest} s"] += 1

    def tell(self) -> None:
        """One line of JSON: data, so to stdout."""
        sys.stdout.write(json.dumps({"part": self.part, **self.counted, "failed": dict(self.failed)}) + "\n")
        sys.stdout.flush()


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
