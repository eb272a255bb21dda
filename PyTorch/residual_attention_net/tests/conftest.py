"""What the tests of this network share."""

from __future__ import annotations

import sys
from pathlib import Path

# The tests import fixture_weights as a plain module under every import mode of pytest.
sys.path.insert(0, str(Path(__file__).resolve().parent))
