"""What `-o json` prints, verb by verb, as JSON Schemas: for `fnctl schema VERB`, reference and tests. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]

TEXT, NUMBER, WHOLE, TRUTH = {"type": "string"}, {"type": "number"}, {"type": "integer"}, {"type": "boolean"}
FUNCTION = {"type": "string", "description": "The function's name."}


def _or_null(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _rows(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def _of(fields: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    """An object with these fields. More may come in later versions, so that others are not refused."""
    return {"type": "object", "properties": {**fields, **(optional or {})}, "required": list(fields)}


ERROR = _of({"error": _of({"code": TEXT, "message": TEXT}, {"hint": TEXT, "detail": TEXT})})
_INSTANCE = _of(
    {
        "id": TEXT,
        "function": _or_null(FUNCTION),
        "runtime": _or_null(TEXT),
        "tier": {"enum": ["base", "runtime", "code"]},
        "state": TEXT,
        "age_s": NUMBER,
        "idle_s": NUMBER,
        "in_flight": WHOLE,
        "memory_mb": _or_null(NUMBER),
        "served": WHOLE,
    }
)
_SERVED = _of(
    {"name": FUNCTION, "function": FUNCTION, "runtime": TEXT, "model": TEXT, "version": TEXT, "instances": WHOLE,
     "in_flight": WHOLE, "queued": WHOLE, "errors": WHOLE, "urls": _rows(TEXT)}
)  # fmt: skip
_SERVICE = _of({"name": TEXT, "type": TEXT, "state": TEXT, "age_s": NUMBER, "restarts": WHOLE, "ports": _rows(WHOLE)})
_CALL = _of(
    {"id": TEXT, "function": FUNCTION, "state": TEXT, "attempts": WHOLE, "accepted": NUMBER},
    {"due": NUMBER, "ended": NUMBER, "result": {"type": "object"}},
)
_DEPLOYED = _of(
    {"version": WHOLE, "release": TEXT, **{key: _rows(TEXT) for key in ("added", "changed", "removed", "notes")}}
)
_VERSION = _of(
    {
        "version": WHOLE, "current": TRUTH, "aliases": _rows(TEXT), "deployed": TEXT, "release": TEXT,
        "functions": {"type": "object"},
    }
)  # fmt: skip
_BACKUP = _of(
    {
        "file": TEXT,
        "project": TEXT,
        "at": NUMBER,
        "fnctl": TEXT,
        "parts": _rows(_of({"name": TEXT, "size_bytes": WHOLE})),
    }
)
_STEP = _of({"name": TEXT, "kind": TEXT, "state": TEXT, "attempts": WHOLE, "began": NUMBER}, {"step": TEXT})
_OPEN_RUN = _of({"run": TEXT, "workflow": TEXT, "state": TEXT, "wrong": _rows(TEXT), "functions": _rows(TEXT)})
_TIMER = _of({"function": FUNCTION, "timer": TEXT, "next": NUMBER})
_CLOCK = _of({"now": NUMBER, "virtual": TRUTH, "timers": _rows(_TIMER)})
_SERIES = _of(
    {"name": TEXT, "n": WHOLE, "discarded": WHOLE, "summary": _or_null({"type": "object"}), "samples": _rows(NUMBER)}
)
_MEASURE = _of(
    {
        "id": TEXT, "what": TEXT, "how": TEXT, "unit": TEXT, "compare": TEXT, "series": _rows(_SERIES),
        "compared": _or_null(_of({"value": NUMBER, "low": NUMBER, "high": NUMBER})), "verdict": _or_null(TEXT),
        "not_measured": _or_null(TEXT), "notes": _rows(TEXT),
    }
)  # fmt: skip
_LOAD = _of(
    {
        "target": TEXT, "connections": WHOLE, "tool": TEXT, "rounds": WHOLE, "requests": WHOLE, "failed": WHOLE,
        "rps": NUMBER, "p50_ms": _or_null(NUMBER), "p90_ms": _or_null(NUMBER), "p99_ms": _or_null(NUMBER),
        "server_cpu_ms": _or_null(NUMBER), "client_cpu_ms": _or_null(NUMBER), "offered_rps": _or_null(NUMBER),
    }
)  # fmt: skip
_POLICY = _of(
    {
        "policy": TEXT, "cold": WHOLE, "base": WHOLE, "runtime": WHOLE, "asleep": WHOLE, "warm": WHOLE,
        "cold_share": NUMBER, "pool_share": NUMBER, "warm_share": NUMBER, "cold_share_p75": NUMBER, "idle_mb": NUMBER,
    }
)  # fmt: skip

SHAPES: Mapping[str, Schema] = {
    "bench": _of(
        {
            "title": TEXT, "at": {"type": "string", "description": "ISO 8601, UTC."}, "took_s": NUMBER, "fnctl": TEXT,
            "machine": {"type": "object"}, "measures": _rows(_MEASURE), "load": _rows(_LOAD), "notes": _rows(TEXT),
        }
    ),
    "bench --replay": _of(
        {
            "source": TEXT, "minutes": WHOLE, "functions": WHOLE, "calls": WHOLE, "simulated": TRUTH,
            "policies": _rows(_POLICY), "notes": _rows(TEXT),
        }
    ),
    "build": _rows(
        _of(
            {
                "function": FUNCTION, "version": TEXT, "digest": TEXT, "runtime": TEXT, "size_bytes": WHOLE,
                "files": WHOLE, "bundle": TEXT, "image": _or_null(TEXT), "cached": TRUTH, "install_cached": TRUTH,
            }
        )
    ),
    "build --dry-run": _rows(
        _of({"function": _or_null(FUNCTION), "action": TEXT, "what": TEXT, "cached": _or_null(TRUTH)})
    ),
    "detect": _of(
        {
            "source": _or_null(TEXT),
            "functions": {"type": "object", "description": "By function: its entry of fnctl.yaml."},
            "evidence": _rows(
                _of({"function": FUNCTION, "file": TEXT, "line": _or_null(WHOLE), "says": TEXT, "so": TEXT})
            ),
            "notes": _rows(
                _of({"file": TEXT, "line": _or_null(WHOLE), "text": TEXT, "hint": _or_null(TEXT)})
            ),
        }
    ),
    "doctor": _rows(
        _of({"check": TEXT, "level": {"enum": ["ok", "warn", "fail"]}, "found": TEXT, "fix": _or_null(TEXT)})
    ),
    "invoke": _of(
        {"status": WHOLE, "headers": {"type": "object"}, "id": _or_null(TEXT), "receipt": {"type": "object"}},
        {"body": TEXT, "body_base64": TEXT},
    ),
    "key ls": _rows(
        _of({"id": TEXT, "name": TEXT, "kind": TEXT, "functions": _rows(FUNCTION), "created": NUMBER})
    ),
    "logs": {
        **_of({"kind": TEXT, "function": FUNCTION, "t": NUMBER}, {"id": _or_null(TEXT), "text": TEXT}),
        "description": "One object a line. A receipt has the fields of receipt.md beside these.",
    },
    "du": _rows(
        _of({"kind": TEXT, "name": TEXT, "size_bytes": WHOLE, "held_by": _rows(TEXT), "removable": TRUTH})
    ),
    "prune": _rows(_of({"kind": TEXT, "name": TEXT, "target": TEXT, "size_bytes": WHOLE})),
    "ps": _of(
        {
            "version": TEXT, "pid": WHOLE, "url": TEXT, "host": TEXT, "port": WHOLE, "draining": TRUTH,
            "in_flight": WHOLE, "functions": _rows(_SERVED), "instances": _rows(_INSTANCE),
            "services": _rows(_SERVICE), "pool": _of({"target": WHOLE, "base": WHOLE, "runtime": WHOLE}),
            "failed_versions": {"type": "object"},
        }
    ),
    "queue ls": _of({"queues": _rows(_of({"function": FUNCTION, "accepted": WHOLE}))}),
    "queue peek": _of({"now": NUMBER, "calls": _rows(_CALL)}),
    "queue send": _of({"id": TEXT, "queue": TEXT}),
    "queue show": _CALL,
    "workflow ls": _of(
        {"runs": _rows(_of({"id": TEXT, "of": TEXT, "state": TEXT, "started": NUMBER, "ended": _or_null(NUMBER)}))}
    ),
    "workflow show": _of(
        {"workflow": TEXT, "id": TEXT, "state": TEXT, "functions": {"type": "object"}, "steps": _rows(_STEP)}
    ),
    "workflow history": _of({"entries": _rows(_of({"number": WHOLE, "type": TEXT, "at": NUMBER}, {"step": TEXT}))}),
    "workflow check": _of({"workflows": _rows(TEXT), "runs": _rows(_OPEN_RUN)}),
    "clock show": _CLOCK,
    "clock advance": _CLOCK,
    "event send": _of({"calls": _rows(_of({"function": FUNCTION, "id": TEXT}))}),
    "ship": _of(
        {
            "release": TEXT, "digest": TEXT, "sent_bytes": WHOLE,
            "functions": _rows(_of({"function": FUNCTION, "image": TEXT, "code": TEXT})),
        }
    ),
    "pull": _of({"release": TEXT, "image": TEXT, "functions": _rows(_of({"function": FUNCTION, "digest": TEXT}))}),
    "export compose": _of({"file": TEXT, "services": _rows(TEXT), "left_out": _rows(TEXT)}),
    "verify": _of(
        {
            "release": TEXT, "boms": WHOLE, "provenance": TRUTH, "signed": _or_null(TRUTH), "rebuilt": _or_null(TRUTH),
            "functions": _rows(_of({"function": FUNCTION, "digest": TEXT})),
        }
    ),
    "deploy": _DEPLOYED,
    "rollback": _DEPLOYED,
    "promote": _DEPLOYED,
    "alias": _rows(_of({"alias": TEXT, "versions": {"type": "object"}, "by": TEXT})),
    "releases": _rows(_VERSION),
    "releases --show": {
        **_VERSION, "properties": {**_VERSION["properties"], "story": _rows(_of({"at": TEXT, "text": TEXT}))},
    },
    "backup": _BACKUP,
    "restore": _BACKUP,
    "restart": _of({"pid": WHOLE, "before": _or_null(TEXT), "version": TEXT, "took_s": NUMBER}),
    "reload": _of({key: _rows(TEXT) for key in ("added", "changed", "removed", "notes")}),
}  # fmt: skip
