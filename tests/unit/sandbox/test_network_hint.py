"""Hints for calls that fail because the function has no network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fnctl.model import Egress, Function, Network
from fnctl.sandbox.network_hint import hint


def function(network: Network) -> Function:
    return Function(name="todos", path=Path("/"), runtime="node24", handler="app.js", network=network)


@pytest.mark.parametrize(
    "text",
    [
        "Error: connect ENETUNREACH 93.184.215.14:443 - Local (0.0.0.0:0)",
        "cause: Error: getaddrinfo EAI_AGAIN example.com",
        "OSError: [Errno 101] Network is unreachable",
        "socket.gaierror: [Errno -3] Temporary failure in name resolution",
    ],
)
def test_the_errors_of_the_languages_are_known(text: str) -> None:
    told = hint(function(Network.NONE), text)
    assert told is not None
    assert "network: egress" in told


def test_nothing_is_said_of_other_errors_and_of_open_networks() -> None:
    assert hint(function(Network.NONE), "Error: connect ECONNREFUSED 127.0.0.1:5432") is None
    assert hint(function(Network.EGRESS), "OSError: [Errno 101] Network is unreachable") is None
    assert hint(function(Network.EGRESS), "Error: connect ECONNREFUSED 127.0.0.1:5432") is None
    assert hint(function(Network.EGRESS), "data service at http://data: connection refused") is None
    assert "services" in (hint(function(Network.SERVICES), "getaddrinfo EAI_AGAIN example.com") or "")


def test_addresses_that_are_kept_from_egress_say_how_to_allow_them() -> None:
    closed = function(Network.EGRESS)
    own, cloud = "Error: connect ECONNREFUSED 172.17.0.1:5432", "connect ECONNREFUSED 169.254.169.254:80"
    assert "egress: {host: true}" in (hint(closed, own) or "")
    assert "egress: {link_local: true}" in (hint(closed, cloud) or "")
    assert hint(replace(closed, egress=Egress(host=True)), own) is None
    assert hint(replace(closed, egress=Egress(link_local=True)), cloud) is None
