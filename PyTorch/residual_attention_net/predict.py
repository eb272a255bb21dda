"""Tells the class of images: python -m residual_attention_net.predict --help."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Callable, Dict, List, Optional, Sequence

import numpy as np

from common.core.command_line import run_program
from common.core.flags import Program, count, unrecorded
from common.core.text import width
from residual_attention_net.data.samples import Complaints, SampleFlags, Samples, class_name

HEADERS = {
    True: ["file", "class", "probability", "most probable"],
    False: ["sample", "true", "class", "probability", "most probable"],
}


@dataclasses.dataclass(frozen=True)
class PredictFlags(SampleFlags):
    """Tells the class of images, with its probability."""

    top: int = unrecorded("how many classes to tell of each image", 3, kind=count)
    json: bool = unrecorded("print JSON", False)


PROGRAM = Program("residual_attention_net.predict", PredictFlags)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Predicts and prints; returns 1 where a file could not be read, after all the others."""
    flags = PROGRAM.read(argv)
    flags.check()
    # After the flags: torch takes seconds to import, --help should not.
    from residual_attention_net.trained_network import open_asked_for

    complaints, of_files = Complaints(), bool(flags.images)
    asked = open_asked_for(flags, complaints)
    kept: List[Dict[str, Any]] = []
    line = _columns(asked.names, asked.classes, of_files)
    for samples in asked.batches:
        probabilities = asked.trained(samples.images, flags.batch_size)
        if not (kept or flags.json):
            print(line(HEADERS[of_files]), flush=True)
        found = predictions(samples, probabilities, asked.classes, flags.top)
        kept += found
        for prediction in [] if flags.json else found:
            print(line(_cells(prediction)), flush=True)
    if flags.json:
        told = {"predictions": kept, "unreadable": complaints.lines}
        print(json.dumps(told, indent=2, ensure_ascii=False))
    return 1 if complaints.lines else 0


def predictions(
    samples: Samples, probabilities: np.ndarray, classes: Sequence[str], top: int
) -> List[Dict[str, Any]]:
    """What --json prints of every sample: its `top` most probable classes, the best first.

    Args:
        probabilities: float32, (N, classes).
        classes: the name of every class.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    told = []
    for name, truth, row, chosen in zip(samples.names, samples.truths, probabilities, order):
        best = [
            {"class": classes[index], "index": int(index), "probability": round(float(value), 6)}
            for index, value in zip(chosen, row[chosen])
        ]
        known = {} if truth is None else {"truth": class_name(classes, truth)}
        told.append({**best[0], "file": name, "top": best, **known})
    return told


def _cells(told: Dict[str, Any]) -> List[str]:
    """A prediction as a line of the printed table."""
    rest = ", ".join(f"{one['class']} {100 * one['probability']:.1f} %" for one in told["top"])
    truth = [told["truth"]] if "truth" in told else []
    return [told["file"], *truth, told["class"], f"{100 * told['probability']:.2f} %", rest]


def _columns(
    names: Sequence[str], classes: Sequence[str], of_files: bool
) -> Callable[[Sequence[str]], str]:
    """Joins the cells of a line, so that columns stand below each other as they come."""
    of_class = max([5] + list(map(width, classes)))
    widths = [max([6] + list(map(width, names))), of_class, 11]
    widths[1:1] = [] if of_files else [of_class]

    def line(cells: Sequence[str]) -> str:
        fitted = [cell + " " * (wide - width(cell)) for cell, wide in zip(cells, widths)]
        return "  ".join(fitted + list(cells[len(fitted) :])).rstrip()

    return line


if __name__ == "__main__":
    run_program(main)
