"""A type of service is a folder under layers/ and nothing else: two in Perl, added here, started, and talked to."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fnctl import catalog, config
from fnctl.builder import layer_images as layers
from fnctl.engine.docker import DockerEngine
from fnctl.engine.port import LABEL, LABEL_HOME, Engine
from fnctl.errors import ConfigError, EngineError
from fnctl.model import LivenessRule, Project, SandboxSpec
from fnctl.progress import Silent
from fnctl.services.networks import SERVICES, Networks
from fnctl.services.node import Health
from fnctl.services.plan import Owner, Planned, volume_name
from fnctl.services.services import Services
from fnctl.services.supervisor import Supervisor
from tests.support import turning as waiting

pytestmark = pytest.mark.engine

# A word that was said stays: on a volume, over the end of the container.
PROGRAM = r"""
use IO::Socket::INET;
my $server = IO::Socket::INET->new(LocalPort => 7000, Listen => 8, ReuseAddr => 1) or die "no port: $!";
while (my $client = $server->accept) {
    my $said = <$client>;
    open my $file, '>>', "/state/said" or die $!;
    print $file $said;
    close $file;
    open $file, '<', "/state/said" or die $!;
    print $client "$ENV{GREETING} ", map { s/\n/ /r } <$file>;
    close $client;
}
"""
# Takes its time with each, and accepts no other meanwhile.
SLOW = """
use IO::Socket::INET;
my $server = IO::Socket::INET->new(LocalPort => 7000, Listen => 8, ReuseAddr => 1) or die "no port: $!";
while (my $client = $server->accept) {
    my $said = <$client>;
    select undef, undef, undef, 0.5 if $said;
    print $client $said;
}
"""
YAML = """
about: remembers what it was told
command: [/usr/bin/perl, PROGRAM]
ports: [7000]
volume: /state
environment: {GREETING: told}
"""
ASK = (
    "/usr/bin/perl", "-MIO::Socket::INET", "-e",
    'my $s = IO::Socket::INET->new("echo:7000") or die $!; print $s "WORD\\n"; print <$s>',
)  # fmt: skip
LABELS = {LABEL: "1", LABEL_HOME: f"test{uuid.uuid4().hex[:8]}"}
PROJECT = "services:\n  echo: {type: TYPE}\n"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = DockerEngine()
    yield made
    made.close()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """fnctl's own layers/, and two new folders beside them: one in the sandbox image, one that makes its own."""
    folder = tmp_path_factory.mktemp("root") / "layers"
    shutil.copytree(catalog.layers_dir(), folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    unique = f"# {uuid.uuid4().hex}\n"
    for name, program in (("inside", "/opt/fnctl/inside/program.pl"), ("apart", "/usr/local/bin/moved.pl")):
        (folder / name).mkdir()
        (folder / name / "program.pl").write_text(PROGRAM + unique)
        (folder / name / "service.yaml").write_text(YAML.replace("PROGRAM", program))
    (folder / "apart" / "Dockerfile.service.j2").write_text(
        "COPY {{ folder }}/program.pl /usr/local/bin/moved.pl\nRUN chmod 644 /usr/local/bin/moved.pl\n"
    )
    return folder


@pytest.fixture(scope="module")
def image(engine: Engine, root: Path) -> Iterator[str]:
    made = layers.sandbox_image(engine, catalog.default_runtimes(), Silent(), root)
    yield made
    engine.remove_image(made)


def project_with(folder: Path, root: Path, kind: str) -> Project:
    folder.mkdir()
    (folder / "fnctl.yaml").write_text(PROJECT.replace("TYPE", kind))
    return config.load(folder, environ={}, services=catalog.service_types(root))


def say(engine: Engine, image: str, network: str, word: str) -> str:
    sandbox = SandboxSpec(
        f"fnctl-test-{uuid.uuid4().hex[:12]}", image, tuple(each.replace("WORD", word) for each in ASK),
        ((LABEL, "1"),), 65432, (), network=network,
    )  # fmt: skip
    return engine.run(sandbox, timeout_s=30).output


@pytest.mark.parametrize("name", ["inside", "apart"])
def test_a_folder_is_enough(engine: Engine, root: Path, image: str, tmp_path: Path, name: str) -> None:
    project = project_with(tmp_path / "project", root, name)
    kind = catalog.service_types(root)[name]
    own = layers.service_image(engine, kind, image, Silent())
    assert (own == image) == (name == "inside")
    (tmp_path / "slots").mkdir()
    answers = []
    try:
        for word in ("one", "two"):  # two runs, one volume
            owner = Owner(project.id, word, LABELS)
            networks = Networks(engine, owner)
            planned = [Planned(project.services[0], kind, own)]
            services = Services(engine, owner, networks, planned, tmp_path / "slots")
            try:
                services.start()
                services.check()
                answers.append(say(engine, image, networks.of(SERVICES)[0], word).strip())
            finally:
                services.stop()
                networks.stop()
        assert answers == ["told one", "told one two"]
    finally:
        engine.remove_volume(volume_name(Owner(project.id, "", LABELS), "echo"))
        if own != image:
            engine.remove_image(own)


def test_one_that_hangs_is_restarted_and_one_that_is_slow_is_not(
    engine: Engine, root: Path, image: str, tmp_path: Path
) -> None:
    """It is stopped (SIGSTOP): the kernel still makes its connections. Then it is slow, and accepts one at a time."""
    project = project_with(tmp_path / "project", root, "inside")
    rule = LivenessRule(interval_s=0.3, failures=3)
    kind = replace(
        catalog.service_types(root)["inside"], liveness=rule, volume=None, command=("/usr/bin/perl", "-e", SLOW)
    )
    owner = Owner(project.id, "run", LABELS)
    networks = Networks(engine, owner)
    services = Services(engine, owner, networks, [Planned(project.services[0], kind, image)], tmp_path)
    told: list[str] = []

    async def story() -> None:
        supervisor = Supervisor(services, asyncio.to_thread, lambda: None, tell=lambda name, text: told.append(text))
        running = asyncio.create_task(supervisor.run())
        (node,) = services.nodes
        os.kill(node.pid, signal.SIGSTOP)
        await waiting.until(lambda: node.restarts == 1)
        assert "service echo is restarted: port 7000 has accepted no connection for 0.9 s" in told
        assert any("for 0.3 s" in text for text in told)
        network, said = networks.of(SERVICES)[0], len(told)
        answers = await asyncio.gather(*(asyncio.to_thread(say, engine, image, network, word) for word in "abc"))
        assert sorted(answers) == ["a\n", "b\n", "c\n"]
        assert (node.restarts, node.health) == (1, Health.UP), told[said:]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    try:
        services.start()
        services.check()
        asyncio.run(story())
    finally:
        services.stop()
        networks.stop()


def test_one_that_never_listens_is_told(engine: Engine, root: Path, image: str, tmp_path: Path) -> None:
    project = project_with(tmp_path / "project", root, "inside")
    deaf = replace(catalog.service_types(root)["inside"], command=("/usr/bin/perl", "-e", "sleep 60"), volume=None)
    owner = Owner(project.id, "run", LABELS)
    networks = Networks(engine, owner)
    planned = [Planned(project.services[0], deaf, image)]
    services = Services(engine, owner, networks, planned, tmp_path, ready_s=1.0)
    try:
        services.start()
        with pytest.raises(EngineError, match="service echo did not answer within 1 s"):
            services.check()
    finally:
        services.stop()
        networks.stop()


def test_a_type_that_no_folder_has_is_told_with_those_that_are(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^fnctl\.yaml:2: services\.echo\.type cannot be `insid`") as caught:
        project_with(tmp_path / "project", root, "insid")
    assert caught.value.hint == "did you mean `inside`?"
