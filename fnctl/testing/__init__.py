"""For tests of a project, in which time moves when it is told to: `Kit` for its workflows, without Docker; `Functions`
(functions.py, not imported here, since it brings all that serves) for its functions, in their sandboxes.

`fnctl test` runs pytest with the fixtures of `plugin`; what they give works without pytest, too.
"""

from fnctl.testing.kit import Kit, TestRun
from fnctl.testing.mocks import Failure, Mock

__all__ = ["Failure", "Kit", "Mock", "TestRun"]
