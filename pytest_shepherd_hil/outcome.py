"""pytest's own exception for a failed test, as a class to build on; pytest shows it as an attribute only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _pytest.outcomes import Failed
else:
    Failed = pytest.fail.Exception

__all__ = ["Failed"]
