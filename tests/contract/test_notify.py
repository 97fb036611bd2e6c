"""Notifications of a real Postgres as calls: each with its event, held back while the store takes none, found again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fnctl.errors import QueueFull
from fnctl.model import Broker, BrokerTrigger, Function
from fnctl.triggers.broker.brokers import Brokers
from tests.contract.gateway_stage import HELLO, Seen, Stage, answering, app, play
from tests.support.postgres import URL_PASSWORD, Cluster, cluster
from tests.support.turning import until

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def postgres() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


def listening(url: str) -> Function:
    return replace(app(), triggers=(BrokerTrigger(Broker.POSTGRES, url, "Orders", path="/in"),))


def asked(postgres: Cluster, query: str, *values: Any) -> list[Any]:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        return connection.execute(query.encode(), values).fetchall()


def notify(postgres: Cluster, text: str) -> None:
    asked(postgres, "SELECT pg_notify('Orders', %s)", text)


async def listens(postgres: Cluster) -> None:
    listeners = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'LISTEN%%' AND state = 'idle'"
    await until(lambda: bool(asked(postgres, listeners)))


def test_a_notification_is_a_call_also_after_the_server_was_away(tmp_path: Path, postgres: Cluster) -> None:
    async def scene(made: Stage) -> None:
        seen: list[Seen] = []
        said: list[str] = []
        left = [QueueFull("the queue is full", retry_after_s=1)]

        async def accept(function: Function, request: Any, when: Any) -> str:
            if left:
                raise left.pop()
            return await made.deferred.accept(function, request, when)

        await made.add(listening(postgres.url), answering(HELLO, seen))
        listener = Brokers(accept, made.functions, lambda function, text: said.append(text))
        await listener.refresh(made.functions().values())
        await listens(postgres)
        for text in ("held back", '{"order": 7}'):
            notify(postgres, text)
        await until(lambda: len(seen) == 2)
        assert [each.body for each in seen] == [b"held back", b'{"order": 7}']
        assert seen[1].line == b"POST /in HTTP/1.1"
        assert seen[1].one(b"content-type") == b"application/json"
        assert seen[1].one(b"ce-type") == b"dev.fnctl.postgres"
        assert (seen[1].one(b"ce-source"), seen[1].one(b"ce-subject")) == (b"/postgres/Orders", b"Orders")
        assert seen[0].one(b"ce-id") != seen[1].one(b"ce-id")
        assert ["wait at the broker" in line for line in said] == [True]
        postgres.stop()
        await until(lambda: any("trying again in" in line for line in said))
        postgres.start()
        await listens(postgres)
        notify(postgres, "after")
        await until(lambda: len(seen) == 3)
        await listener.close()
        assert not asked(postgres, "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'LISTEN%%'")

    play(tmp_path, scene)


def test_a_url_that_cannot_be_read_is_told_without_its_password(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        said: list[str] = []
        await made.add(listening(f"postgres://fn:{URL_PASSWORD}/with a slash@127.0.0.1/x"), answering(HELLO))
        listener = Brokers(made.deferred.accept, made.functions, lambda function, text: said.append(text))
        await listener.refresh(made.functions().values())
        await until(lambda: bool(said))
        await listener.close()
        assert "cannot be read" in said[0]
        assert URL_PASSWORD not in said[0]

    play(tmp_path, scene)
