"""A validator's complaints as problems that a person can act on: file, line, what was found, what was meant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from fnctl.config.document import Document, Loc
from fnctl.config.keys import ProjectFile
from fnctl.config.problems import Problem, did_you_mean

_WANTED = {
    "string_type": "text",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "list_type": "a list",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
}
_NAME_HINT = "start with a lower-case letter, then use up to 62 lower-case letters, digits or hyphens"


def problems_of(error: ValidationError, document: Document) -> Iterator[Problem]:
    for detail in error.errors(include_url=False):
        loc = tuple(part for part in detail["loc"] if part != "[key]")
        text, hint = _said(detail, loc)
        yield Problem(document.label, document.line(loc), text, hint)


def _said(detail: ErrorDetails, loc: Loc) -> tuple[str, str | None]:
    kind, found, where = detail["type"], detail["input"], dotted(loc)
    if kind == "extra_forbidden":
        return f"unknown key `{loc[-1]}`{_inside(loc[:-1])}", did_you_mean(str(loc[-1]), _keys_at(loc[:-1]))
    if kind == "missing":
        return f"key `{loc[-1]}` is missing{_inside(loc[:-1])}", None
    if "[key]" in detail["loc"]:
        return f"invalid name `{loc[-1]}`{_inside(loc[:-1])}", _NAME_HINT
    if kind in ("enum", "literal_error"):
        known = re.findall(r"'([^']+)'", str(detail["ctx"]["expected"]))
        return f"{where} cannot be {_shown(found)}", did_you_mean(str(found), known)
    if kind == "value_error":
        text, _, hint = str(detail["ctx"]["error"]).partition("; ")
        return f"{where}: {text}", hint or None
    if kind in _WANTED:
        return f"{where} must be {_WANTED[kind]}, found {_shown(found)}", None
    if kind == "string_pattern_mismatch":
        return f"{where} cannot be {_shown(found)}", "start the path with `/`" if loc[-1] == "path" else None
    return f"{where}: {detail['msg'].lower().removeprefix('input ')}, found {_shown(found)}", None


def dotted(loc: Loc) -> str:
    """("functions", "todos", "triggers", 0) as `functions.todos.triggers[0]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")


def _inside(loc: Loc) -> str:
    return f" in {dotted(loc)}" if loc else ""


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, dict | list):
        return "keys and values" if isinstance(value, dict) else "a list"
    return f"`{value}`"


def _keys_at(loc: Loc) -> list[str]:
    """The keys that the schema has at a place, by following the place through the models."""
    at: Any = ProjectFile
    for part in loc:
        if (model := _model(at)) is not None:
            at = _keys(model).get(str(part))
        else:
            at = get_args(at)[-1] if get_args(at) else None
    model = _model(at)
    return sorted(_keys(model)) if model is not None else []


def _keys(model: type[BaseModel]) -> dict[str, Any]:
    """What stands under each key, as files spell it."""
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _model(at: Any) -> type[BaseModel] | None:
    """The model itself, or the one that may be left out."""
    for each in (at, *(get_args(at) if type(None) in get_args(at) else ())):
        if isinstance(each, type) and issubclass(each, BaseModel):
            return each
    return None
