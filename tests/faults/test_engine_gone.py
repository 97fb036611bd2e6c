"""The engine restarts, freezes, or loses the image: warm calls go on where they can, the rest is told."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.faults import rig
from tests.faults.engine import PrivateEngine, private_engine
from tests.faults.rig import Desk, Running
from tests.support.command import docker
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

PROJECT = """
x-colder: &colder {path: python, runtime: python3.13, handler: harmless.handler, memory: 300m}
functions:
  warm: {path: node, runtime: node24, handler: harmless.handler}
  cold: {path: python, runtime: python3.13, handler: harmless.handler}
  colder: *colder
  colder-1: *colder
  colder-2: *colder
  colder-3: *colder
  colder-4: *colder
  colder-5: *colder
  colder-6: *colder
  colder-7: *colder
  reach: {path: node, runtime: node24, handler: reach.handler, network: services}
  reach-python: {path: python, runtime: python3.13, handler: reach.handler, network: services}
services:
  data: {type: data}
"""
KEPT = "kept:here"  # another name of the image that is removed: what is asked for by its own is not there
REACH = ("reach", "reach-python")


@pytest.fixture(scope="module")
def engine(shared: Running) -> Iterator[PrivateEngine]:
    """With the images of the default engine."""
    sandbox = next(iter(shared.instances(None)))["sandbox"]
    image = docker("inspect", "--format", "{{.Config.Image}}", sandbox).strip()
    with private_engine() as made:
        made.take_images("fnctl/base:trixie", image)
        yield made


@pytest.fixture(scope="module")
def desk(engine: PrivateEngine) -> Iterator[Desk]:
    with rig.desk(DOCKER_HOST=engine.host) as made:
        (made.project / "fnctl.yaml").write_text(PROJECT)
        yield made


@pytest.fixture
def fnctl(desk: Desk) -> Iterator[Running]:
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
    until(lambda: fnctl.status()["services"][0]["state"] == "up", "the service to be up again", 30)
    for function in REACH:
        until(partial(reached, fnctl, function), "calls that need the service", 30)


def reached(fnctl: Running, function: str) -> bool:
    """With a new connection, made by the service's name."""
    answer = fnctl.call(function, "/?host=data", timeout_s=5)
    return answer.status == 200 and bool(answer.json["connected"])


def test_an_engine_that_freezes_holds_up_cold_starts_only(engine: PrivateEngine, fnctl: Running) -> None:
    fnctl.call("warm")
    assert all(reached(fnctl, function) for function in REACH)
    fnctl.audit()
    engine.freeze()
    try:
        for _ in range(20):
            assert fnctl.call("warm", timeout_s=5).status == 200
            assert all(reached(fnctl, function) for function in REACH)  # names are not the engine's to look up
        for number in range(1, 8):  # each takes a container of the pool, until the engine is to make one
            answer = fnctl.call(f"colder-{number}", timeout_s=120)
            if answer.status != 200:
                break
        if answer.status == 503:
            assert answer.error["code"] == "no_capacity", answer.body
            assert answer.headers["Retry-After"]
        else:  # its start waited for others that hang: nobody is told to raise `scale.max` for that
            assert (answer.status, answer.error["code"]) == (504, "queue_timeout"), answer.body
            assert "still being started" in answer.error["message"], answer.body
        assert fnctl.call("warm").status == 200
    finally:
        engine.thaw()
    until(lambda: fnctl.call("colder").status == 200, "cold calls", 60)


def test_the_image_is_removed_under_the_pool(engine: PrivateEngine, fnctl: Running) -> None:
    fnctl.call("warm")
    sandbox = next(iter(fnctl.instances("warm")))["sandbox"]
    image = docker("inspect", "--format", "{{.Config.Image}}", sandbox, DOCKER_HOST=engine.host).strip()
    docker("tag", image, KEPT, DOCKER_HOST=engine.host)  # to bring it back in a moment
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
        docker("tag", KEPT, image, DOCKER_HOST=engine.host)
    until(lambda: Running.pool_full(fnctl.status()), "the pool to be full again", 60)
