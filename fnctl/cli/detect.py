"""`fnctl detect`: what a folder holds, why, and the fnctl.yaml that says the same."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fnctl.cli import output
from fnctl.errors import UsageError

if TYPE_CHECKING:
    from fnctl.config.detected import Detected

ManifestOption = Annotated[
    str | None, typer.Option("--manifest", metavar="FILE", help="Manifest to read, if there are several.")
]
RuntimeOption = Annotated[
    str | None, typer.Option("--runtime", metavar="RUNTIME", help="Runtime to use, if several fit.")
]
HandlerOption = Annotated[
    str | None, typer.Option("--handler", metavar="HANDLER", help="Handler to use, if several fit.")
]
ContractOption = Annotated[
    str | None, typer.Option("--contract", metavar="CONTRACT", help="Contract to use, if several fit.")
]


class Form(enum.StrEnum):
    """How a finding is printed."""

    TEXT = "text"
    YAML = "yaml"
    JSON = "json"


def detect(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to inspect.")] = Path(),
    manifest: ManifestOption = None,
    runtime: RuntimeOption = None,
    handler: HandlerOption = None,
    contract: ContractOption = None,
    form: Annotated[
        Form, typer.Option("--output", "-o", help="Output format; yaml prints only the fnctl.yaml.")
    ] = Form.TEXT,
) -> None:
    """Show what fnctl finds in a folder, and why. Only reads files: it never imports or runs code.

    Looks at manifests of other platforms first (SAM, Serverless Framework, OpenFaaS and others), then at dependencies,
    then at the code. Ignores an existing fnctl.yaml. If several answers fit, it shows the evidence for each and exits
    with code 2.

    \b
    Examples:
      fnctl detect
      fnctl detect ../shop -o yaml > ../shop/fnctl.yaml
      fnctl detect --contract lambda
    """
    from fnctl import config

    found = look(folder, manifest, runtime, handler, contract)
    if (folder / config.FILE_NAME).is_file():
        output.say(f"note: {config.FILE_NAME} exists, and fnctl run uses it instead of what is found here")
    if form is Form.JSON:
        output.emit_json(as_data(found))
    elif form is Form.YAML:
        output.emit(as_file(found).rstrip())
    else:
        _show(found)


def look(
    folder: Path, manifest: str | None, runtime: str | None, handler: str | None, contract: str | None
) -> Detected:
    """What is found, with what the options say already. UsageError where an option has a word that nobody knows."""
    from fnctl import catalog
    from fnctl.config.detect import Choice
    from fnctl.config.detected import detect as detected
    from fnctl.config.problems import did_you_mean
    from fnctl.model import Contract

    target = folder.resolve()
    if not target.is_dir():
        raise UsageError(f"no such folder: {folder}")
    known = catalog.runtimes()
    if runtime is not None and runtime not in known:
        raise UsageError(f"--runtime {runtime}: no such runtime", hint=did_you_mean(runtime, known))
    if contract is not None and contract not in list(Contract):
        raise UsageError(f"--contract {contract}: no such contract", hint=did_you_mean(contract, list(Contract)))
    language = known[runtime].language if runtime else None
    choice = Choice(manifest, language, handler, Contract(contract) if contract else None)
    return detected(target, known, choice, runtime)


def as_file(found: Detected) -> str:
    from fnctl.config.detect import written

    return written.text(found.functions, found.source, found.env_file)


def as_data(found: Detected) -> dict[str, Any]:
    from fnctl.config.detect import written

    return {
        "source": found.source,
        "functions": {name: written.entry(*each) for name, each in found.functions.items()},
        "evidence": [
            {"function": name, "file": each.file, "line": each.line, "says": each.says, "so": each.so}
            for name, (finding, _) in found.functions.items()
            for each in finding.evidence
        ],
        "notes": [{"file": each.file, "line": each.line, "text": each.text, "hint": each.hint} for each in found.notes],
    }


def _show(found: Detected) -> None:
    several = len(found.functions) > 1
    rows = [
        (name, runtime, finding.starts, finding.contract, finding.path)
        for name, (finding, runtime) in found.functions.items()
    ]
    output.emit(output.table(("FUNCTION", "RUNTIME", "HANDLER", "CONTRACT", "FOLDER"), rows))
    for name, (finding, _) in found.functions.items():
        output.emit(f"\nwhy{f' {name}' if several else ''}:")
        _emit_indented(output.table(("WHERE", "SAYS", "SO"), ((e.where, e.says, e.so) for e in finding.evidence)))
    if found.notes:
        output.emit("\nnotes:")
        _emit_indented("\n".join(f"{note} ({note.hint})" if note.hint else str(note) for note in found.notes))
    output.emit("\nas a fnctl.yaml (`fnctl init --from DIR` writes it):")
    _emit_indented(as_file(found).rstrip())


def _emit_indented(text: str) -> None:
    _emit_lines(f"  {line}" for line in text.splitlines())


def _emit_lines(lines: Iterable[str]) -> None:
    output.emit("\n".join(lines))
