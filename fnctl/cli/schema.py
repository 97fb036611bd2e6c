"""`fnctl schema`: the JSON Schema of fnctl.yaml, for editors and checks."""

from __future__ import annotations

from fnctl.cli import output


def schema() -> None:
    """Print the JSON Schema of fnctl.yaml.

    Editors that speak to a YAML language server check and complete the file with it, when its first line is
    `# yaml-language-server: $schema=fnctl.schema.json`.

    \b
    Example:
      fnctl schema > fnctl.schema.json
    """
    from fnctl import config

    output.emit_json(config.schema())
