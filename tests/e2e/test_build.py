"""`fnctl build` on a real engine: installs, cached builds, images that serve, and what must survive a bad day."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.command import docker
from tests.support.waiting import until

pytestmark = pytest.mark.engine

FUNCTION = "shop"  # a name of this file alone: other tests build beside it, on the same engine

PACKAGE = (
    '{"name": "web", "version": "1.0.0", "dependencies": {"ms": "2.1.3"}, "devDependencies": {"left-pad": "1.3.0"}}'
)
PLAIN_APP = (
    "require('ms');\nrequire('http').createServer((q, r) => r.end(`hello ${process.env.GREETING}`))"
    ".listen(process.env.PORT || 3000);\n"
)


@dataclass(frozen=True, slots=True)
class Desk:
    """A user at a shell: a project's folder, and fnctl with a home of its own."""

    project: Path
    environment: dict[str, str]

    def write(self, name: str, text: str) -> None:
        path = self.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    @contextlib.contextmanager
    def start(self, *words: str, **extra: str) -> Iterator[subprocess.Popen[str]]:
        """fnctl at work; killed at the end where it still is."""
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "fnctl.cli.main", *words],
            cwd=self.project, env=self.environment | extra, text=True,
            umask=0o077,  # a careful user's: what sandboxes read must not depend on it
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        with process:
            try:
                yield process
            finally:
                process.kill()

    def fnctl(self, *words: str, **extra: str) -> tuple[int, str, str]:
        with self.start(*words, **extra) as process:
            out, err = process.communicate(timeout=300)
        return process.returncode, out, err

    def build(self, *words: str, **extra: str) -> list[dict[str, object]]:
        code, out, err = self.fnctl("build", "-o", "json", *words, **extra)
        assert code == 0, err
        rows: list[dict[str, object]] = json.loads(out)
        return rows


def step_containers(*functions: str) -> list[str]:
    """Ids of the containers of these functions' steps, of the one that most tests build where none is named."""
    found = []
    for function in functions or (FUNCTION,):
        labels = ("dev.fnctl.role=build", f"dev.fnctl.function={function}")
        found += docker("ps", "-aq", *(word for label in labels for word in ("--filter", f"label={label}"))).split()
    return found


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    project = tmp_path / "web"
    project.mkdir()
    path = str(Path(__file__).parents[2])
    made = Desk(project, {**os.environ, "FNCTL_HOME": str(tmp_path / "home"), "PYTHONPATH": path})
    made.write("fnctl.yaml", "functions:\n  shop:\n    runtime: node24\n    handler: index.js\n")
    made.write("index.js", PLAIN_APP)
    made.write("package.json", PACKAGE)
    yield made
    images = docker("images", "-q", "--filter", "label=dev.fnctl.function=shop").split()
    if images:
        docker("rmi", "-f", *dict.fromkeys(images))


def test_a_build_installs_once_and_a_second_one_does_nothing(desk: Desk) -> None:
    [first] = desk.build()
    bundle = Path(str(first["bundle"]))
    assert (bundle / "node_modules" / "ms" / "index.js").is_file()
    assert not (bundle / "node_modules" / "left-pad").exists()
    assert not (bundle / "fnctl.yaml").exists()
    modes = {path.stat().st_mode & 0o7777 for path in bundle.rglob("*") if path.is_file()}
    assert modes <= {0o644, 0o755}
    assert {path.stat().st_uid for path in bundle.rglob("*")} == {os.getuid()}
    desk.build()  # the files may have been too young to be known by their times
    code, out, err = desk.fnctl("build", DOCKER_HOST="unix:///nowhere")
    assert (code, err) == (0, "nothing changed since the last build\n")
    assert "all" in out
    desk.write("index.js", PLAIN_APP + "// changed\n")
    [changed] = desk.build()
    assert changed["install_cached"] and not changed["cached"]
    assert changed["digest"] != first["digest"]
    assert step_containers() == []


