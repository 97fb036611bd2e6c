"""The engine port's guarantees, over the engine in memory and over Docker. The same calls, the same answers.

Long for one file: one port, whose every method is asked over both engines.
"""

from __future__ import annotations

import hashlib
import io
import json
import queue
import secrets
import tarfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest

from fnctl import catalog
from fnctl.builder import archive
from fnctl.builder import layer_images as layers
from fnctl.engine.docker import DockerEngine
from fnctl.engine.fake import FakeEngine
from fnctl.engine.port import LABEL, LABEL_ROLE, Engine, Event
from fnctl.errors import EngineError, ImageNotFound
from fnctl.model import SandboxSpec
from fnctl.progress import Silent
from fnctl.sandbox.slot import HOSTS

IMAGE = "fnctl/base:trixie"
WAIT_S = 20.0


def _fake() -> FakeEngine:
    engine = FakeEngine()
    engine.add_image(IMAGE, {LABEL: "1"}, layers=("sha256:0",))
    return engine


@pytest.fixture(params=["fake", pytest.param("docker", marks=pytest.mark.engine)])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    made: Engine = _fake() if request.param == "fake" else DockerEngine()
    if made.image(IMAGE) is None:
        pytest.fail(f"the engine has no {IMAGE}: `fnctl setup` makes it")
    yield made
    made.close()


@pytest.fixture
def mark() -> str:
    """A label value of this test alone, in names too, so that tests beside it are left alone."""
    return secrets.token_hex(4)


@pytest.fixture
def spec(engine: Engine, mark: str, tmp_path: Path) -> Iterator[SandboxSpec]:
    yield SandboxSpec(
        name=f"fnctl-test-{mark}",
        image=IMAGE,
        command=("/bin/sleep", "300"),
        labels=((LABEL, "1"), (LABEL_ROLE, "test"), ("dev.fnctl.test", mark)),
        uid=61001,
        mounts=((str(tmp_path), "/fn", True),),
        memory_mb=64,
    )
    for left in engine.list({"dev.fnctl.test": mark}):
        engine.destroy(left.id)


def test_a_created_sandbox_runs_and_carries_its_labels(engine: Engine, spec: SandboxSpec) -> None:
    info = engine.inspect(engine.create(spec))

    assert info is not None
    assert (info.name, info.running, info.exit_code) == (spec.name, True, None)
    assert info.pid > 0
    assert set(spec.labels) <= set(info.labels.items())


def test_sandboxes_are_found_by_name_and_by_all_their_labels(engine: Engine, spec: SandboxSpec, mark: str) -> None:
    sandbox = engine.create(spec)

    by_name = engine.inspect(spec.name)
    assert by_name is not None and by_name.id == sandbox
    assert [found.id for found in engine.list({LABEL: "1", "dev.fnctl.test": mark})] == [sandbox]
    assert engine.list({LABEL: "1", "dev.fnctl.test": mark, LABEL_ROLE: "other"}) == []


def test_destroy_is_final_and_may_be_repeated(engine: Engine, spec: SandboxSpec) -> None:
    sandbox = engine.create(spec)
    engine.destroy(sandbox)
    engine.destroy(sandbox)

    assert engine.inspect(sandbox) is None


def test_a_missing_image_is_told_apart_and_leaves_nothing(engine: Engine, spec: SandboxSpec) -> None:
    with pytest.raises(ImageNotFound) as caught:
        engine.create(replace(spec, image="fnctl/no-such:image"))

    assert "fnctl/no-such:image" in caught.value.message
    assert engine.inspect(spec.name) is None


def test_a_name_in_use_is_refused_and_its_holder_lives_on(engine: Engine, spec: SandboxSpec) -> None:
    holder = engine.create(spec)
    with pytest.raises(EngineError):
        engine.create(spec)

    info = engine.inspect(holder)
    assert info is not None and info.running


def test_a_sandbox_that_cannot_start_is_not_left(engine: Engine, spec: SandboxSpec) -> None:
    with pytest.raises(EngineError):
        engine.create(replace(spec, network="fnctl-no-such-network"))

    assert engine.inspect(spec.name) is None


def limits(engine: Engine, sandbox: str) -> tuple[int | None, float | None]:
    """Memory in MiB and CPUs, as the engine has them; the port does not tell."""
    if isinstance(engine, FakeEngine):
        made = engine.sandboxes[sandbox].spec
        return made.memory_mb, made.cpus
    with closing(docker.from_env()) as client:
        host = client.api.inspect_container(sandbox)["HostConfig"]
    return host["Memory"] // 2**20, host["NanoCpus"] / 1e9 or host["CpuQuota"] / host["CpuPeriod"]


