"""What a Python folder holds, by reading its files as syntax trees. Nothing is imported or run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from fnctl.config.detect import frameworks
from fnctl.config.detect.contracts import FRAMEWORKS, Dependencies, candidates, present
from fnctl.config.detect.dependencies import python_dependencies
from fnctl.config.detect.finding import Evidence, Finding, Reading, each_alone, merged, one
from fnctl.config.detect.pythontree import Module, read_module
from fnctl.config.detect.signature import Signature
from fnctl.config.detect.source import Source, read_source
from fnctl.model import Contract

LANGUAGE = "python"
APP_FILES = ("app.py", "main.py", "server.py", "wsgi.py", "asgi.py", "application.py", "run.py", "api.py")
PACKAGES = ("app", "src", "api", "server")
PACKAGE_FILES = ("__init__.py", "main.py", "app.py", "wsgi.py", "asgi.py")
NOT_APPS = ("tests", "test", "migrations", "docs", "examples", "scripts")
APP_NAMES = ("app", "application", "api", "asgi", "wsgi", "server")
HANDLER_FILES = ("handler.py", "index.py", "lambda_function.py", "function.py", "hello.py", "__main__.py")
FACTORIES = ("create_app", "make_app", "get_app")
# Constructors of web apps. Calling one at a module's top level makes the module an app.
APPS = {"Flask": "WSGI", "FastAPI": "ASGI", "Starlette": "ASGI", "Quart": "ASGI", "Bottle": "WSGI", "Litestar": "ASGI"}
DJANGO_APPS = {"get_wsgi_application": "WSGI", "get_asgi_application": "ASGI"}
SERVING = {"run", "run_simple", "serve"}
SERVERS = {"HTTPServer", "ThreadingHTTPServer", "TCPServer", "ThreadingTCPServer", "make_server"}
_SIGNATURES = {"http": Contract.FRAMEWORK_HTTP, "cloud_event": Contract.FRAMEWORK_CLOUDEVENT}
# `web: gunicorn … module:attr`, and the same in shell scripts: what the app's own authors start.
_SERVED = re.compile(
    r"\b(?:gunicorn|uvicorn|hypercorn|waitress-serve|daphne)\b[^\n]*?\s([A-Za-z_][\w.]*):([A-Za-z_]\w*)"
)


def readings(folder: Path) -> list[Reading]:
    """The ways to understand the folder as a Python function. The first file that is something counts."""
    dependencies = python_dependencies(folder)
    if django := _django(folder):
        return [one(django)]
    if served := _procfile(folder):
        return [one(served)]
    if program := frameworks.streamlit(folder, dependencies) or frameworks.gradio(folder, dependencies):
        wanted, said = _version(folder)
        return [one(replace(program, wanted=wanted, evidence=merged([*program.evidence, *said])))]
    for name in _files():
        module = read_module(folder, name)
        if module is not None and (found := _of_file(module, folder, dependencies)):
            return found
    if packaged := _packages(folder):
        return packaged
    for name in HANDLER_FILES:
        module = read_module(folder, name)
        if module is not None and (found := _of_file(module, folder, dependencies)):
            return found
    return []


def signature(folder: Path, handler: str) -> tuple[Signature | None, tuple[str, ...] | None]:
    """The function that `module.attr` names, and the names of all that the module binds where they are sure."""
    name, _, attr = handler.replace("/", ".").rpartition(".")
    path = name.replace(".", "/")
    module = read_module(folder, f"{path}.py") or read_module(folder, f"{path}/__init__.py")
    if module is None:
        return None, None
    found = module.functions.get(attr)
    known = None if module.open else tuple(sorted(module.names))
    return (_signature(module, found) if found else None), known


def _files() -> list[str]:
    packaged = [f"{package}/{name}" for package in PACKAGES for name in PACKAGE_FILES]
    return [*APP_FILES, *packaged]


def _packages(folder: Path) -> list[Reading]:
    """The apps in packages of any name: `create_app` in flaskr/__init__.py. Those of several are a question."""
    found: list[Finding] = []
    for package in sorted(path.parent.name for path in folder.glob("*/__init__.py")):
        modules = (read_module(folder, f"{package}/{name}") for name in PACKAGE_FILES)
        apps = (_apps_of(module, folder) for module in modules if module is not None)
        found += next((each for each in apps if each), []) if package not in (*PACKAGES, *NOT_APPS) else []
    return each_alone(found)


def _of_file(module: Module, folder: Path, dependencies: Dependencies) -> list[Reading]:
    if framework := _framework(module, folder, dependencies):
        return [framework]
    if apps := _apps_of(module, folder):
        return each_alone(apps)
    return each_alone(_handlers(module, folder, dependencies))


def _apps_of(module: Module, folder: Path) -> list[Finding]:
    """An app of a framework, a factory of one, or a program that serves by itself. Several where none of the apps has a
    usual name."""
    every = list(_apps(module))
    made = every[0] if every else None
    served = next(module.calls(SERVING), None) if made else None
    listens = next((call for call in module.calls({"serve_forever"}) if any(module.calls(SERVERS))), None)
    if serving := served or listens:
        said = module.said(serving, f"contract web: it serves, so handler {module.source.name}")
        return [_finding(module.source.name, Contract.WEB, folder, [*([made[1]] if made else []), said])]
    return [_finding(handler, Contract.WEB, folder, [said]) for handler, said in _usual(every)]


def _usual(apps: list[tuple[str, Evidence]]) -> list[tuple[str, Evidence]]:
    """The app that is called as apps are; all made ones where none is, since only a person knows which to serve."""
    called = {handler.rpartition(".")[2]: (handler, said) for handler, said in reversed(apps)}
    named = next((called[name] for name in APP_NAMES if name in called), None)
    if named is not None:
        return [named]
    made = [each for each in apps if each[1].so.endswith("app, so web")]
    return made or apps[:1]


def _apps(module: Module) -> Iterator[tuple[str, Evidence]]:
    """Handlers of the apps that a module makes, the surest first."""
    for name, call, called in module.made:
        if kind := APPS.get(called) or DJANGO_APPS.get(called):
            yield f"{module.dotted}.{name}", module.said(call, f"handler {module.dotted}.{name}: a {kind} app, so web")
    for name, call, called in module.made:
        if called in FACTORIES and name in ("app", "application", "api"):
            yield f"{module.dotted}.{name}", module.said(call, f"handler {module.dotted}.{name}: what a factory makes")
    for name in FACTORIES:
        function = module.functions.get(name)
        if function is not None and not _required(function):
            yield f"{module.dotted}.{name}", module.said(function, f"handler {module.dotted}.{name}: a factory, so web")


def _required(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    arguments = function.args
    return len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)


def _handlers(module: Module, folder: Path, dependencies: Dependencies) -> Iterator[Finding]:
    """The functions that are handlers, one finding a contract that each may have been written for."""
    preferred = [each for name, each in module.functions.items() if name in ("handler", "lambda_handler", "handle")]
    for function in preferred or module.functions.values():
        if function.name.startswith("_"):
            continue
        made = _signature(module, function)
        for contract, evidence in candidates(made, dependencies).items():
            yield _finding(made.handler, contract, folder, [made.evidence(f"handler {made.handler}"), *evidence])


def _signature(module: Module, function: ast.FunctionDef | ast.AsyncFunctionDef) -> Signature:
    arguments = function.args
    names = tuple(each.arg for each in (*arguments.posonlyargs, *arguments.args))
    parameters = None if arguments.vararg and not names else names
    handler = f"{module.dotted}.{function.name}"
    return Signature(module.source, handler, function.name, parameters, function.lineno, module.code)


def _framework(module: Module, folder: Path, dependencies: Dependencies) -> Reading | None:
    """Google's Functions Framework: `@functions_framework.http` and `.cloud_event`, in main.py."""
    found = [
        (function, decorator, _SIGNATURES[kind])
        for function in module.functions.values()
        for decorator in function.decorator_list
        if (kind := _framework_decorator(module, decorator)) is not None
    ]
    if not found:
        return None
    depends = present(dependencies, FRAMEWORKS)
    target = _target(folder)
    chosen = [each for each in found if each[0].name == target] or found
    return Reading(
        tuple(
            _finding(
                f"{module.dotted}.{function.name}",
                contract,
                folder,
                [module.said(decorator, f"contract {contract}"), *([depends] if depends else [])],
                name=function.name if len(chosen) > 1 else None,
            )
            for function, decorator, contract in chosen
        )
    )


