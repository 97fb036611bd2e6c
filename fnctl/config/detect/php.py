"""What a PHP folder holds, by reading its entry files as text. Nothing is included or run."""

from __future__ import annotations

import re
from pathlib import Path

from fnctl.config.detect.finding import Finding, Reading, each_alone, one
from fnctl.config.detect.source import Source, read_source
from fnctl.model import Contract

LANGUAGE = "php"
FILES = ("index.php", "public/index.php", "web/index.php", "app.php", "main.php", "handler.php")

_COMMENT = re.compile(r"//[^\n]*|#(?!\[)[^\n]*|/\*.*?\*/", re.DOTALL)
_FUNCTION = re.compile(r"^[ \t]*function\s+(\w+)\s*\(([^)]*)\)", re.MULTILINE)
_VARIABLE = re.compile(r"\$(\w+)")


def readings(folder: Path) -> list[Reading]:
    """A file with a handler of Function Compute, else the page that a web server would show.

    "Event handlers" and "HTTP handlers" of its PHP runtime: `function handler($event, $context)` gets bytes,
    `function handler($request, $context): ResponseInterface` gets a PSR-7 request.
    """
    for name in FILES:
        source = read_source(folder, name)
        if source is None or "<?" not in source.text:
            continue
        code = _COMMENT.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), source.text)
        return _handlers(source, code) or [one(_page(source))]
    return []


def _page(source: Source) -> Finding:
    opened = source.text.find("<?")
    said = source.evidence_at(opened, f"contract web: a page, so handler {source.name}")
    return Finding(LANGUAGE, source.name, Contract.WEB, (said,))


def _handlers(source: Source, code: str) -> list[Reading]:
    for match in _FUNCTION.finditer(code):
        parameters = [name.lower() for name in _VARIABLE.findall(match[2])]
        if match[1] == "main" and len(parameters) == 1:
            return each_alone([_finding(source, match, Contract.OPENWHISK)])
        if len(parameters) == 2 and parameters[1] == "context":
            contract = Contract.FC_HTTP if parameters[0] in ("request", "req") else Contract.FC_EVENT
            return each_alone([_finding(source, match, contract)])
    return []


def _finding(source: Source, match: re.Match[str], contract: Contract) -> Finding:
    handler = f"{source.name.removesuffix('.php')}.{match[1]}"
    offset = match.start(1)
    said = source.evidence_at(offset, f"contract {contract}, handler {handler}: by name and parameters")
    return Finding(LANGUAGE, handler, contract, (said,))