def test_limits_of_a_running_sandbox_change_in_both_directions(engine: Engine, spec: SandboxSpec) -> None:
    sandbox = engine.create(spec)
    engine.update(sandbox, memory_mb=128, cpus=0.5)
    assert limits(engine, sandbox) == (128, 0.5)
    engine.update(sandbox, memory_mb=48)
    assert limits(engine, sandbox) == (48, 0.5)
    engine.update(sandbox)
    assert limits(engine, sandbox) == (48, 0.5)
    with pytest.raises(EngineError):
        engine.update("no-such-sandbox", memory_mb=48)


def test_stats_are_in_the_units_of_their_names(engine: Engine, spec: SandboxSpec) -> None:
    figures = engine.stats(engine.create(spec))

    assert 0 < figures["memory_mb"] <= 64
    assert figures["cpu_ms"] > 0


def test_a_network_is_made_once_joined_and_removed(engine: Engine, spec: SandboxSpec, mark: str) -> None:
    network = f"fnctl-test-{mark}"
    engine.ensure_network(network, internal=True, labels=dict(spec.labels))
    engine.ensure_network(network, internal=True, labels={})
    assert engine.networks({"dev.fnctl.test": mark}) == {network: dict(spec.labels)}
    assert engine.networks({"dev.fnctl.test": mark, LABEL_ROLE: "other"}) == {}
    sandbox = engine.create(spec)
    engine.connect(sandbox, network, ("store",))
    with pytest.raises(EngineError):
        engine.remove_network(network)

    engine.destroy(sandbox)
    engine.remove_network(network)
    engine.remove_network(network)
    assert engine.networks({"dev.fnctl.test": mark}) == {}


def test_a_sandbox_is_made_on_a_network_with_an_address_and_put_on_another(
    engine: Engine, spec: SandboxSpec, mark: str
) -> None:
    first, second = f"fnctl-test-{mark}", f"fnctl-test-{mark}-b"
    for name, internal in ((first, False), (second, True)):
        engine.ensure_network(name, internal=internal, labels=dict(spec.labels))
    try:
        sandbox = engine.create(replace(spec, network=first, aliases=("store",)))
        info = engine.inspect(sandbox)
        assert info is not None and info.addresses.keys() == {first}
        engine.connect(sandbox, second)
        info = engine.inspect(sandbox)
        assert info is not None and info.addresses.keys() == {first, second}
        assert all(len(address.split(".")) == 4 for address in info.addresses.values())
    finally:
        engine.destroy(spec.name)
        for name in (first, second):
            engine.remove_network(name)


def test_what_a_sandbox_prints_is_told_from_its_beginning_until_its_end(engine: Engine, spec: SandboxSpec) -> None:
    heard: queue.Queue[str] = queue.Queue()
    program = "echo one; sleep 0.2; echo two; exec sleep 300"
    sandbox = engine.create(replace(spec, command=("/bin/sh", "-c", program), log_driver="local"))
    if isinstance(engine, FakeEngine):
        engine.prints(sandbox, "one")
    with closing(engine.logs(sandbox, heard.put)) as lines:
        assert heard.get(timeout=WAIT_S) == "one"
        if isinstance(engine, FakeEngine):
            engine.prints(sandbox, "two")
        assert heard.get(timeout=WAIT_S) == "two"
        engine.destroy(sandbox)
        lines.close()  # twice is once
    assert heard.empty()


LOOK = """
import os, socket
print(sorted(os.listdir("/sys/class/net")), socket.gethostbyname("localhost"))
with socket.create_server(("127.0.0.1", 3000)), socket.create_connection(("127.0.0.1", 3000)):
    print("loopback")
try:
    socket.create_connection(("192.0.2.1", 80), 1)
except OSError as error:
    print(error.strerror)
"""


@pytest.mark.engine
def test_without_any_network_a_sandbox_has_loopback_alone_in_a_namespace_of_its_own(
    spec: SandboxSpec, tmp_path: Path
) -> None:
    hosts = tmp_path / "hosts"
    with closing(DockerEngine()) as engine:
        image = layers.sandbox_image(engine, catalog.default_runtimes(), Silent())
        hosts.write_text(HOSTS)
        spec = replace(spec, image=image, network=None, mounts=(*spec.mounts, (str(hosts), "/etc/hosts", True)))
        ended = engine.run(replace(spec, command=("/usr/bin/python3", "-c", LOOK)), timeout_s=WAIT_S)
        assert ended.output.splitlines() == ["['lo'] 127.0.0.1", "loopback", "Network is unreachable"]
        again = replace(spec, command=("/bin/readlink", "/proc/self/ns/net"))
        inside = engine.run(again, timeout_s=WAIT_S).output.strip()
        assert inside.startswith("net:[")
        assert inside != str(Path("/proc/self/ns/net").readlink())


