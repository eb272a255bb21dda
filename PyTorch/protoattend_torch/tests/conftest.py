"""What the tests of this network share: the TensorFlow network's helpers among it."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

# The tests import their helpers as plain modules under every import mode of pytest.
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "TensorFlow/protoattend/tests"))
pytest.register_assert_rewrite("proto_parity")

from proto_parity import exact, stored  # noqa: E402, F401

# It needs both frameworks.
collect_ignore = [] if find_spec("tensorflow") else ["test_twins.py"]