def _framework_decorator(module: Module, node: ast.expr) -> str | None:
    """`http` of `@functions_framework.http`, `@functions_framework.aio.http`, and of names that imports give them."""
    dotted = ast.unparse(node.func if isinstance(node, ast.Call) else node)
    first, _, rest = dotted.partition(".")
    whole = f"{_imported(module).get(first, first)}{'.' if rest else ''}{rest}"
    framework, _, kind = whole.rpartition(".")
    return kind if framework in ("functions_framework", "functions_framework.aio") and kind in _SIGNATURES else None


def _imported(module: Module) -> dict[str, str]:
    """What a module's names stand for, by its imports: `aio` is functions_framework.aio."""
    found: dict[str, str] = {}
    for node in module.tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
        elif isinstance(node, ast.Import):
            found |= {each.asname: each.name for each in node.names if each.asname}
    return found


def _target(folder: Path) -> str | None:
    """The function that a Procfile starts: `web: functions-framework --target=hello`."""
    source = read_source(folder, "Procfile")
    found = re.search(r"--target[=\s]+(\w+)", source.text) if source else None
    return found[1] if found else None


def _procfile(folder: Path) -> Finding | None:
    """What a Procfile has a server serve: `web: gunicorn shop.wsgi:application`."""
    source = read_source(folder, "Procfile")
    match = _SERVED.search(source.text) if source else None
    if source is None or match is None or read_module(folder, f"{match[1].replace('.', '/')}.py") is None:
        return None
    handler = f"{match[1]}.{match[2]}"
    return _finding(handler, Contract.WEB, folder, [source.evidence_at(match.start(), f"handler {handler}, so web")])