def test_ids_are_those_of_what_is_listed(engine: Engine, spec: SandboxSpec, mark: str) -> None:
    sandbox = engine.create(replace(spec, network=None))
    assert engine.ids({"dev.fnctl.test": mark}) == {sandbox}
    engine.destroy(sandbox)
    assert engine.ids({"dev.fnctl.test": mark}) == frozenset()


def test_joining_what_is_not_there_is_an_error(engine: Engine, spec: SandboxSpec) -> None:
    sandbox = engine.create(spec)
    with pytest.raises(EngineError):
        engine.connect(sandbox, "fnctl-no-such-network")


def test_a_volume_is_made_once_outlives_its_sandbox_and_is_removed(
    engine: Engine, spec: SandboxSpec, mark: str
) -> None:
    volume = f"fnctl-test-{mark}"
    engine.ensure_volume(volume, dict(spec.labels))
    engine.ensure_volume(volume, {})
    assert engine.volumes({"dev.fnctl.test": mark}) == {volume: dict(spec.labels)}
    assert engine.volumes({"dev.fnctl.test": mark, LABEL_ROLE: "other"}) == {}
    sandbox = engine.create(replace(spec, mounts=((volume, "/data", False),)))
    with pytest.raises(EngineError):
        engine.remove_volume(volume)

    engine.destroy(sandbox)
    assert engine.volumes({"dev.fnctl.test": mark}) == {volume: dict(spec.labels)}
    engine.remove_volume(volume)
    engine.remove_volume(volume)
    assert engine.volumes({"dev.fnctl.test": mark}) == {}


def test_what_is_written_into_a_volume_is_read_from_it_with_owner_and_mode(
    engine: Engine, spec: SandboxSpec, mark: str
) -> None:
    volume, labels = f"fnctl-test-{mark}", dict(spec.labels)
    engine.ensure_volume(volume, labels)
    try:
        entry = tarfile.TarInfo("kept")
        entry.uid, entry.gid, entry.mode, entry.size = 123, 456, 0o640, 5
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as tar:
            tar.addfile(entry, io.BytesIO(b"hello"))
        content.seek(0)
        engine.write_volume(volume, IMAGE, labels, content)
        read = io.BytesIO()
        engine.read_volume(volume, IMAGE, labels, read)
        read.seek(0)
        with tarfile.open(fileobj=read) as tar:
            (found,) = [each for each in tar if each.isreg()]
            inside = tar.extractfile(found)
            assert inside is not None and inside.read() == b"hello"
        owned = found.uid, found.gid, found.mode & 0o777  # the engine adds the kind of file
        assert (found.name.removeprefix("./"), owned) == ("kept", (123, 456, 0o640))
        assert engine.list({"dev.fnctl.test": mark}) == [], "nothing is left of what it took"
    finally:
        engine.remove_volume(volume)


def test_a_paused_sandbox_goes_on(engine: Engine, spec: SandboxSpec) -> None:
    sandbox = engine.create(spec)
    engine.pause(sandbox)
    info = engine.inspect(sandbox)
    assert info is not None and info.running
    engine.unpause(sandbox)
    engine.unpause(sandbox)
    engine.pause(sandbox)
    engine.destroy(sandbox)
    engine.unpause(sandbox)
    with pytest.raises(EngineError):
        engine.pause(sandbox)


def test_the_engine_says_what_it_is(engine: Engine) -> None:
    facts = engine.facts()

    assert facts.version and facts.storage_driver
    assert facts.api_version.startswith("1.")
    assert facts.cgroup_version in ("1", "2")
    assert facts.cpus > 0 and facts.memory_mb > 0


def _rootfs() -> io.BytesIO:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("empty"))
    archive.seek(0)
    return archive


def test_an_imported_image_has_labels_and_names_until_the_last_is_gone(engine: Engine, mark: str) -> None:
    first, second = f"fnctl/test-{mark}:one", f"fnctl/test-{mark}:two"
    engine.import_rootfs(_rootfs(), first, [f"LABEL dev.fnctl.test={mark}"])
    engine.tag(first, second)

    (found,) = engine.images({"dev.fnctl.test": mark})
    assert found.tags == (first, second)
    assert engine.image(first) == engine.image(found.id) == found

    engine.remove_image(first)
    assert engine.image(first) is None
    assert engine.image(second) is not None
    engine.remove_image(second)
    engine.remove_image(second)
    assert engine.images({"dev.fnctl.test": mark}) == []


def test_a_tag_without_its_image_is_told_apart(engine: Engine) -> None:
    with pytest.raises(ImageNotFound):
        engine.tag("fnctl/no-such:image", "fnctl/other:image")


def test_pulling_what_is_nowhere_is_an_error_and_makes_no_image(engine: Engine) -> None:
    with pytest.raises(EngineError):
        engine.pull("localhost:1/no-such:image")

    assert engine.image("localhost:1/no-such:image") is None


