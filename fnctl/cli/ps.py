"""`fnctl ps`: the instances of the running service."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from fnctl.cli import output
from fnctl.cli.not_running import not_running
from fnctl.cli.options import FileOption, Format, FormatOption, project_paths
from fnctl.control import client

WATCH_S = 1.0


def ps(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Refresh every second, until Ctrl-C.")] = False,
    form: FormatOption = Format.TEXT,
    file: FileOption = None,
) -> None:
    """List what runs of this project: instances with a function, instances waiting in the pool, and services.

    \b
    Examples:
      fnctl ps
      fnctl ps -o json | jq '.instances[] | select(.state == "busy")'
    """
    paths = project_paths(file)
    while True:
        try:
            status = client.admin(paths.admin_socket, "GET", "/v1/status")
        except client.NotListening:
            raise not_running(paths, file) from None
        if watch and form is Format.TEXT:
            output.clear()
        output.emit_json(status) if form is Format.JSON else output.emit(page(status))
        if not watch:
            return
        time.sleep(WATCH_S)


def page(status: dict[str, Any]) -> str:
    """The status as text: one line of the service, one row an instance."""
    pool = status["pool"]
    state = "draining" if status["draining"] else "serving"
    first = (
        f"{state} at {status['url']}  pid {status['pid']}  "
        f"pool {pool['base']} base + {pool['runtime']} runtime of {pool['target']}"
    )
    headers = ("INSTANCE", "FUNCTION", "RUNTIME", "TIER", "STATE", "AGE", "IDLE", "IN FLIGHT", "MEMORY", "SERVED")
    instances = sorted(status["instances"], key=lambda each: (each["function"] or "~", each["tier"], each["id"]))
    page = f"{first}\n\n{output.table(headers, [_row(each) for each in instances])}"
    services = status.get("services")  # not of a run of an older version
    return f"{page}\n\n{services_table(services)}" if services else page


def services_table(services: list[dict[str, Any]]) -> str:
    """A row a service: where it is, how long it is so, and why it is down."""
    headers = ("SERVICE", "TYPE", "STATE", "FOR", "RESTARTS", "ADDRESS", "FOUND")
    rows = [
        (
            each["name"],
            each["type"],
            each["state"],
            span(each["age_s"]),
            each["restarts"],
            " ".join(f"{each['address']}:{port}" for port in each["ports"]) if each["address"] else None,
            each["found"],
        )
        for each in services
    ]
    return output.table(headers, rows)


def _row(each: dict[str, Any]) -> tuple[object, ...]:
    memory = each.get("memory_mb")
    return (
        each["id"],
        each["function"],
        each["runtime"],
        each["tier"],
        each["state"],
        span(each["age_s"]),
        span(each["idle_s"]),
        each["in_flight"],
        None if memory is None else f"{memory:.0f} MB",
        each["served"],
    )


def span(seconds: float) -> str:
    """`42s`, `3m 5s`, `2h 7m`: two units at most."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60}s"
    return f"{whole // 3600}h {whole % 3600 // 60}m"
