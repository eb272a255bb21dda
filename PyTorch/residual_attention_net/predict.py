"""Tells the class of images: python -m residual_attention_net.predict --help."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from common.core.command_line import run_program
from common.core.flags import Program, count, unrecorded
from common.core.text import aligned
from common.data.labelled_images import LabelledImages
from residual_attention_net.data.samples import Complaints, SampleFlags, class_name


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

    complaints = Complaints()
    asked = open_asked_for(flags, complaints)
    found: List[Dict[str, Any]] = []
    for samples in asked.batches:
        probabilities = asked.trained(samples.images, flags.batch_size)
        found += predictions(samples, probabilities, asked.classes, flags.top)
    if flags.json:
        told = {"predictions": found, "unreadable": complaints.lines}
        print(json.dumps(told, indent=2, ensure_ascii=False))
    elif found:
        truth = ["true"] if "truth" in found[0] else []
        header = ["image", *truth, "class", "probability", "most probable"]
        print(aligned([header, *map(_cells, found)]))
    return 1 if complaints.lines else 0


def predictions(
    samples: LabelledImages, probabilities: np.ndarray, classes: Sequence[str], top: int
) -> List[Dict[str, Any]]:
    """What --json prints of every sample: its `top` most probable classes, the best first.

    Args:
        probabilities: float32, (N, classes).
        classes: the name of every class.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    told = []
    for name, label, row, chosen in zip(samples.names, samples.labels, probabilities, order):
        best = [
            {"class": classes[index], "index": int(index), "probability": round(float(value), 6)}
            for index, value in zip(chosen, row[chosen])
        ]
        known = {} if label < 0 else {"truth": class_name(classes, label)}
        told.append({**best[0], "file": str(name), "top": best, **known})
    return told


def _cells(told: Dict[str, Any]) -> List[str]:
    """A prediction as a line of the printed table."""
    rest = ", ".join(f"{one['class']} {100 * one['probability']:.1f} %" for one in told["top"])
    truth = [told["truth"]] if "truth" in told else []
    return [told["file"], *truth, told["class"], f"{100 * told['probability']:.2f} %", rest]


if __name__ == "__main__":
    run_program(main)
