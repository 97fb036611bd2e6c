"""The rules that keep sandboxes from this machine, as values: what each names, and in which order."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

from fnctl.engine import host_rules
from fnctl.engine.host_rules import Rule, bridge_name, resolvers, rules
from fnctl.engine.port import Guard
from fnctl.errors import EngineError

BOTH = Guard()


def test_a_bridge_has_a_name_that_an_interface_can_have() -> None:
    names = {bridge_name(f"fnctl-0123456789ab-{run}-egress") for run in range(50)}
    assert len(names) == 50
    assert all(len(name) <= 15 and name.startswith("fn") for name in names)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("guard", [BOTH, Guard(host=False), Guard(link_local=False)])
def test_every_rule_is_of_its_bridge_alone(family: int, guard: Guard) -> None:
    made = rules("fnbridge", guard, family, ["10.0.0.2"], "DOCKER-USER")
    assert made
    assert all(rule.words[:2] == ("-i", "fnbridge") for rule in made)
    assert any(rule.chain == "DOCKER-USER" for rule in made) == guard.link_local
    assert any(rule.chain == "INPUT" for rule in made) == guard.host


def test_the_machines_own_addresses_are_told_before_a_published_port_redirects() -> None:
    made = rules("b", Guard(link_local=False), 4, [], "FORWARD")
    marked = [rule for rule in made if rule.table == "raw"]
    assert [rule.chain for rule in marked] == ["PREROUTING", "PREROUTING"]
    assert all("LOCAL" in rule.words[7].split(",") for rule in marked)
    assert all(rule.words[-2:] == ("CT", "--notrack") for rule in marked)
    refused = [rule for rule in made if rule.chain == "INPUT"]
    assert [rule.words[-1] for rule in refused] == ["tcp-reset", "icmp-port-unreachable"]


def test_name_servers_answer_before_anything_is_refused() -> None:
    made = rules("b", BOTH, 4, ["169.254.169.254"], "FORWARD")
    for table in ("raw", "filter"):
        of_table = [rule for rule in made if rule.table == table and rule.chain != "INPUT"]
        allowed = [rule.words[-1] == "ACCEPT" for rule in of_table]
        assert allowed == sorted(allowed, reverse=True)
        assert [rule.words for rule in of_table if rule.words[-1] == "ACCEPT"] == [
            ("-i", "b", "-d", "169.254.169.254", "-p", protocol, "--dport", "53", "-j", "ACCEPT")
            for protocol in ("tcp", "udp")
        ]


def test_addresses_that_give_out_credentials_are_refused_in_both_families() -> None:
    def refused(family: int) -> set[str]:
        made = rules("b", Guard(host=False), family, [], "FORWARD")
        return {rule.words[3] for rule in made}

    assert refused(4) == {"169.254.0.0/16"}
    assert refused(6) == {"fe80::/10", "fd00:ec2::/32"}


def test_name_servers_are_those_of_the_machine_but_its_loopback(tmp_path: Path) -> None:
    first, second = tmp_path / "resolv.conf", tmp_path / "more"
    first.write_text("# made by hand\nsearch home\nnameserver 127.0.0.53\nnameserver 10.0.0.2\nnameserver nonsense\n")
    second.write_text("nameserver fe80::1%eth0\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n")
    files = (first, second, tmp_path / "missing")
    assert resolvers(4, files) == ["10.0.0.2", "10.0.0.3"]
    assert resolvers(6, files) == ["fe80::1"]


def test_a_rule_says_where_it_goes() -> None:
    assert Rule("raw", "PREROUTING", ("-i", "b")).table in ("raw", "filter")
    assert "egress: {host: true, link_local: true}" in host_rules.HINT


def test_a_rule_that_somebody_else_removed_meanwhile_is_as_good_as_removed() -> None:
    there = ["-A FORWARD -i b -j REJECT", "-A FORWARD -i other -j REJECT"]

    def other_was_first(family: int, words: Sequence[str]) -> str:
        if words[2] == "-D":
            there.remove(f"-A {shlex.join(words[3:])}")
            raise host_rules.cannot("Bad rule")
        return "\n".join(there)

    host_rules.remove("b", 4, "filter", other_was_first)
    assert there == ["-A FORWARD -i other -j REJECT"]


def test_a_rule_that_stays_is_an_error() -> None:
    def stubborn(family: int, words: Sequence[str]) -> str:
        if words[2] == "-D":
            raise host_rules.cannot("Permission denied")
        return "-A FORWARD -i b -j REJECT"

    with pytest.raises(EngineError, match="Permission denied"):
        host_rules.remove("b", 4, "filter", stubborn)