def test_python_dependencies_and_bytecode_are_in_the_bundle_and_builds_agree(desk: Desk) -> None:
    desk.write("fnctl.yaml", "functions:\n  shop:\n    runtime: python3.13\n    handler: app.handler\n")
    desk.write("app.py", "import itsdangerous\ndef handler(event, context):\n    return itsdangerous.__name__\n")
    desk.write("struct.py", "raise SystemExit('the compiler imported code of the user')\n")
    desk.write("requirements.txt", "itsdangerous==2.2.0\n")
    code, _, err = desk.fnctl("build", "--verify")
    assert code == 0, err
    [row] = desk.build()
    bundle = Path(str(row["bundle"]))
    names = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*.pyc")}
    assert "__pycache__/app.cpython-313.pyc" in names
    assert ".fnctl/site-packages/itsdangerous/__pycache__/__init__.cpython-313.pyc" in names


def test_the_image_serves_under_plain_docker_run_and_is_reproducible(desk: Desk, tmp_path: Path) -> None:
    [row] = desk.build()
    image = str(row["image"])
    before = docker("inspect", "--format", "{{.Id}}", image)
    container = docker("run", "-d", "-p", "127.0.0.1::9000", "-e", "PORT=9000", "-e", "GREETING=you", image).strip()
    try:
        address = docker("port", container, "9000").split()[0]
        assert answer(f"http://{address}/") == b"hello you"
        assert docker("exec", container, "id", "-u").strip() == "65532"
    finally:
        docker("rm", "-f", container)
    docker("rmi", "-f", image)
    desk.build("--no-cache")
    assert docker("inspect", "--format", "{{.Id}}", image) == before


def answer(url: str) -> bytes:
    """The first answer, as soon as somebody listens."""

    def asked() -> bytes | None:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return bytes(response.read())
        except OSError:
            return None

    return until(asked, f"an answer of {url}")


def test_a_failed_build_keeps_the_version_before(desk: Desk) -> None:
    [first] = desk.build()
    desk.write("package.json", '{"dependencies": {"ms": "999.0.0"}}')
    code, out, err = desk.fnctl("build")
    assert code == 1
    assert out == ""
    assert "ETARGET" in err
    assert "hint:" in err
    assert Path(str(first["bundle"])).is_dir()
    desk.write("package.json", PACKAGE)
    assert desk.build()[0]["digest"] == first["digest"]


def test_a_step_that_hangs_is_ended_and_its_container_removed(desk: Desk) -> None:
    desk.write("package.json", '{"dependencies": {"ms": "2.1.3"}, "scripts": {"preinstall": "sleep 1000"}}')
    code, _, err = desk.fnctl("build", FNCTL_BUILD_TIMEOUT="5s")
    assert code == 124
    assert "did not finish within 5 s" in err
    assert step_containers() == []


def test_ctrl_c_leaves_no_container_and_no_half_bundle(desk: Desk, tmp_path: Path) -> None:
    desk.write("package.json", '{"dependencies": {"ms": "2.1.3"}, "scripts": {"preinstall": "sleep 1000"}}')
    with desk.start("build") as process:
        wait_for_a_step()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 130
    assert step_containers() == []
    assert list((tmp_path / "home").glob("*/.work-*")) == []


def test_ctrl_c_ends_every_function_that_is_built(desk: Desk) -> None:
    desk.write(
        "fnctl.yaml", "".join(["functions:\n", *(f"  web{n}: {{path: {n}, handler: index.js}}\n" for n in "abc")])
    )
    for name in "abc":  # the first two share their dependencies, so that one waits for the other
        desk.write(f"{name}/index.js", PLAIN_APP + ("// other" if name == "c" else ""))
        desk.write(f"{name}/package.json", '{"dependencies": {"ms": "2"}, "scripts": {"preinstall": "sleep 1000"}}')
    with desk.start("build") as process:
        wait_for_a_step("weba", "webb", "webc")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert step_containers("weba", "webb", "webc") == []


def test_what_a_killed_build_left_goes_with_the_next(desk: Desk, tmp_path: Path) -> None:
    desk.write("package.json", '{"dependencies": {"ms": "2.1.3"}, "scripts": {"preinstall": "sleep 1000"}}')
    with desk.start("build") as process:
        wait_for_a_step()
        process.kill()
        process.communicate(timeout=30)
    assert step_containers() != []
    desk.write("package.json", PACKAGE)
    desk.build()
    assert step_containers() == []
    assert list((tmp_path / "home").glob("*/.work-*")) == []


