"""`fnctl verify`: check a release: its contents, its signature, and whether this source makes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fnctl.cli import output
from fnctl.cli.options import FileOption, Format, FormatOption

if TYPE_CHECKING:
    from fnctl.control.prepare import Selection
    from fnctl.control.verifying import Verified


def verify(
    release: Annotated[str, typer.Argument(metavar="RELEASE", help="REGISTRY/REPO:TAG, REPO@sha256:… or FILE.tar.")],
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="Public key (PEM) to check the signature with.")
    ] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Build this folder's project, and compare the digests.")
    ] = False,
    file: FileOption = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Check a release: its contents against digests, its signature, and its provenance.

    \b
    Examples:
      fnctl verify registry.example.org/team/shop:1.4 --key release.pub
      fnctl verify registry.example.org/team/shop:1.4 --rebuild
    """
    from fnctl import catalog, config
    from fnctl.control import prepare, verifying
    from fnctl.control.connecting import Engines

    def select(names: tuple[str, ...]) -> Selection:
        runtimes = catalog.runtimes()
        return prepare.select(config.load(Path.cwd(), file, runtimes=runtimes), names, runtimes)

    with Engines() as engines, output.progress() as progress:
        verified = verifying.verify(release, key, select if rebuild else None, engines.get, progress)
    _show(verified, form)


def _show(verified: Verified, form: Format) -> None:
    if form is Format.JSON:
        output.emit_json(
            {
                "release": verified.name,
                "functions": [{"function": name, "digest": digest} for name, digest in verified.functions],
                "boms": verified.boms,
                "provenance": verified.provenance,
                "signed": verified.signed,
                "rebuilt": verified.rebuilt,
            }
        )
        return
    words = {None: "not checked", True: "ok", False: "none"}
    rows = [
        ("contents", "ok"),
        ("signature", words[verified.signed]),
        ("provenance", words[verified.provenance]),
        ("bills of materials", verified.boms or "none"),
        ("rebuilt from source", words[verified.rebuilt]),
    ]
    output.emit(output.table(("CHECK", "RESULT"), rows))
    output.say(f"\n{verified.name}")
