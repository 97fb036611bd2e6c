"""`fnctl pull`: fetch a release ahead, so that `fnctl run` of it needs no registry."""

from __future__ import annotations

from typing import Annotated

import typer

from fnctl.cli import output
from fnctl.cli.options import Format, FormatOption


def pull(
    release: Annotated[str, typer.Argument(metavar="RELEASE", help="REGISTRY/REPO:TAG, REPO@sha256:… or FILE.tar.")],
    form: FormatOption = Format.TEXT,
) -> None:
    """Download a release before `fnctl run`, and check all of it. Downloads only the parts that are missing.

    \b
    Examples:
      fnctl pull registry.example.org/team/shop:1.4
      fnctl pull release.tar
    """
    from fnctl.control import pulling
    from fnctl.control.connecting import Engines

    with Engines() as engines, output.progress() as progress:
        pulled = pulling.pull(release, engines.get(), progress)
    functions = pulled.document.functions
    if form is Format.JSON:
        rows = [{"function": each.function.name, "digest": each.digest} for each in functions]
        output.emit_json({"release": pulled.name, "image": pulled.image, "functions": rows})
        return
    lines = [
        (each.function.name, each.digest.removeprefix("sha256:")[:12], each.function.runtime) for each in functions
    ]
    output.emit(output.table(("FUNCTION", "VERSION", "RUNTIME"), lines))
    output.say(f"\n{pulled.name}")
