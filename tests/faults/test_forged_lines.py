"""Functions that print lines with the mark of an invocation that is not theirs: none is believed, their own are."""

from __future__ import annotations

import pytest

from tests.faults.rig import Running
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]


@pytest.mark.parametrize("function", ["forger", "forger-once", "forger-node", "forger-node-once"])
def test_no_line_stands_under_the_id_of_anothers_invocation(fnctl: Running, function: str) -> None:
    """Written to its own output, in the name of another function's invocation and, where each has a process of its own,
    in that of its own function's last one. A pipe of its own is read only where it is the agent's process."""
    others = [fnctl.call("harmless").id]
    if function.endswith("once"):
        others.append(fnctl.call(function).id)
    for other in others:
        own = fnctl.call(function, f"/?as={other}").id
        wanted = {"forged by descriptor"}
        if function == "forger":
            wanted.add("forged by a pipe of its own")

        def said(own: str = own, wanted: set[str] = wanted) -> list[dict[str, str]]:
            rows = [row for row in fnctl.desk.lines(function) if row["kind"] == "line"]
            from_own = [i for i, row in enumerate(rows) if row["id"] == own and row["text"] == "my own"]
            near = [row for row in rows if row["text"].endswith(own)]
            return near if from_own and {row["text"].rpartition(" ")[0] for row in near} == wanted else []

        assert {row["id"] for row in until(said, f"what {function} has printed")} == {None}
