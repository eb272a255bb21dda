"""What scripts/quickstart.sh shows and runs.

    python scripts/lib/quickstart.py show FOLDER   what the kept weights do: figures and pictures
    python scripts/lib/quickstart.py cases         what is trained: one `MODEL/TASK CASE` a line

Each file of weights/index.json is shown by the module that it names as `show`, which is called with
--checkpoint and --output_path. Of each task the smoke case is trained, then the cases named after
it, such as smoke_eval, which go on from the run before; of networks in two frameworks, in one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import List, Mapping, Sequence

CHECKOUT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(CHECKOUT))

from common.cards.model_card import ModelCard  # noqa: E402
from common.cards.model_folders import all_cards, find_card  # noqa: E402
from common.core.command_line import run_program  # noqa: E402
from common.runs.record import read_record  # noqa: E402

WEIGHTS = CHECKOUT / "weights"
LOG = "shown.log"
PICTURES = (".png", ".gif", ".html")


def smoke_cases(card: ModelCard) -> List[str]:
    """The lines of one network, in the order in which its cases are to be run."""
    lines: List[str] = []
    if card.twin_of:
        return lines
    for task in card.tasks.values():
        if card.smoke_case in task.cases:
            cases = [card.smoke_case] + sorted(
                name for name in task.cases if name.startswith(card.smoke_case + "_")
            )
            lines += [f"{card.name}/{task.name} {case}" for case in cases]
    return lines


def recorded(told: Mapping[str, str]) -> str:
    """Network, task and figure of an entry of the index, as its evaluation's record has them."""
    path = next(CHECKOUT.glob(f"results/*/{told['evaluation']}.json"))
    record = read_record(path)
    card = find_card(CHECKOUT, record.model)
    metric = card.task(record.task).metric
    # A training's packed weights are those that were best on validation.
    of_training = told["evaluation"] == told["run_id"]
    figures = record.metrics.best_on_validation if of_training else record.metrics.final
    figure = f"{metric.name} {metric.told(figures[metric.name])}"
    percent = " %" if metric.unit == "percent" else ""
    return (
        f"{card.title}, {record.task.replace('_', ' ')}: {figure}{percent} on record, "
        f"{record.metrics.n_eval:,} test samples ({path.relative_to(CHECKOUT)})"
    )


def start(name: str, told: Mapping[str, str], folder: Path) -> subprocess.Popen:
    """Begins to show one file of weights; what its module says goes to shown.log."""
    words = [f"--checkpoint={WEIGHTS / name}", f"--output_path={folder}"]
    folders = [str(CHECKOUT / part) for part in ("", "PyTorch", "TensorFlow")]
    folders += filter(None, [os.environ.get("PYTHONPATH")])  # CANN's packages are there
    variables = {"PYTHONPATH": os.pathsep.join(folders), "MPLBACKEND": "Agg"}
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOG, "w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", told["show"], *words],
            env={**os.environ, **variables},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def show(process: subprocess.Popen, name: str, told: Mapping[str, str], folder: Path) -> int:
    """Tells what one file of weights reached and where its pictures are, when they are there."""
    print(f"{recorded(told)}\n  python -m {told['show']} --checkpoint=weights/{name}", flush=True)
    code = process.wait()
    for path in sorted(path for path in folder.rglob("*") if path.suffix in PICTURES):
        print(f"  picture: {path}", flush=True)
    if code:
        print(f"  it ended with exit code {code}, see {folder / LOG}", flush=True)
    return code


def main(argv: Sequence[str]) -> int:
    """Prints the cases, or shows the weights; returns 1 where some could not be shown."""
    if argv[0] == "cases":
        print("\n".join(line for card in all_cards(CHECKOUT) for line in smoke_cases(card)))
        return 0
    index = json.loads((WEIGHTS / "index.json").read_text("utf-8"))
    asked = [(name, told, Path(argv[1]) / Path(name).stem) for name, told in index.items()]
    # At once: each takes most of its seconds for imports, on one core.
    processes = [start(*one) for one in asked]
    codes = [show(process, *one) for process, one in zip(processes, asked)]
    return 1 if any(codes) else 0


if __name__ == "__main__":
    run_program(main, sys.argv[1:])
