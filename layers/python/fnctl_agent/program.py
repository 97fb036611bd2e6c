"""Finds what a handler names and runs it: a file as the main program, or a name in a module. Not the serving of it."""

# on the way to every load: strings will do for paths:
# ruff: noqa: PTH112, PTH113, PTH119, PTH120, PTH123, PTH208
from __future__ import annotations

import builtins
import importlib
import os
import site
import sys
import types
from importlib.machinery import SourceFileLoader

from fnctl_agent.contracts.binding import Contract, Load
from fnctl_agent.control import MAX_TEXT
from fnctl_agent.interface import Found, NoSuchHandler, Unusable
from fnctl_agent.later import Later
from fnctl_agent.pack import HERE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import traceback
    from collections.abc import Mapping
    from typing import Any
else:
    traceback = Later("traceback")

PACKAGES = ".fnctl/site-packages"
_APPS = ("app", "application", "create_app")


class NotServing(Exception):
    """The main program ended, and there is no app to be found in it."""


def prepare(root: str, handler: str) -> None:
    """The interpreter as the function will see it: its folder first, then its packages, the agent nowhere."""
    os.chdir(root)
    sys.path[:] = [entry for entry in sys.path if entry and entry != HERE]
    folder = os.path.dirname(place(root, handler)) if handler.endswith(".py") else root
    asked = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.path[:0] = list(dict.fromkeys([folder, root, *asked]))
    packages = f"{root}/{PACKAGES}"
    if os.path.isdir(packages):
        site.addsitedir(packages)
        _show(packages)
    for name in ("setquit", "setcopyright", "sethelper"):  # `exit` and the like, which scripts use
        getattr(site, name)()
    main = types.ModuleType("__main__")
    main.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = sys.modules["__mp_main__"] = main


def _show(packages: str) -> None:
    """To the programs that the function starts: its packages, and the commands that these bring."""
    for name, folder in (("PYTHONPATH", packages), ("PATH", f"{packages}/bin")):
        os.environ[name] = os.pathsep.join(filter(None, [folder, os.environ.get(name)]))


def run(load: Load, contract: Contract, code: types.CodeType | None = None) -> Found:
    """Run user code until there is something to serve. A main program that serves does not return from here.

    `code`: the main program, compiled before.
    """
    root, handler = load["root"], load["handler"]
    if not handler.endswith(".py"):
        return contract.find(load, lambda name: _resolve(root, name))
    if not contract.runs_files:
        raise NoSuchHandler(
            f'the contract {load["contract"]} calls a function: the handler is module.attr, not "{handler}"'
        )
    return _run_file(load, contract, code)


def place(root: str, handler: str) -> str:
    """The file that a handler names."""
    return os.path.normpath(f"{root}/{handler}")


def compiled(path: str) -> types.CodeType:
    return compile(_content(path), path, "exec", dont_inherit=True)


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _run_file(load: Load, contract: Contract, code: types.CodeType | None) -> Found:
    handler = load["handler"]
    path = place(load["root"], handler)
    if not os.path.isfile(path):
        raise NoSuchHandler(f"there is no {handler} in the function's folder ({_files(load['root'])})")
    sys.argv = [handler, *_arguments(path)]
    main = _execute(path, code)
    for name in _APPS:
        if callable(found := main.__dict__.get(name)):
            return contract.adopt(found, name, load)
    raise NotServing(
        f"{handler} ran to its end without serving and has no {', '.join(_APPS[:-1])} or {_APPS[-1]}; {_names(main)}"
    )


def _arguments(path: str) -> list[str]:
    """What a main program is given: Django's `manage.py` does not serve without a word."""
    if os.path.basename(path) != "manage.py" or b"execute_from_command_line" not in _content(path):
        return []
    return ["runserver", "--noreload", f"127.0.0.1:{os.environ['PORT']}"]


def _execute(path: str, code: types.CodeType | None = None) -> types.ModuleType:
    """Run a file as the main module; `code`: it, compiled before."""
    main = sys.modules["__main__"]
    main.__file__ = path
    main.__loader__ = SourceFileLoader("__main__", path)
    exec(code or compiled(path), main.__dict__)
    return main


def _resolve(root: str, handler: str) -> Any:
    """What `module.attr` names, imported. Raises NoSuchHandler, and what importing raises."""
    name, _, attr = handler.replace("/", ".").rpartition(".")
    if not name or not attr:
        raise NoSuchHandler(f'handler "{handler}" is neither a file nor module.attr')
    sys.argv = [f"{name}.py"]
    module = _module(root, name)
    if not hasattr(module, attr):
        raise NoSuchHandler(f'{name} has no "{attr}"; {_names(module)}', _beginning(module))
    return getattr(module, attr)


def _module(root: str, name: str) -> types.ModuleType:
    main = f"{root}/__main__.py"
    if name == "__main__" and os.path.isfile(main):
        return _execute(main)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise NoSuchHandler(f"there is no module {name} in the function's folder ({_files(root)})") from None
        raise


def _beginning(module: types.ModuleType) -> tuple[str, int] | None:
    return (module.__file__, 1) if module.__file__ else None


def _names(module: types.ModuleType) -> str:
    own = [
        name
        for name, value in vars(module).items()
        if callable(value) and not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]
    return f"it defines: {', '.join(own)}" if own else "it defines nothing callable"


def _files(root: str) -> str:
    names = sorted(name for name in os.listdir(root) if not name.startswith("."))[:20]
    return f"files: {', '.join(names) or 'none'}"


def failure(error: BaseException, root: str) -> dict[str, Any]:
    """What went wrong with loading, as `load_failed` says it; file and line are the user's own code where known."""
    return {
        "op": "load_failed",
        "type": type(error).__name__,
        "message": _message(error)[:MAX_TEXT],
        **_place(error, root),
        "stack": trace(error)[:MAX_TEXT],
    }


def _message(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return error.msg or str(error)
    if isinstance(error, SystemExit):
        return f"the code ended the process with exit code {error.code}"
    return str(error)


def _place(error: BaseException, root: str) -> Mapping[str, Any]:
    """The innermost frame in the function's own folder, apart from its packages; for a SyntaxError its own place."""
    places = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        places.append((error.filename, error.lineno))
    if isinstance(error, Unusable) and error.place:
        places.append(error.place)
    own = [(file, line) for file, line in places if file.startswith(f"{root}/")]
    for file, line in reversed([place for place in own if f"/{PACKAGES}/" not in place[0]] or own[:1]):
        return {"file": file[len(root) + 1 :], "line": line}
    return {}


def trace(error: BaseException) -> str:
    """The traceback without the agent's own frames."""
    if isinstance(error, Unusable | NotServing):
        return ""
    machinery = (f"{HERE}/fnctl_agent", "<frozen importlib", importlib.__file__ or "")
    tb = error.__traceback__
    while tb and tb.tb_frame.f_code.co_filename.startswith(machinery):
        tb = tb.tb_next
    return "".join(traceback.format_exception(type(error), error, tb))
