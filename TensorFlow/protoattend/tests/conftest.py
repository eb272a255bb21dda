"""What the tests of this network share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# The tests import their helpers as plain modules under every import mode of pytest.
sys.path.insert(0, str(Path(__file__).resolve().parent))
pytest.register_assert_rewrite("proto_parity")

from proto_parity import exact, stored  # noqa: E402, F401
