"""Renders docs/reference/*.md from the code that they describe: `python -m fnctl.cli.reference docs/reference`."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fnctl import config, errors
from fnctl.cli.app import VERBS, Verb, command
from fnctl.config.units import DURATION_PATTERN, SIZE_PATTERN
from fnctl.model import Receipt

WIDTH = 100
UNITS = {DURATION_PATTERN: "duration", SIZE_PATTERN: "size"}
MADE = "<!-- Made from the code by `python -m fnctl.cli.reference docs/reference`; edit that. -->\n"

EXIT_CODES = {
    0: "it worked",
    1: "it failed",
    2: "the command line, a file or a name cannot be used",
    124: "a deadline passed",
    130: "interrupted (Ctrl-C)",
}

RECEIPT = {
    "id": "The invocation: 26 characters, sortable by time. Also in the response, as `X-Fnctl-Invocation-Id`.",
    "function": "The function's name.",
    "version": "The first 12 hex digits of the digest of the code that ran.",
    "start": "How the instance came to be: `cold`, `base`, `runtime` or `warm`; nothing where none was reached.",
    "status": "The HTTP status of the answer.",
    "verdict": "`ok`, or the code of the error: `crash`, `oom`, `timeout`, `queue_full`, …",
    "at": "When the request's head had been read, in seconds since the epoch.",
    "queue_ms": "Waiting for an instance.",
    "container_ms": "Making the container, where it was made for this request.",
    "runtime_ms": "Booting the language runtime, where that was not done ahead.",
    "load_ms": "Loading the function's code, where it was not loaded.",
    "handler_ms": "In the function.",
    "total_ms": "All of it.",
    "billed_ms": "`handler_ms`, rounded up to whole ms.",
    "cpu_ms": "CPU time; nothing where it could not be measured.",
    "shared_by": "How many invocations ran in the instance in the window that `cpu_ms` is a share of.",
    "peak_memory_mb": "The instance's peak memory; nothing where it could not be measured.",
    "instance": "The instance that ran it.",
    "method": "The request's method.",
    "path": "The request's path.",
    "detail": "More about an error.",
}


def pages() -> dict[str, str]:
    """Every page of the reference, by file name."""
    return {
        "cli.md": MADE + "\n".join(_cli()),
        "configuration.md": MADE + "\n".join(_configuration(config.schema())),
        "errors.md": MADE + "\n".join(_errors()),
        "receipt.md": MADE + "\n".join(_receipt()),
    }


def _cli() -> Iterator[str]:
    yield "# Commands\n\nData goes to stdout, everything else to stderr. `NO_COLOR` is honoured.\n"
    yield _table(("exit code", "meaning"), [(str(code), meaning) for code, meaning in EXIT_CODES.items()])
    yield f"```text\n{_help(command(), 'fnctl')}\n```\n"
    for verb in VERBS:
        yield f"## fnctl {verb.name}\n\n```text\n{_verb_help(verb)}\n```\n"


def _verb_help(verb: Verb) -> str:
    return _help(verb.load(), f"fnctl {verb.name}")


def _help(cmd: Any, name: str) -> str:
    """What `--help` prints, at a width that does not depend on whose terminal this is."""
    context = cmd.make_context(name, [], resilient_parsing=True, terminal_width=WIDTH)
    return "\n".join(line.rstrip() for line in context.get_help().splitlines())


def _configuration(schema: Mapping[str, Any]) -> Iterator[str]:
    yield "# fnctl.yaml\n"
    yield (
        "Durations are written `500ms`, `30s`, `2m`, `1h`; sizes `128m`, `1g`. `${NAME}` is filled in from the "
        "environment or the `.env` beside the file, `${NAME:-default}` has a default, `$$` is a dollar. Top-level keys "
        "that begin with `x-` are ignored. `fnctl schema` prints the JSON Schema.\n"
    )
    yield from _keys("The file", schema)
    for name, title in (
        ("FunctionEntry", "functions.NAME"),
        ("ScaleEntry", "functions.NAME.scale"),
        ("TriggerEntry", "functions.NAME.triggers[]"),
        ("HttpEntry", "functions.NAME.triggers[].http"),
        ("ServiceEntry", "services.NAME"),
        ("SecretEntry", "secrets.NAME"),
    ):
        yield from _keys(title, schema["$defs"][name], schema["$defs"])


def _keys(title: str, place: Mapping[str, Any], defs: Mapping[str, Any] | None = None) -> Iterator[str]:
    required = place.get("required", ())
    rows = [
        (
            f"`{key}`",
            _type(each, defs or place["$defs"]),
            "required" if key in required else _default(each),
            each["description"] + _examples(each),
        )
        for key, each in place["properties"].items()
    ]
    yield f"## {title}\n\n{place.get('description', '')}\n"
    yield _table(("key", "type", "default", "meaning"), rows)


def _type(each: Mapping[str, Any], defs: Mapping[str, Any]) -> str:
    for choice in ("anyOf", "oneOf"):
        if choice in each:
            return " or ".join(_type(one, defs) for one in each[choice] if one.get("type") != "null")
    if "allOf" in each:
        return _type(each["allOf"][0], defs)
    if "$ref" in each:
        return _type(defs[each["$ref"].rpartition("/")[2]], defs)
    if "enum" in each or "const" in each:
        return " or ".join(f"`{word}`" for word in each.get("enum", [each.get("const")]))
    if each.get("pattern") in UNITS:
        return UNITS[each["pattern"]]
    named = {"object": "map", "array": "list", "string": "text", "integer": "whole number"}
    kind = each.get("type", "")
    return named.get(kind, kind) if isinstance(kind, str) else "text"


def _default(each: Mapping[str, Any]) -> str:
    default = each.get("default")
    return "" if default in (None, [], {}) else f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _examples(each: Mapping[str, Any]) -> str:
    if "examples" not in each or each.get("pattern") in UNITS:
        return ""
    shown = ", ".join(f"`{one if isinstance(one, str) else json.dumps(one)}`" for one in each["examples"])
    return f" For example {shown}."


def _errors() -> Iterator[str]:
    yield "# Errors\n\nOn the command line: `error: …`, a blank line and a hint. Over HTTP an error has a body"
    yield "with the invocation's id, and the logs say the same. `code` is stable; the words are not.\n"
    rows = [
        (f"`{each.__name__}`", f"`{each.code}`", str(each.exit_code), str(each.http_status), _meaning(each))
        for each in _tree(errors.FnctlError)
    ]
    yield _table(("error", "code", "exit code", "HTTP", "meaning"), rows)


def _tree(root: type[errors.FnctlError]) -> Iterator[type[errors.FnctlError]]:
    """The classes that fnctl/errors.py declares, parents first. Those of single modules are told as their parents."""
    if root.__module__ == errors.__name__:
        yield root
        for child in root.__subclasses__():
            yield from _tree(child)


def _meaning(each: type[errors.FnctlError]) -> str:
    """The class's words in the tree that the module's docstring draws, else its own first sentence."""
    for line in (errors.__doc__ or "").splitlines():
        words = line.lstrip("│├└─ ").split(maxsplit=3)
        if len(words) == 4 and words[0] == each.__name__:
            return words[3]
    return (each.__doc__ or "").split(". ")[0].replace("\n", " ").rstrip(".")


def _receipt() -> Iterator[str]:
    yield "# Receipt\n\nEvery invocation leaves one: a line of `kind` `receipt` in `fnctl logs -o json`.\n"
    yield "The main times are in the response as well, as `Server-Timing`.\n"
    names = [each.name for each in dataclasses.fields(Receipt)]
    yield _table(("field", "meaning"), [(f"`{name}`", RECEIPT[name]) for name in names])


def _table(headers: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [headers, tuple("---" for _ in headers), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in lines) + "\n"


def write(folder: Path) -> None:
    """Write every page into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