def _django(folder: Path) -> Finding | None:
    """A Django project: manage.py names the settings, beside which `startproject` puts wsgi.py and asgi.py.

    Django's document "How to deploy with WSGI": the settings' WSGI_APPLICATION names the application.
    """
    manage = read_source(folder, "manage.py")
    named = re.search(r"DJANGO_SETTINGS_MODULE['\"]\s*,\s*['\"]([\w.]+)['\"]", manage.text) if manage else None
    if manage is None or named is None:
        return None
    said = manage.evidence_at(named.start(), "a Django project, so contract web")
    application = _django_application(folder, named[1])
    if application is None:  # the agent runs it as `manage.py runserver`
        return _finding("manage.py", Contract.WEB, folder, [replace(said, so="handler manage.py; contract web")])
    return _finding(application[0], Contract.WEB, folder, [application[1], said])


def _django_application(folder: Path, settings: str) -> tuple[str, Evidence] | None:
    source = _settings(folder, settings)
    named = re.search(r"^WSGI_APPLICATION\s*=\s*['\"]([\w.]+)['\"]", source.text, re.MULTILINE) if source else None
    if source and named:
        return named[1], source.evidence_at(named.start(), f"handler {named[1]}: the WSGI application")
    package = settings.split(".")[0]
    for kind in ("wsgi", "asgi"):
        module = read_module(folder, f"{package}/{kind}.py")
        if module and "application" in module.names:
            handler, line = f"{package}.{kind}.application", module.source.find("application =")
            return handler, module.source.evidence(line, f"handler {handler}: the {kind.upper()} application")
    return None


def _settings(folder: Path, settings: str) -> Source | None:
    """settings.py; of a package of settings, the module that they share."""
    path = settings.replace(".", "/")
    names = (f"{path}.py", f"{path}/__init__.py", f"{path}/base.py", f"{Path(path).parent}/base.py")
    return next((source for name in names if (source := read_source(folder, name))), None)


def _finding(
    handler: str, contract: Contract, folder: Path, evidence: Iterable[Evidence], name: str | None = None
) -> Finding:
    wanted, said = _version(folder)
    return Finding(LANGUAGE, handler, contract, merged([*evidence, *said]), name=name, wanted=wanted)


def _version(folder: Path) -> tuple[str | None, list[Evidence]]:
    """`.python-version` (pyenv) or runtime.txt (`python-3.12.1`), where there is one that names a version."""
    for name in (".python-version", "runtime.txt"):
        source = read_source(folder, name)
        found = re.match(r"\s*(?:python-)?(\d+\.\d+)", source.text) if source else None
        if source and found:
            return found[1], [source.evidence(1, f"runtime python {found[1]}")]
    return None, []