def test_a_loaded_image_has_the_tags_labels_and_layers_of_its_archive(engine: Engine, mark: str) -> None:
    first, second = f"fnctl/test-{mark}:one", f"fnctl/test-{mark}:two"
    layer = _rootfs()
    diff_id = f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}"
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Labels": {"dev.fnctl.test": mark}},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    }
    made = io.BytesIO()
    archive.write_archive(made, config, layer, len(layer.getvalue()), (first, second))
    made.seek(0)
    engine.load(made)

    found = engine.image(first)
    assert found is not None and found == engine.image(second)
    assert (found.tags, found.layers) == ((first, second), (diff_id,))
    assert found.labels["dev.fnctl.test"] == mark
    with pytest.raises(EngineError):  # which of its tags is meant?
        engine.remove_image(found.id)
    engine.remove_image(first)
    engine.remove_image(found.id)
    assert engine.image(second) is None


def test_a_saved_image_has_its_tag_and_layers_and_one_that_is_not_there_is_told(engine: Engine, mark: str) -> None:
    tag = f"fnctl/test-{mark}:saved"
    engine.import_rootfs(_rootfs(), tag, [f"LABEL dev.fnctl.test={mark}"])
    out = io.BytesIO()
    engine.save(tag, out)
    out.seek(0)
    with tarfile.open(fileobj=out) as tar:
        (listed,) = json.loads(tar.extractfile("manifest.json").read())  # type: ignore[union-attr]
        layers = [name for name in listed["Layers"] if name in tar.getnames()]
    found = engine.image(tag)
    assert found is not None and listed["RepoTags"] == [tag]
    assert len(layers) == len(listed["Layers"]) == len(found.layers)

    engine.remove_image(tag)
    with pytest.raises(ImageNotFound):
        engine.save(tag, io.BytesIO())


def test_an_image_that_a_sandbox_uses_is_not_removed(
    engine: Engine, spec: SandboxSpec, mark: str, tmp_path: Path
) -> None:
    tag = f"fnctl/test-{mark}:used"
    (tmp_path / "Dockerfile").write_text(f"FROM {IMAGE}\nLABEL dev.fnctl.other=1\n")
    engine.build(tmp_path, tag=tag, labels={"dev.fnctl.test": mark})
    sandbox = engine.create(replace(spec, image=tag))
    with pytest.raises(EngineError):
        engine.remove_image(tag)

    engine.destroy(sandbox)
    engine.remove_image(tag)
    assert engine.image(tag) is None


def test_what_is_no_archive_is_not_loaded(engine: Engine) -> None:
    with pytest.raises(EngineError):
        engine.load(io.BytesIO(b'{"not": "an archive"}' * 100))


def test_a_built_image_has_its_tag_and_labels_and_tells_its_steps(engine: Engine, mark: str, tmp_path: Path) -> None:
    tag = f"fnctl/test-{mark}:built"
    (tmp_path / "Dockerfile").write_text(f"FROM {IMAGE}\nLABEL dev.fnctl.other=1\n")
    lines: list[str] = []
    engine.build(tmp_path, tag=tag, labels={LABEL: "1", "dev.fnctl.test": mark}, on_line=lines.append)

    found = engine.image(tag)
    assert found is not None and found.tags == (tag,)
    assert found.labels["dev.fnctl.test"] == mark
    assert lines
    engine.remove_image(tag)
    assert engine.image(tag) is None


def test_a_run_ends_removed_with_its_result(engine: Engine, spec: SandboxSpec) -> None:
    lines: list[str] = []
    result = engine.run(replace(spec, command=("/bin/true",)), timeout_s=WAIT_S, on_line=lines.append)

    assert (result.exit_code, result.output, result.timed_out, lines) == (0, "", False, [])
    assert engine.inspect(spec.name) is None


class Heard:
    """What a watcher is told, in order."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Event | str] = queue.Queue()

    def event(self, event: Event) -> None:
        self._queue.put(event)

    def gap(self) -> None:
        self._queue.put("gap")

    def next(self) -> Any:
        return self._queue.get(timeout=WAIT_S)

    def of(self, sandbox: str, action: str) -> Event:
        """The next event of this sandbox and kind; other sandboxes may come and go."""
        while True:
            event = self.next()
            if event != "gap" and (event.sandbox, event.action) == (sandbox, action):
                found: Event = event
                return found


def test_events_tell_of_an_end_by_anothers_hand(engine: Engine, spec: SandboxSpec) -> None:
    heard = Heard()
    with closing(engine.events(heard.event, heard.gap)) as watch:
        assert heard.next() == "gap"

        sandbox = engine.create(spec)
        engine.destroy(sandbox)

        died = heard.of(sandbox, "die")
        assert died.exit_code == 137
        assert set(spec.labels) <= set(died.labels.items())
        assert heard.of(sandbox, "destroy").exit_code is None
        watch.close()  # twice is once
