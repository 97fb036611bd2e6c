"""The Typer root: which verbs there are, and where each lives. Loads a verb's module only when that verb is asked for.

`fnctl --help` reads nothing but this table, so that it answers before docker, rich or pydantic could be imported.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

import fnctl

HELP_NAMES = {"help_option_names": ["-h", "--help"]}


@dataclass(frozen=True, slots=True)
class Verb:
    """A subcommand: the function `attribute` of `module`; `summary` is its line in `fnctl --help`."""

    name: str
    summary: str
    module: str = ""
    attribute: str = ""

    def load(self) -> TyperCommand:
        """Import the verb and build its command. The imports of a verb are paid for here."""
        module = importlib.import_module(self.module or f"fnctl.cli.{self.name}")
        single = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        single.command(self.name, context_settings=HELP_NAMES)(getattr(module, self.attribute or self.name))
        loaded = typer.main.get_command(single)
        assert isinstance(loaded, TyperCommand)
        return loaded


VERBS = (
    Verb("init", "Make a new project from a template, or from code that is there."),
    Verb("detect", "Say what a folder holds, why, and the fnctl.yaml for it."),
    Verb("setup", "Make this machine ready: engine, base image, sandbox image."),
    Verb("build", "Build functions: code, dependencies, and an image to ship."),
    Verb("run", "Serve the project's functions until stopped."),
    Verb("invoke", "Call one function and print its answer."),
    Verb("ps", "List the instances of the running service."),
    Verb("logs", "Show what functions printed, and a receipt for each invocation."),
    Verb("stop", "Stop the running service of this project."),
    Verb("bench", "Measure functions: latency by start kind, and throughput."),
    Verb("doctor", "Check that this machine can run functions safely."),
    Verb("prune", "Remove what fnctl made and nothing uses any more."),
    Verb("schema", "Print the JSON Schema of fnctl.yaml."),
)


class LazyGroup(TyperGroup):
    """The root group: knows its verbs by name and summary, and imports one when it is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [verb.name for verb in VERBS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        # Kept in `commands` once loaded, where the group's own suggestion of near names looks too.
        found = next((verb for verb in VERBS if verb.name == cmd_name), None)
        if found is None:
            return None
        if cmd_name not in self.commands:
            self.commands[cmd_name] = found.load()
        return self.commands[cmd_name]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """An unknown verb is answered with the nearest known one."""
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            ctx.fail(unknown_verb(args[0], self.list_commands(ctx)))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(verb.name, verb.summary) for verb in VERBS])


def unknown_verb(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, list(known), n=1)
    return f"no such command `{name}`" + (f"; did you mean `{near[0]}`?" if near else "")


def _version(value: bool) -> None:
    if value:
        typer.echo(f"fnctl {fnctl.__version__}")
        raise typer.Exit


def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Build, ship and run functions on Docker, from pools of pre-warmed containers.

    \b
    Start here:
      fnctl init todos --template todolist-express
      cd todos && fnctl run
    """


def command() -> TyperGroup:
    """The whole command line as one command object."""
    app = typer.Typer(
        cls=LazyGroup,
        name="fnctl",
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        context_settings=HELP_NAMES,
    )
    app.callback()(root)
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return group


def usage_error(error: typer.TyperException) -> int:
    """Say on stderr what cannot be used of the command line; the exit code, 2 (or 0 where it was a plea for help)."""
    from fnctl.cli import output
    from fnctl.errors import UsageError

    context = getattr(error, "ctx", None)
    message = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":  # not exported; carries the help text as its message
        output.say(message)
        return error.exit_code
    hint = f"{context.command_path} --help" if context is not None else "fnctl --help"
    output.error(UsageError(message[:1].lower() + message[1:].rstrip("."), hint=hint))
    return error.exit_code
