"""Starts the agent: `python3 -S -E -B -X utf8 /opt/fnctl/python [--serve]`."""

from fnctl_agent.main import main

main()
