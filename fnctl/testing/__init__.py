"""For tests of a project's workflows, without Docker: functions and addresses are mocks, time moves when it is told to.

`fnctl test` runs pytest with the fixtures of `plugin`; `Kit` is what they give, and works without pytest, too.
"""

from fnctl.testing.kit import Kit, TestRun
from fnctl.testing.mocks import Failure, Mock

__all__ = ["Failure", "Kit", "Mock", "TestRun"]
