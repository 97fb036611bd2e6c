"""Writes packs: `python3 -S -E -B -X utf8 /opt/fnctl/python/packing.py [ROOT HANDLER FOLDER CONTRACT]`.

Of a function's load, where one is named; else of the agent's own start, as the image is made.
"""

import sys

from fnctl_agent.noting import Noting

noting = Noting()  # before anything else is imported

from fnctl_agent import warm  # noqa: E402

if sys.argv[1:]:
    noting.seen.clear()  # that was the agent's own
    warm.function(noting, *sys.argv[1:])
else:
    warm.agent(noting)
