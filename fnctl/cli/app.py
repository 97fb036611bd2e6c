"""The Typer root: which verbs there are, and where each lives. Loads a verb's module only when that verb is asked for.

`fnctl --help` reads nothing but this table, so that it answers before docker, rich or pydantic could be imported.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

import fnctl
from fnctl.errors import UsageError

HELP_NAMES = {"help_option_names": ["-h", "--help"]}


@dataclass(frozen=True, slots=True)
class Verb:
    """A subcommand: the function `attribute` of `module`; `summary` is its line in `fnctl --help`.

    With `actions`, it is a group of them (`fnctl key add`), each a function of the module."""

    name: str
    summary: str
    module: str = ""
    attribute: str = ""
    actions: tuple[str, ...] = ()

    def load(self) -> TyperCommand | TyperGroup:
        """Import the verb and build its command. The imports of a verb are paid for here."""
        module = importlib.import_module(self.module or f"fnctl.cli.{self.name}")
        if self.actions:
            return self._group(module)
        single = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        single.command(self.name, context_settings=HELP_NAMES)(getattr(module, self.attribute or self.name))
        loaded = typer.main.get_command(single)
        assert isinstance(loaded, TyperCommand)
        return loaded

    def _group(self, module: ModuleType) -> TyperGroup:
        group = typer.Typer(
            add_completion=False,
            rich_markup_mode=None,
            pretty_exceptions_enable=False,
            no_args_is_help=True,
            context_settings=HELP_NAMES,
        )
        group.callback(help=self.summary)(lambda: None)
        for action in self.actions:
            group.command(action, context_settings=HELP_NAMES)(getattr(module, action))
        loaded = typer.main.get_command(group)
        assert isinstance(loaded, TyperGroup)
        loaded.name = self.name
        return loaded


VERBS = (
    Verb("init", "Create a project from a template, or a fnctl.yaml for existing code."),
    Verb("detect", "Show what fnctl finds in a folder, and why."),
    Verb("setup", "Prepare this machine: Docker Engine, base image, sandbox image."),
    Verb("build", "Build functions: code, dependencies and a container image."),
    Verb("ship", "Push the project to a registry as one release, or write it into a file."),
    Verb("pull", "Download a release in advance, and check all of it."),
    Verb("verify", "Check a release: contents, signature, and whether this source produces it."),
    Verb("export", "Write the project as a compose file, to run without fnctl.", actions=("compose",)),
    Verb("run", "Serve the project's functions until stopped."),
    Verb("reload", "Apply changes to the running service, without a stop."),
    Verb("restart", "Restart the running service in place, without refusing a connection."),
    Verb(
        "install-service",
        "Have systemd serve the project, now and after each boot.",
        module="fnctl.cli.install_service",
        attribute="install_service",
    ),
    Verb("deploy", "Switch the running service to another release."),
    Verb("rollback", "Switch the running service back to an earlier version.", module="fnctl.cli.deploy"),
    Verb("alias", "Name versions of a release, and split calls between them."),
    Verb("promote", "Let the version of an alias serve all calls without an alias.", module="fnctl.cli.deploy"),
    Verb("releases", "List the versions of a release that this folder has served."),
    Verb("test", "Run the project's tests, with stand-ins for its functions."),
    Verb("invoke", "Call one function and print its response."),
    Verb("ps", "List the running instances of this project."),
    Verb("logs", "Show the output of functions, and a receipt for each invocation."),
    Verb("stop", "Stop the running functions of this project."),
    Verb("backup", "Write the project's state into one file, while it runs."),
    Verb("restore", "Put the state of a backup in the place of this project's.", module="fnctl.cli.backup"),
    Verb("key", "Manage the keys of callers.", actions=("add", "ls", "rm")),
    Verb(
        "queue",
        "Send messages to queues; show and manage queues and asynchronous calls.",
        actions=("ls", "send", "show", "peek", "cancel", "redrive", "purge"),
    ),
    Verb(
        "workflow",
        "Run workflows; show, cancel and retry their runs.",
        actions=("run", "ls", "show", "graph", "history", "cancel", "retry", "check"),
    ),
    Verb("event", "Publish an event for the functions of this project.", actions=("send",)),
    Verb("clock", "Show the clock for timers, or advance a virtual one.", actions=("show", "advance")),
    Verb("bench", "Measure latency by start kind, and throughput."),
    Verb("doctor", "Check that this machine can run functions safely."),
    Verb("du", "Show what uses disk space, and for which project."),
    Verb("prune", "Remove unused containers, networks, images and bundles of fnctl."),
    Verb("schema", "Print the JSON Schema of fnctl.yaml."),
)


_SERVE = "`fnctl run` serves the project, `fnctl run -d` in the background"
_LOOK = "`fnctl ps` lists what runs"
_NEW = "`fnctl init` creates a project or a fnctl.yaml"
_REMOVE = "`fnctl stop` stops the project, `fnctl prune` removes what is unused"
# What other tools call it, and how it is called here.
ELSEWHERE = {
    **dict.fromkeys(("up", "start", "serve", "local", "offline", "host"), _SERVE),
    "dev": "`fnctl run --watch` serves the project and loads new code when a file is saved",
    "watch": "`fnctl run --watch` serves the project and loads new code when a file is saved",
    **dict.fromkeys(
        ("push", "publish", "release"), "`fnctl ship --to REGISTRY/REPO:TAG` pushes the project to a registry"
    ),
    **dict.fromkeys(("package", "pack", "image"), "`fnctl build` makes a container image"),
    **dict.fromkeys(("down", "kill", "halt"), "`fnctl stop` stops the project"),
    **dict.fromkeys(("update", "refresh", "sync"), "`fnctl reload` applies changes to the running service"),
    **dict.fromkeys(("ls", "list", "status", "top", "info"), _LOOK),
    **dict.fromkeys(("rm", "remove", "delete", "destroy", "undeploy", "clean"), _REMOVE),
    **dict.fromkeys(("new", "create", "generate"), _NEW),
    **dict.fromkeys(("call", "curl", "trigger"), "`fnctl invoke FUNCTION` calls a function"),
    **dict.fromkeys(("tail", "log"), "`fnctl logs -f` follows the output of functions"),
    **dict.fromkeys(
        ("exec", "shell", "ssh"), "`docker exec -it CONTAINER sh` opens a shell in an instance (`docker ps`)"
    ),
    **dict.fromkeys(("login", "config"), "fnctl needs no account: it uses the Docker Engine of this machine"),
    "install": "`fnctl setup` prepares this machine; `fnctl build` installs a function's dependencies",
    "check": "`fnctl doctor` checks this machine, `fnctl build --dry-run` the project",
    "validate": "`fnctl build --dry-run` checks the project",
    "version": "try `fnctl --version`",
    "help": "try `fnctl --help`",
}


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
        if args[0] in ELSEWHERE:
            raise UsageError(f"no such command `{args[0]}`", hint=ELSEWHERE[args[0]])
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
    """Build, ship and run functions on Docker, with a pool of pre-warmed containers.

    \b
    Get started:
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


def help_wanted(error: typer.TyperException) -> bool:
    """Whether it is no error but a verb without arguments, whose help was then said."""
    from fnctl.cli import output

    if type(error).__name__ != "NoArgsIsHelpError":  # not exported; carries the help text as its message
        return False
    output.say(error.format_message())
    return True


def usage_error(error: typer.TyperException) -> UsageError:
    """What cannot be used of the command line, as an error of ours."""
    context, message = getattr(error, "ctx", None), error.format_message()
    hint = f"{context.command_path} --help" if context is not None else "fnctl --help"
    return UsageError(message[:1].lower() + message[1:].rstrip("."), hint=hint)
