"""`fnctl event`: publish on the bus of this project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import typer

from fnctl.cli import output
from fnctl.cli.async_calls import accepted
from fnctl.cli.invoke import ACCEPT_S, asked
from fnctl.cli.options import FileOption, Format, FormatOption
from fnctl.errors import UsageError

TARGET = "/_fnctl/events"


def send(
    kind: Annotated[str, typer.Argument(metavar="TYPE", help="The event's type, such as `order.paid`.")],
    data: Annotated[
        str | None, typer.Option("--data", "-d", help="The event's data: text, @FILE, or - for stdin.", metavar="DATA")
    ] = None,
    source: Annotated[str, typer.Option("--source", help="The event's source.")] = "/fnctl/event",
    subject: Annotated[str | None, typer.Option("--subject", help="The event's subject.")] = None,
    id: Annotated[
        str | None, typer.Option("--id", help="The event's id (default: a new one). Same source and id: same event.")
    ] = None,
    attribute: Annotated[
        list[str] | None,
        typer.Option("--attribute", "-a", metavar="NAME=VALUE", help="An extension attribute. Repeatable."),
    ] = None,
    form: FormatOption = Format.TEXT,
    file: FileOption = None,
) -> None:
    """Publish a CloudEvent. Each function with a matching `event` trigger is called, with retries.

    Prints the functions, and the ids of their calls (for `fnctl queue show`).

    \b
    Examples:
      fnctl event send order.paid -d '{"order": 7}' --subject 7
      fnctl event send user.created --attribute region=eu
    """
    attributes = {"type": kind, "source": source, "id": id or uuid4().hex, "specversion": "1.0"}
    attributes |= {"subject": subject} if subject is not None else {}
    attributes |= dict(_attribute(text) for text in attribute or ())
    request = asked(data, "POST", [], TARGET)
    said = _publish(file, _headers(attributes, request.headers), request.body)
    if form is Format.JSON:
        output.emit_json(said)
        return
    if not said["calls"]:
        output.say(f"no function has a trigger for this event ({kind})")
    else:
        output.emit(output.table(("FUNCTION", "ID"), [(each["function"], each["id"]) for each in said["calls"]]))


def _headers(attributes: dict[str, str], others: Any) -> dict[str, str]:
    from urllib.parse import quote

    return {
        **{f"Ce-{name.title()}": quote(value, safe="/:;=+,@.!~*'()&$-_?#[]") for name, value in attributes.items()},
        **others,
    }


def _attribute(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isascii() or not name.isalnum() or name != name.lower():
        raise UsageError(
            f"--attribute {text!r} is not an attribute",
            hint="write NAME=VALUE, with a name of lower-case letters and digits",
        )
    return name, value


def _publish(file: Path | None, headers: dict[str, str], body: bytes | None) -> dict[str, Any]:
    return accepted(file, TARGET, headers, body, timeout_s=ACCEPT_S, kinds={400: UsageError})
