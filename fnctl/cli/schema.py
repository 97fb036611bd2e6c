"""`fnctl schema`: the JSON Schema of fnctl.yaml, for editors and checks."""

from __future__ import annotations

from typing import Annotated

import typer

from fnctl.cli import output


def schema(
    verb: Annotated[
        list[str] | None,
        typer.Argument(metavar="VERB", help="Verb whose `-o json` is described, instead of fnctl.yaml; or `error`."),
    ] = None,
) -> None:
    """Print the JSON Schema of fnctl.yaml, or of what a verb prints with `-o json`.

    Editors with a YAML language server use it to check and complete the file. Put this in its first line:
    `# yaml-language-server: $schema=fnctl.schema.json`

    \b
    Examples:
      fnctl schema > fnctl.schema.json
      fnctl schema ps
      fnctl schema key ls
    """
    from fnctl import config
    from fnctl.cli.shapes import ERROR, SHAPES
    from fnctl.config.problems import did_you_mean
    from fnctl.errors import NotFound

    if not verb:
        output.emit_json(config.schema())
        return
    name = " ".join(verb)
    known = {**SHAPES, "error": ERROR}
    if name not in known:
        raise NotFound(f"`{name}` prints no JSON", hint=did_you_mean(name, known))
    output.emit_json({"$schema": "https://json-schema.org/draft/2020-12/schema", "title": name, **known[name]})
