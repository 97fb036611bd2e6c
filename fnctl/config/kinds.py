"""The kinds of values that keys of `fnctl.yaml` have: names, counts, durations, sizes."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints, WithJsonSchema

from fnctl.config.units import DURATION_PATTERN, RATE_PATTERN, SIZE_PATTERN, duration_s, rate_per_s, size_mb

NAME_PATTERN = r"^[a-z][a-z0-9-]{0,62}$"
SECRET_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$"  # it is a file's name
REACHABLE_PATTERN = r"^((workflow/)?[a-z][a-z0-9-]{0,62}|queue/[A-Za-z0-9][A-Za-z0-9_.-]{0,79}|event/[!-~]{1,255})$"
QUEUE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,74}(\.fifo)?$"  # as SQS has them


class Entry(BaseModel):
    """Some keys and their values; no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def not_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"`{str(value).lower()}` is not a number")
    return value


Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
# What a function may reach: a function, workflow/NAME, queue/NAME, event/TYPE.
Reachable = Annotated[str, StringConstraints(pattern=REACHABLE_PATTERN)]
SecretName = Annotated[str, StringConstraints(pattern=SECRET_PATTERN)]
Files = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
    WithJsonSchema({"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
Count = Annotated[int, BeforeValidator(not_bool)]
Duration = Annotated[
    float,
    BeforeValidator(duration_s),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "examples": ["30s", "500ms", "2m", "1h"]}),
]
Size = Annotated[
    int,
    BeforeValidator(size_mb),
    WithJsonSchema({"type": "string", "pattern": SIZE_PATTERN, "examples": ["128m", "1g"]}),
]
QueueName = Annotated[str, StringConstraints(pattern=QUEUE_PATTERN)]
Path = Annotated[str, StringConstraints(pattern=r"^/")]
PerSecond = Annotated[
    float,
    BeforeValidator(rate_per_s),
    WithJsonSchema({"type": "string", "pattern": RATE_PATTERN, "examples": ["10/s", "600/m"]}),
]
