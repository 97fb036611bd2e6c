"""How the suite is spread over processes (`pytest -n 3`), and what each process is like. No fixtures.

pytest-xdist's own `--dist loadgroup` marks a test's group in its id, which pytest 9 no longer lets it do: hence a
scheduler that reads the group from the path.
"""

from __future__ import annotations

import random
import shutil
import signal
import tempfile
from typing import Any

import hypothesis
import pytest

from tests.support import homes

# How long one example takes is no property of the code, but of the machine and what else runs on it.
hypothesis.settings.register_profile(
    "fnctl", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.load_profile("fnctl")

# Tests of one group run in one process, one after the other: they share what takes long to make, or look at all that
# the engine has of a kind. The longest come first, so that all processes end at about the same time. What is in no
# group goes test by test to whoever is free.
GROUPS = {
    "tests/faults/": "faults",  # one running service, audited after each test
    "tests/e2e/test_todolist": "todolist",  # one demo, and its templates with their dependencies
    "tests/e2e/test_template_tests.py": "todolist",
    "tests/e2e/test_bench.py": "bench",  # no container of a bench may be left
    "tests/e2e/test_readme.py": "bench",
    "tests/contract/agents/test_agents_python": "agents-python",  # packages of its own
    "tests/contract/agents/test_web_programs_python.py": "agents-python",
    "tests/contract/agents/test_contracts_python": "contracts-python",  # packages of other platforms
    "tests/contract/agents/test_agents_node.py": "agents-node",
    "tests/e2e/": "",  # the rest of it by file
    "tests/contract/": "",
}


def group_of(nodeid: str) -> str:
    """The group's name; the file or the test itself where there is none."""
    for place, group in GROUPS.items():
        if nodeid.startswith(place):
            return group or nodeid.partition("::")[0]
    return nodeid


def rank(item: pytest.Item) -> int:
    """Where its group stands above."""
    return next((at for at, place in enumerate(GROUPS) if item.nodeid.startswith(place)), len(GROUPS))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--shuffle", type=int, metavar="SEED", help="run files, and the tests in each, in an order of this seed"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """What a test starts can be interrupted, and a socket in its folder has a name that is short enough.

    A shell ignores SIGINT for what it starts with `&`, and children inherit that; they do not inherit a handler. The
    path of a unix socket is bounded, and xdist's folders for each process lie deep.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda number, frame: None)
    if is_worker(config):
        config.option.basetemp = tempfile.mkdtemp(prefix="t-")
    else:
        homes.share()


def pytest_unconfigure(config: pytest.Config) -> None:
    if is_worker(config):
        shutil.rmtree(config.option.basetemp, ignore_errors=True)
    else:
        homes.unshare()


def shuffle(items: list[pytest.Item], seed: int) -> None:
    """Another order, the same for a seed in every process. A file stays together: its fixtures are shared."""
    chance = random.Random(seed)
    files = list(dict.fromkeys(item.path for item in items))
    chance.shuffle(files)
    chance.shuffle(items)
    items.sort(key=lambda item: files.index(item.path))


def is_worker(config: pytest.Config) -> bool:
    """One of the processes of `-n`, not the one that the user started."""
    return hasattr(config, "workerinput")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if (seed := config.getoption("--shuffle")) is not None:
        shuffle(items, seed)
    if is_worker(config):
        items.sort(key=rank)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):  # type: ignore[misc]
        """Whole groups to whoever is free, in the order in which they come."""

        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    config.option.loadscopereorder = False
    return ByGroup(config, log)
