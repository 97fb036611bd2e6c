"""`fnctl bench NAME` end to end: what it says has honest counts, and it leaves nothing behind. No figure is judged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import docker

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]
TINY = ROOT / "bench" / "apps" / "tiny" / "app.js"
SAMPLES = 3
BENCH = ("-n", str(SAMPLES), "--duration", "1", "--rounds", "2", "--concurrency", "1,4", "-o", "json")
FUNCTIONS = """\
functions:
  tiny: {path: app, runtime: node24, handler: app.js}
  once: {path: once, runtime: node24, handler: handler.handler, model: ephemeral}
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A project with a state folder of its own."""

    project: Path
    environment: dict[str, str]
    before: set[str]  # containers of other benches on this machine

    def fnctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "fnctl.cli.main", *arguments]
        # images may have to be made first
        return subprocess.run(
            argv, cwd=self.project, env=self.environment, capture_output=True, text=True, timeout=1800
        )


def containers(label: str) -> set[str]:
    """Ids of all containers that carry it, running or not."""
    return set(docker("ps", "-aq", "--filter", f"label={label}").split())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("bench")
    project = folder / "project"
    (project / "app").mkdir(parents=True)
    (project / "once").mkdir()
    (project / "app" / "app.js").write_text(TINY.read_text())
    (project / "once" / "handler.js").write_text("exports.handler = async () => 'once';\n")
    (project / "fnctl.yaml").write_text(FUNCTIONS)
    environment = {**os.environ, "FNCTL_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)}
    return Place(project, environment, containers("dev.fnctl.role=bench"))


@pytest.fixture(scope="module")
def resident(place: Place) -> dict[str, Any]:
    return result(place.fnctl("bench", "tiny", *BENCH, "--rate", "50"))


@pytest.fixture(scope="module")
def ephemeral(place: Place) -> dict[str, Any]:
    # the same time under load in longer pieces: each must have an answer, and a process for it, on any machine
    longer = ("--duration", "2", "--rounds", "1")
    return result(place.fnctl("bench", "once", *BENCH, *longer, "--html", "page.html"))


def result(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def series(said: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """All series by measure and name; nothing may have been left out."""
    assert [(row["id"], row["not_measured"]) for row in said["measures"] if row["not_measured"]] == []
    return {f"{row['id']}: {one['name']}": one for row in said["measures"] for one in row["series"]}


def test_every_start_kind_stands_beside_what_it_replaces(resident: dict[str, Any]) -> None:
    assert set(series(resident)) == {
        "start-cold: fnctl, cold",
        "start-cold: docker run",
        "start-base: fnctl, base",
        "start-base: bare process",
        "start-runtime: fnctl, runtime",
        "start-runtime: bare process",
        "start-asleep: fnctl, asleep",
        "start-warm: fnctl, warm",
        "added-latency: through fnctl",
        "added-latency: direct to the instance",
    }


def test_counts_are_those_of_the_samples(resident: dict[str, Any]) -> None:
    for name, one in series(resident).items():
        expected = SAMPLES * 10 if name.startswith("start-warm") else SAMPLES
        assert (one["n"], len(one["samples"])) == (expected, expected), name
        assert one["summary"]["p99"] is None, f"{name}: a p99 of {expected} samples"
        assert all(sample > 0 for sample in one["samples"]), name


def test_ratios_are_of_the_medians_in_the_same_run(resident: dict[str, Any]) -> None:
    compared = [row for row in resident["measures"] if row["compare"] == "ratio" and row["compared"]]
    assert len(compared) == 3
    for row in compared:
        above, below = (one["summary"]["p50"] for one in row["series"])
        assert row["compared"]["value"] == pytest.approx(above / below)
        assert row["compared"]["low"] <= row["compared"]["value"] <= row["compared"]["high"]


def test_load_is_told_with_its_tool_failures_and_cpu(resident: dict[str, Any]) -> None:
    closed = [row for row in resident["load"] if row["offered_rps"] is None]
    assert [(row["target"], row["connections"]) for row in closed] == [
        ("fnctl", 1),
        ("bare process", 1),
        ("fnctl", 4),
        ("bare process", 4),
    ]
    for row in closed:
        assert (row["rounds"], row["failed"]) == (2, 0)
        assert row["requests"] > 0
        assert row["server_cpu_ms"] > 0
        assert row["client_cpu_ms"] > 0
    (steady,) = [row for row in resident["load"] if row["offered_rps"] is not None]
    assert (steady["requests"], steady["failed"]) == (50, 0)


def test_an_ephemeral_handler_is_measured_without_a_bare_process(ephemeral: dict[str, Any]) -> None:
    starts = {row["id"]: row for row in ephemeral["measures"]}
    assert set(starts) == {"start-cold", "start-base", "start-runtime", "start-asleep", "start-warm"}
    # whether a fresh process with the code loaded stands by is the service's affair: the count says how often
    warm = starts.pop("start-warm")
    assert warm["not_measured"] or warm["series"][0]["n"] + warm["series"][0]["discarded"] >= SAMPLES * 10
    assert [row["series"][0]["n"] for row in starts.values()] == [SAMPLES] * 4
    assert all(len(row["series"]) == 1 for row in starts.values())
    assert {row["target"] for row in ephemeral["load"]} == {"fnctl"}
    assert any("No bare process" in note for note in ephemeral["notes"])


def test_the_page_has_the_same_result(place: Place, ephemeral: dict[str, Any]) -> None:
    page = (place.project / "page.html").read_text("utf-8")
    data = page.partition('id="result">')[2].partition("</script>")[0]
    assert json.loads(data) == ephemeral


def test_nothing_is_left(place: Place, resident: dict[str, Any], ephemeral: dict[str, Any]) -> None:
    projects = [path.name for path in (Path(place.environment["FNCTL_HOME"]) / "projects").iterdir()]
    assert len(projects) == 1
    assert containers(f"dev.fnctl.project={projects[0]}") == set()
    assert containers("dev.fnctl.role=bench") <= place.before


def test_a_name_that_is_not_there_is_told_with_those_that_are(place: Place) -> None:
    done = place.fnctl("bench", "nobody", *BENCH)
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (2, "not_found")
    assert "no function named nobody" in done.stderr
    assert "tiny, once" in done.stderr


def test_without_a_name_it_asks_which(place: Place) -> None:
    done = place.fnctl("bench", *BENCH)
    assert done.returncode == 2
    assert "tiny, once" in done.stderr
