"""The variables that a function is loaded with."""

from __future__ import annotations

from pathlib import Path

import pytest

from fnctl import catalog
from fnctl.model import Bundle, Contract, Function
from fnctl.sandbox.loading import Code, environment


def told(
    *own: tuple[str, str], command: bool = True, contract: Contract | None = None, runtime: str = "python3.13"
) -> dict[str, str]:
    words = ("gunicorn", "app:app") if command else ()
    function = Function("f", Path("/f"), runtime, "", environment=own, command=words, contract=contract)
    bundle = Bundle("f", "sha256:00", Path("/f"), runtime, "", 1, 1)
    return environment(Code(function, bundle, catalog.runtimes()[runtime]))


@pytest.mark.parametrize("name", ["PYTHONPATH", "PATH"])
def test_a_command_s_own_folders_come_before_the_runtime_s(name: str) -> None:
    assert told((name, "/fn/app/extra"))[name] == f"/fn/app/extra:{told()[name]}"


def test_a_handler_has_its_own_alone() -> None:
    assert told(("PYTHONPATH", "/fn/app/extra"), command=False)["PYTHONPATH"] == "/fn/app/extra"


def test_what_the_function_sets_wins_over_what_it_is_given() -> None:
    assert told(("FNCTL_URL", "mine"))["FNCTL_URL"] == "mine"
    given = told(("FC_REGION", "cn-hangzhou"), command=False, contract=Contract.FC_EVENT)
    assert (given["FC_REGION"], given["FC_ACCOUNT_ID"]) == ("cn-hangzhou", "000000000000")
    assert given["ALIBABA_CLOUD_ACCESS_KEY_ID"] == "fnctl"
    assert "ALIBABA_CLOUD_ACCESS_KEY_ID" not in told()
