"""What a client may ask of the data service, as values: names, ids, bodies and list queries. Pure; no SQL, no HTTP."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

TABLE_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
RECORD_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
FIELD_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")

OWN_FIELDS = ("id", "created", "updated")  # the service writes these; what a client sends for them is dropped
DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
MAX_OFFSET = 2**53  # what every JSON client can hold, and far inside SQLite's integers
MAX_FILTERS = 16  # each is one expression a row: keeps one query's work in bounds
MAX_DEPTH = 64  # SQLite refuses deep JSON (1000 levels) for the whole query, not only for that row


class Refused(Exception):
    """The request cannot be done. Carries what the client is told, and the HTTP status that says it."""

    def __init__(self, status: int, code: str, message: str, hint: str, allow: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint
        self.allow = allow  # for 405: the methods there are


@dataclass(frozen=True, slots=True)
class Filter:
    """`field=value` compares the value's text; `field~=text` looks for it inside, ASCII case aside."""

    field: str
    value: str
    contains: bool = False


@dataclass(frozen=True, slots=True)
class ListQuery:
    """One page of a table: records that pass all filters, in this order. Ties are always broken by id."""

    filters: tuple[Filter, ...] = ()
    sort: tuple[tuple[str, bool], ...] = (("id", False),)  # (field, descending)
    limit: int = DEFAULT_LIMIT
    offset: int = 0


def check_table(name: str) -> str:
    if not TABLE_NAME.fullmatch(name):
        raise Refused(400, "bad_table", f"table name {name!r} cannot be used", f"names match ^{TABLE_NAME.pattern}$")
    return name


def check_id(record_id: str) -> str:
    if not RECORD_ID.fullmatch(record_id):
        raise Refused(400, "bad_id", f"record id {record_id!r} cannot be used", f"ids match ^{RECORD_ID.pattern}$")
    return record_id


def parse_query(pairs: Iterable[tuple[str, str]]) -> ListQuery:
    """The list query of a URL's parameters, in order. Raises `Refused` (400) and names the parameter at fault."""
    filters: list[Filter] = []
    control: dict[str, str] = {}
    for key, value in pairs:
        if key in ("_sort", "_limit", "_offset"):
            control[key] = value
        elif key.startswith("_"):
            raise Refused(400, "bad_query", f"parameter {key!r} is unknown", "there are _sort, _limit and _offset")
        else:
            contains = key.endswith("~")
            filters.append(Filter(_field(key.removesuffix("~"), key), value, contains))
    if len(filters) > MAX_FILTERS:
        raise Refused(400, "bad_query", f"{len(filters)} filters are too many", f"use at most {MAX_FILTERS}")
    return ListQuery(
        filters=tuple(filters),
        sort=_sort(control["_sort"]) if "_sort" in control else ListQuery().sort,
        limit=_integer("_limit", control.get("_limit", str(DEFAULT_LIMIT)), MAX_LIMIT),
        offset=_integer("_offset", control.get("_offset", "0"), MAX_OFFSET),
    )


def parse_record(raw: bytes) -> dict[str, Any]:
    """The client's fields of a record. Raises `Refused` (400) for all that is not one plain JSON object."""
    try:
        value = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
        raise Refused(400, "bad_json", f"the body is not JSON: {reason}", "send one JSON object in UTF-8") from None
    if not isinstance(value, dict):
        found = type(value).__name__
        raise Refused(400, "bad_record", f"a record is a JSON object, found {found}", 'send {"field": value, …}')
    if _depth(value) > MAX_DEPTH:
        raise Refused(400, "bad_record", f"the record is nested deeper than {MAX_DEPTH} levels", "store it flatter")
    return {key: item for key, item in value.items() if key not in OWN_FIELDS}


def _field(name: str, parameter: str) -> str:
    if not FIELD_NAME.fullmatch(name):
        hint = f"field names in a query match ^{FIELD_NAME.pattern}$"
        raise Refused(400, "bad_query", f"parameter {parameter!r} names no field", hint)
    return name


def _sort(value: str) -> tuple[tuple[str, bool], ...]:
    parts = value.split(",")
    if len(parts) > MAX_FILTERS:
        raise Refused(400, "bad_query", f"{len(parts)} sort fields are too many", f"use at most {MAX_FILTERS}")
    return tuple((_field(part.removeprefix("-"), "_sort"), part.startswith("-")) for part in parts)


def _integer(name: str, value: str, most: int) -> int:
    # isdecimal alone takes other scripts' digits, int() takes "+5" and "1_0": neither is meant here.
    if not (value.isascii() and value.isdecimal() and len(value) <= 16 and int(value) <= most):
        raise Refused(400, "bad_query", f"{name} is {value[:40]!r}", f"use a whole number from 0 to {most}")
    return int(value)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _depth(value: object) -> int:
    """Levels of nesting; a level at a time, since recursion would end where the question starts."""
    depth, level = 0, [value]
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            break
        level = [child for item in level for child in _children(item)]
    return depth


def _children(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
