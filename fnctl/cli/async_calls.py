"""Ask the running service for an asynchronous call. It answers 202 when the call is on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fnctl.cli.not_running import not_running
from fnctl.cli.options import project_paths
from fnctl.control import client
from fnctl.errors import FnctlError

Kinds = Mapping[int, type[FnctlError]]


def accepted(
    file: Path | None, target: str, headers: Mapping[str, str], body: bytes | None, *, timeout_s: float, kinds: Kinds
) -> dict[str, Any]:
    """POST to the project's gateway; the body of its 202. Otherwise the error that it tells, of the kind that `kinds`
    has for the status, FnctlError else."""
    paths = project_paths(file)
    try:
        with client.send(
            paths.gateway_socket, "POST", target, headers=headers, body=body or b"", timeout_s=timeout_s
        ) as response:
            said = json.loads(b"".join(response.chunks()))
    except client.NotListening:
        raise not_running(paths, file) from None
    if response.status != 202:
        told = said["error"]
        kind = kinds.get(response.status, FnctlError)
        raise kind(told["message"], hint=told.get("hint"), code=told["code"])
    assert isinstance(said, dict)
    return said
