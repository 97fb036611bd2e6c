"""`fnctl ship`: push the project to a registry as one release, or write it into one file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fnctl.cli import output
from fnctl.cli.options import FileOption, Format, FormatOption
from fnctl.errors import UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

    from fnctl.control.shipping import Shipped
    from fnctl.registry.reference import Reference


def ship(
    functions: Annotated[
        list[str] | None, typer.Argument(metavar="FUNCTION", help="Functions to ship (default: all).")
    ] = None,
    to: Annotated[
        str, typer.Option("--to", metavar="REGISTRY/REPO[:TAG]|FILE.tar", help="Where to send the release.")
    ] = "",
    platform: Annotated[
        str | None,
        typer.Option("--platform", metavar="OS/ARCH", help="Platform to ship for (default: this machine's)."),
    ] = None,
    sign: Annotated[
        Path | None,
        typer.Option(
            "--sign",
            metavar="FILE",
            help="Private key (PEM, ECDSA P-256) to sign with, as cosign does. Its password: FNCTL_SIGN_PASSWORD.",
        ),
    ] = None,
    file: FileOption = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Ship the project as one release: an image of each function, and the configuration to serve them.

    Builds what is out of date. Sends only what the registry does not have; the tag is written last. `fnctl run` with
    the name of the release serves it on another machine.

    \b
    Examples:
      fnctl ship --to registry.example.org/team/shop:1.4
      fnctl ship --to registry.example.org/team/shop:1.4 --sign release.key
      fnctl ship --to release.tar
      fnctl run registry.example.org/team/shop:1.4
    """
    from fnctl import catalog, config
    from fnctl.control import prepare, shipping
    from fnctl.control.connecting import Engines

    if not to:
        raise UsageError("--to is missing: where to send the release", hint="--to REGISTRY/REPO:TAG, or --to FILE.tar")
    target = _target(to)
    shipping.check_platform(platform)
    key = None if sign is None else _key(sign)
    runtimes = catalog.runtimes()
    project = config.load(Path.cwd(), file, runtimes=runtimes)
    output.notes(project.notes)
    selection = prepare.select(project, functions or [], runtimes)
    with Engines() as engines, output.progress() as progress:
        if isinstance(target, Path):
            shipped = shipping.to_file(selection, target, engines.get, progress, key)
        else:
            shipped = shipping.to_registry(selection, target, engines.get, progress, key)
    _show(shipped, target, form)


def _key(file: Path) -> ec.EllipticCurvePrivateKey:
    from fnctl.release import signature

    password = os.environ.get("FNCTL_SIGN_PASSWORD")
    return signature.private_key(file, password.encode() if password else None)


def _target(to: str) -> Path | Reference:
    from fnctl.registry import reference

    if to.endswith(".tar"):
        return Path(to)
    found = reference.parse(to)
    if found.digest:
        raise UsageError(
            f"--to {to}: cannot ship to a digest", hint="use a tag, such as registry.example.org/team/shop:1.4"
        )
    return found


def _show(shipped: Shipped, target: Path | Reference, form: Format) -> None:
    packed = shipped.packed
    release = str(target) if isinstance(target, Path) else str(target.pinned(packed.index.digest))
    if form is Format.JSON:
        output.emit_json(
            {
                "release": release,
                "digest": packed.index.digest,
                "sent_bytes": shipped.sent_bytes,
                "functions": [
                    {"function": name, "image": image.digest, "code": packed.code[name].digest}
                    for name, image in packed.images.items()
                ],
            }
        )
        return
    repository = release.partition("@")[0]
    rows = [(name, f"{repository}@{image.digest}") for name, image in packed.images.items()]
    output.emit(output.table(("FUNCTION", "IMAGE"), rows))
    verb = "written" if isinstance(target, Path) else "sent"
    output.say(f"\n{release} ({output.megabytes(shipped.sent_bytes)} {verb})\n\ntry:\n  fnctl run {release}")
