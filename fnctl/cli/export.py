"""`fnctl export`: write the project in the format of another tool."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fnctl.cli import output
from fnctl.cli.options import FileOption, Format, FormatOption
from fnctl.errors import ConflictError, UsageError

if TYPE_CHECKING:
    from fnctl.release.document import Document

FILE = "compose.yaml"


def compose(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help=f"Where to write {FILE}.")],
    release: Annotated[
        str,
        typer.Option(
            "--release", metavar="REGISTRY/REPO:TAG", help="Use the images of this release (default: build here)."
        ),
    ] = "",
    port: Annotated[
        int,
        typer.Option(
            "--port", "-p", min=1, max=65000, help="Port of the first function; others get the ports after it."
        ),
    ] = 8080,
    force: Annotated[bool, typer.Option("--force", help=f"Replace an existing {FILE}.")] = False,
    form: FormatOption = Format.TEXT,
    file: FileOption = None,
) -> None:
    """Write the project as a compose file: images with limits, secrets and health checks, and services.

    It runs without fnctl. Prints what is left out because compose has nothing like it: timers, queues, `auth`, one
    address for all functions.

    \b
    Examples:
      fnctl export compose deploy
      fnctl export compose deploy --release registry.example.org/team/shop:1.4
    """
    from fnctl.release import compose_file

    target = folder / FILE
    if target.exists() and not force:
        raise ConflictError(f"{target} exists already", hint="--force replaces it")
    said, images, services = _of_release(release) if release else _of_project(file)
    whole = compose_file.compose_file(said, images, services, port, folder.absolute())
    _write(target, whole)
    notes = compose_file.left_out(said)
    if form is Format.JSON:
        output.emit_json({"file": str(target), "services": list(whole["services"]), "left_out": notes})
        return
    output.emit(str(target))
    for note in notes:
        output.say(f"note: {note}")


def _of_project(file: Path | None) -> tuple[Document, dict[str, str], Any]:
    from fnctl import catalog, config
    from fnctl.builder import layer_images as layers
    from fnctl.control import compose as control
    from fnctl.control import prepare, shipping

    runtimes = catalog.runtimes()
    project = config.load(Path.cwd(), file, runtimes=runtimes)
    selection = prepare.select(project, [], runtimes)
    engine = control.connect()
    with output.progress() as progress:
        built = prepare.to_build(selection, engine, progress)
        image = layers.sandbox_image(engine, selection.sandbox, progress)
        planned = prepare.planned(project, engine, image, progress)
    said = shipping.document_of(selection, built)
    images = {name: each.image for name, each in built.items() if each.image is not None}
    return said, images, [(each.service, each.kind, each.image) for each in planned]


def _of_release(text: str) -> tuple[Document, dict[str, str], Any]:
    from fnctl import catalog
    from fnctl.builder import layer_images as layers
    from fnctl.control import shipping
    from fnctl.registry import reference
    from fnctl.release import fetch

    wanted = reference.parse(text)
    with closing(shipping.repository(wanted)) as there:
        found = fetch.read(there, wanted.target, layers.architecture(), shipping.blobs())
    name = f"{wanted.host}/{wanted.repository}"
    types = catalog.service_types() if found.document.services else {}
    served = [(each, types[each.type], f"{name}@{found.sandbox.digest}") for each in found.document.services]
    for service, kind, _ in served:
        if kind.own_image:
            hint = "export the project where its source is"
            raise UsageError(f"the release does not hold the image of the service {service.name}", hint=hint)
    services = [(each, kind, kind.image or image) for each, kind, image in served]
    images = {function: f"{name}@{image.digest}" for function, image in found.functions.items()}
    return found.document, images, services


def _write(target: Path, whole: dict[str, Any]) -> None:
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 4096
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w", encoding="utf-8") as out:
        out.write("# Written by `fnctl export compose`. Docker: `docker compose up`.\n")
        yaml.dump(whole, out)
