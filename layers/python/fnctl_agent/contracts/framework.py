"""The Functions Framework for Python: `@functions_framework.http`, `.cloud_event`, and functions without a decorator.

Source: github.com/GoogleCloudPlatform/functions-framework-python, README. The framework is the function's own
dependency, and it makes the app: what requests, return values and events mean is up to the version that is installed.
A decorator wins over the contract's word, as it does there; a function decorated by `functions_framework.aio` is ASGI.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from fnctl_agent.contracts.binding import Contract, Load, Resolve
from fnctl_agent.interface import Found, NoSuchHandler, classify

PACKAGE = "functions_framework"
_SIGNATURES = {"functions-framework-http": "http", "functions-framework-cloudevent": "cloudevent"}


class MissingPackage(Exception):
    """The contract needs a package that the function does not bring."""


class Framework(Contract):
    def environment(self, load: Load) -> dict[str, str]:
        """As of the "Container runtime contract" of Cloud Run, which runs functions there."""
        name = load["function"]
        return {"K_SERVICE": name, "K_CONFIGURATION": name, "K_REVISION": f"{name}-{load['version']}"}

    def find(self, load: Load, resolve: Resolve) -> Found:
        """The framework itself runs the file, so that what its decorators note down is about this very function."""
        module, _, function = load["handler"].replace("/", ".").rpartition(".")
        source = Path(load["root"], *module.split(".")).with_suffix(".py")
        if not module or not source.is_file():
            raise NoSuchHandler(f"there is no {source.name} in the function's folder for the handler {load['handler']}")
        package = self._package(load["contract"])
        try:
            app = package.create_app(function, str(source), _SIGNATURES[load["contract"]])
        except package.exceptions.FunctionsFrameworkException as error:
            raise NoSuchHandler(str(error), (str(source), 1)) from None
        return classify(app, load["handler"])

    def _package(self, contract: str) -> Any:
        try:
            return importlib.import_module(PACKAGE)
        except ModuleNotFoundError as error:
            if error.name != PACKAGE:
                raise
            hint = "add `functions-framework` to requirements.txt"
            raise MissingPackage(f"the contract {contract} needs the package functions-framework: {hint}") from None


CONTRACT = Framework()
