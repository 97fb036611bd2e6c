"""What is a name of something in a registry, and what is not."""

from __future__ import annotations

import pytest

from fnctl.errors import UsageError
from fnctl.registry.reference import is_loopback, parse

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "whole", "api"),
    [
        ("registry.example.org/team/shop:1.4", "registry.example.org/team/shop:1.4", "registry.example.org"),
        ("localhost:5000/shop", "localhost:5000/shop:latest", "localhost:5000"),
        ("localhost/shop", "localhost/shop:latest", "localhost"),
        ("[::1]:5000/shop:x", "[::1]:5000/shop:x", "[::1]:5000"),
        ("team/shop:2", "docker.io/team/shop:2", "registry-1.docker.io"),
        ("shop", "docker.io/library/shop:latest", "registry-1.docker.io"),
        (f"r.io/a/b@{DIGEST}", f"r.io/a/b@{DIGEST}", "r.io"),
        (f"r.io/a/b:1@{DIGEST}", f"r.io/a/b@{DIGEST}", "r.io"),
    ],
)
def test_a_name_is_read_as_docker_reads_it(text: str, whole: str, api: str) -> None:
    found = parse(text)
    assert str(found) == whole
    assert found.api_host == api


@pytest.mark.parametrize(
    "text",
    ["", "r.io/", "r.io/Shop", "r.io/a b", "r.io/a:b c", "r.io/a@sha256:1", "r.io/a@md5:aa", "a//b", "r.io/../x"],
)  # fmt: skip
def test_what_is_no_name_is_told(text: str) -> None:
    with pytest.raises(UsageError) as told:
        parse(text)
    assert told.value.hint


def test_loopback_is_what_nobody_can_listen_in_on() -> None:
    near = ("localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000", "[::1]", "r.localhost:1")
    far = ("registry.example.org", "10.0.0.1:5000", "127.0.0.1.example.org", "localhost.example.org", "[fe80::1]:1")
    assert all(is_loopback(host) for host in near)
    assert not any(is_loopback(host) for host in far)
