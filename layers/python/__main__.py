"""Starts the agent: `python3 -S -E -B -X utf8 /opt/fnctl/python [--serve]`."""

import gc

# Half of the work of a start is importing, which makes no garbage: main() collects again once it is over.
gc.disable()

from fnctl_agent import pack  # noqa: E402

packed = pack.boot()

from fnctl_agent.main import main  # noqa: E402

main(packed)
