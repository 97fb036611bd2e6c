"""Other platforms' terms in ours: runtimes, function names, route paths. Pure."""

from __future__ import annotations

import re

from fnctl.model import HttpTrigger

# nodejs20.x, nodejs:18, nodejs@12, node22, python3.9, python3-http, php7.2, go1.x, java11
_RUNTIME = re.compile(r"(?P<word>[a-z]+(?:core)?)[@:]?(?P<version>\d+(?:\.\d+)*)?(?:\.x)?(?:-[\w-]+)?")
_LANGUAGES = {"nodejs": "node", "node": "node", "python": "python", "php": "php", "go": "go", "golang": "go"}
_ANY = frozenset({"ANY", "*", ""})
_SEGMENT = re.compile(r"\{(\w+)\+\}|:(\w+)|\*")


def runtime_of(word: str) -> tuple[str, str | None]:
    """Language and version of another platform's runtime: `nodejs18.x` is ("node", "18")."""
    found = _RUNTIME.fullmatch(word.strip().lower())
    if found is None:
        return word, None
    version = found["version"]
    if version and found["word"] == "python" and re.fullmatch(r"\d\d+", version):
        version = f"{version[0]}.{version[1:]}"  # python27
    return _LANGUAGES.get(found["word"], found["word"]), version


def name_of(word: str) -> str:
    """A legal function name: `HelloWorldFunction` is hello-world-function."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", word)
    name = re.sub(r"[^a-z0-9]+", "-", split.lower()).strip("-")[:63].rstrip("-")
    return name if name and name[0].isalpha() else f"fn-{name}".rstrip("-")[:63]


def route(path: str, methods: tuple[str, ...] = (), host: str | None = None) -> HttpTrigger | None:
    """A route as ours: `{proxy+}` and a last `*` take the rest. None where a segment is only partly variable."""
    parts = path.strip().strip("/").split("/") if path.strip("/ ") else []
    made = []
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        found = _SEGMENT.fullmatch(part)
        if found is None and re.fullmatch(r"[^{}*:]*|\{\w+\}", part):
            made.append(part)
        elif found and found[2]:
            made.append(f"{{{found[2]}}}")
        elif found and last:
            made.append(f"{{{found[1] or 'rest'}...}}")
        else:
            return None
    known = frozenset(method.upper() for method in methods)
    return HttpTrigger("/" + "/".join(made), frozenset() if known & _ANY else known, host)


def in_place_of(trigger: str) -> str:
    """What to do about a trigger of this kind, which is not HTTP: fnctl has timers, too, but their words differ."""
    if trigger.lower().startswith(("timer", "schedule")):
        return "write it into `triggers` in fnctl.yaml: `timer: {cron: …}`"
    return "fnctl has HTTP and timer triggers"
