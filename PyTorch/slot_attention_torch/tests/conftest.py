"""What the tests of this network share."""

from __future__ import annotations

import sys
from pathlib import Path

# Helpers of this folder and of the sister's tests are imported as plain modules.
SISTER = Path(__file__).resolve().parents[3] / "TensorFlow" / "slot_attention" / "tests"
sys.path[:0] = [str(Path(__file__).resolve().parent), str(SISTER)]
