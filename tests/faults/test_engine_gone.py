"""The engine restarts, freezes, or loses the image: warm calls go on where they can, the rest is told."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults import rig
from tests.faults.engine import PrivateEngine, private_engine
from tests.faults.rig import Running, docker, until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

PROJECT = """
functions:
  warm: {path: node, runtime: node24, handler: harmless.handler}
  cold: {path: python, runtime: python3.13, handler: harmless.handler}
  colder: {path: python, runtime: python3.13, handler: harmless.handler, memory: 300m}
"""


@pytest.fixture(scope="module")
def engine(shared: Running) -> Iterator[PrivateEngine]:
    """With the images of the default engine."""
    sandbox = next(iter(shared.instances(None)))["sandbox"]
    image = docker("inspect", "--format", "{{.Config.Image}}", sandbox).strip()
    with private_engine() as made:
        made.take_images("fnctl/base:trixie", image)
        yield made


@pytest.fixture
def fnctl(engine: PrivateEngine) -> Iterator[Running]:
    with rig.desk(DOCKER_HOST=engine.host) as desk:
        (desk.project / "fnctl.yaml").write_text(PROJECT)
        with rig.running(desk, warm=2) as running:
            yield running
            running.audit()
            running.stop()


def test_a_restart_in_the_middle_of_a_call(engine: PrivateEngine, fnctl: Running) -> None:
    assert fnctl.call("warm").status == 200
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(fnctl.call, "warm", "/?ms=20000")
        until(lambda: any(row["in_flight"] for row in fnctl.instances("warm")), "the call to run")
        engine.stop()
        answer = busy.result()
    assert answer.status == 502
    assert answer.error["code"] == "sandbox_lost", answer.error
    down = fnctl.call("cold")
    assert down.status == 503
    assert down.headers["Retry-After"]
    engine.start()
    until(lambda: Running.pool_full(fnctl.status()), "the pool to be full again", 30)
    until(lambda: fnctl.call("warm").status == 200, "warm calls", 30)
    until(lambda: fnctl.call("cold").status == 200, "cold calls", 30)


def test_an_engine_that_freezes_holds_up_cold_starts_only(engine: PrivateEngine, fnctl: Running) -> None:
    fnctl.call("warm")
    fnctl.audit()
    engine.freeze()
    try:
        for _ in range(20):
            assert fnctl.call("warm").took_s < 5
        answer = fnctl.call("colder", timeout_s=120)  # its limits are the engine's to set
        assert (answer.status, answer.error["code"]) == (503, "no_capacity"), answer.body
        assert answer.headers["Retry-After"]
        assert fnctl.call("warm").status == 200
    finally:
        engine.thaw()
    until(lambda: fnctl.call("colder").status == 200, "cold calls", 60)


def test_the_image_is_removed_under_the_pool(engine: PrivateEngine, fnctl: Running) -> None:
    fnctl.call("warm")
    sandbox = next(iter(fnctl.instances("warm")))["sandbox"]
    image = docker("inspect", "--format", "{{.Config.Image}}", sandbox, DOCKER_HOST=engine.host).strip()
    docker("rmi", "-f", image, DOCKER_HOST=engine.host)
    try:
        assert fnctl.call("warm").status == 200
        for function in ("cold", "colder"):  # the pool has two, and cannot be filled again
            answer = fnctl.call(function)
            assert answer.status in (200, 503), answer.body
            if answer.status == 503:
                assert image in answer.error["message"]
        assert fnctl.call("warm").status == 200
    finally:
        engine.take_images(image)
    until(lambda: Running.pool_full(fnctl.status()), "the pool to be full again", 60)