def wait_for_a_step(*functions: str) -> None:
    until(lambda: step_containers(*functions), "a step's container to come up", 60)


HOSTILE = """
const fs = require('fs'), path = require('path');
const dir = path.join(__dirname, 'node_modules', 'evil');
fs.mkdirSync(dir, {recursive: true});
fs.symlinkSync('/etc/passwd', path.join(dir, 'link'));
"""


def test_an_install_that_plants_a_symlink_to_the_host_is_refused(desk: Desk) -> None:
    desk.write("package.json", '{"dependencies": {"ms": "2.1.3"}, "scripts": {"postinstall": "node plant.js"}}')
    desk.write("plant.js", HOSTILE)
    code, _, err = desk.fnctl("build")
    assert code == 1
    assert "evil/link leaves" in err


PEEK = """
const fs = require('fs');
const seen = (file) => { try { return fs.readFileSync(file, 'utf8').length } catch (e) { return e.code } };
const tried = (file) => { try { fs.writeFileSync(file, 'x'); return 'written' } catch (e) { return e.code } };
const can = {uid: process.getuid(), root: tried('/usr/x'), config: tried('/fn/config/x'), shadow: seen('/etc/shadow')};
fs.mkdirSync('node_modules/seen', {recursive: true});
fs.writeFileSync('node_modules/seen/can.json', JSON.stringify(can));
"""


def test_install_scripts_run_without_privileges(desk: Desk) -> None:
    desk.write("package.json", '{"dependencies": {"ms": "2.1.3"}, "scripts": {"postinstall": "node peek.js"}}')
    desk.write("peek.js", PEEK)
    [row] = desk.build()
    can = json.loads((Path(str(row["bundle"])) / "node_modules/seen/can.json").read_text())
    assert can == {"uid": can["uid"], "root": "EROFS", "config": "EROFS", "shadow": "EACCES"}
    assert can["uid"] != 0


def test_a_canary_secret_is_in_no_image_no_container_and_no_output(desk: Desk) -> None:
    canary = "canary-7f3a9c"
    home = desk.project.parent / "user"
    home.mkdir()
    (home / ".npmrc").write_text("//registry.example/:_authToken=${NPM_TOKEN}\n")
    desk.write(
        "package.json",
        '{"dependencies": {"ms": "2.1.3"}, "scripts": {"preinstall": "sleep 3; echo $NPM_TOKEN; exit 1"}}',
    )
    extra = {"NPM_TOKEN": canary, "HOME": str(home)}
    with desk.start("build", **extra) as process:
        wait_for_a_step()
        inspected = docker("inspect", *step_containers())
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "***" in err  # it was there to be seen
    assert canary not in out + err + inspected
    desk.write("package.json", PACKAGE)
    [row] = desk.build(**extra)
    image = str(row["image"])
    shown = docker("inspect", image) + docker("history", "--no-trunc", image)
    assert canary not in shown
    stored = [path for path in (desk.project.parent / "home").rglob("*") if path.is_file()]
    assert stored and not any(canary.encode() in path.read_bytes() for path in stored)


def test_a_full_disk_leaves_the_version_before_and_a_retry_works(desk: Desk, tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("a small file system needs root to be mounted")
    with small_disk(tmp_path / "small", "6m") as home:
        extra = {"FNCTL_HOME": str(home)}
        [first] = desk.build(**extra)
        (desk.project / "big.bin").write_bytes(os.urandom(8 << 20))
        code, _, err = desk.fnctl("build", **extra)
        assert code == 1
        assert "No space left" in err
        assert "hint: free disk space" in err
        assert list(home.glob("*/.work-*")) == []
        assert Path(str(first["bundle"])).is_dir()
        record = json.loads(next(home.glob("projects/*/releases/shop.json")).read_text())
        assert record["digest"] == first["digest"]
        (desk.project / "big.bin").unlink()
        assert desk.build(**extra)[0]["digest"] == first["digest"]


@contextlib.contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)
