"""ModelArts' entry for accuracy: runs test/train_full_1p.sh with the platform's folders."""

import os
import sys
from pathlib import Path

FOLDER = Path(os.path.realpath(__file__)).parent
sys.path.insert(0, str(FOLDER.parent.parent))

from common.launch.modelarts import run_script  # noqa: E402

if __name__ == "__main__":
    sys.exit(run_script(FOLDER / "test" / "train_full_1p.sh"))
