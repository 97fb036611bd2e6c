"""What moby's default seccomp profile allows a container that has no capability, by name: recorded in `moby.txt`.

Recorded from seccomp/default.json of github.com/moby/profiles, commit 02e898b137aed1024e232d59bcb05e6179b72177. To
record a newer one: `python -m tests.unit.engine.moby default.json`, then run the tests: each new difference needs its
reason in `test_seccomp.py`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

RECORD = Path(__file__).with_name("moby.txt")
ARCHES = {"amd64", "arm64"}


def allowed(profile: dict[str, Any]) -> set[str]:
    """Names that a rule allows on our machines with no capability, for some argument at least."""
    return {
        name
        for rule in profile["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW" and _here(rule.get("includes") or {}, rule.get("excludes") or {})
        for name in rule["names"]
    }


def _here(includes: dict[str, Any], excludes: dict[str, Any]) -> bool:
    wanted, barred = includes.get("arches"), excludes.get("arches", ())
    return not includes.get("caps") and (not wanted or bool(ARCHES & set(wanted))) and not ARCHES & set(barred)


def recorded() -> set[str]:
    return set(RECORD.read_text("utf-8").split())


if __name__ == "__main__":
    RECORD.write_text("\n".join(sorted(allowed(json.loads(Path(sys.argv[1]).read_text("utf-8"))))) + "\n", "utf-8")
