"""Every store there is, each test on each."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from fnctl.store.port import Store
from fnctl.store.postgres import PostgresStore
from fnctl.store.sqlite import SqliteStore
from tests.support.postgres import Cluster, cluster

OpenStore = Callable[[], AbstractAsyncContextManager[Store]]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.servers)])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> OpenStore:
    """Opens the store; but in memory, the same one each time."""
    path = tmp_path / "store.db" if request.param == "sqlite" else None
    url = request.getfixturevalue("postgres").url if request.param == "postgres" else None
    schema = f"t{secrets.token_hex(4)}"

    @asynccontextmanager
    async def one() -> AsyncIterator[Store]:
        store: Store = SqliteStore(path) if url is None else PostgresStore(url, schema)
        await store.open()
        try:
            yield store
        finally:
            await store.close()

    return one


@pytest.fixture
def on_disk(tmp_path: Path) -> Callable[[], SqliteStore]:
    return lambda: SqliteStore(tmp_path / "store.db")
