"""Pictures of a network or a run: python -m residual_attention_net.visualize --help."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Any, Dict, Optional, Sequence

from common.core.command_line import Parser, run_program
from common.core.errors import UsageError, ZooError
from common.core.files import make_folder
from common.core.flags import Program, path, unrecorded
from common.core.text import shortened
from common.runs.events import FILE_NAME, effective_events
from common.training.checkpoints import CHECKPOINTS
from common.training.pictures import FOLDER
from common.training.stored_weights import SUFFIX
from residual_attention_net.data.samples import Complaints, SampleFlags, note

LARGEST_COUNT = 32


@dataclasses.dataclass(frozen=True)
class VisualizeFlags(SampleFlags):
    """Draws the attention masks of a network over images, and the curves of a run."""

    run: Optional[str] = unrecorded(
        "a run: draws its curves, and its checkpoint's masks on its test data",
        kind=path,
        names=("--run_folder",),
        metavar="FOLDER",
    )
    output_path: Optional[str] = unrecorded(
        f"the pictures go to its folder {FOLDER} (default: the run's folder, or output)", kind=path
    )


PROGRAM = Program("residual_attention_net.visualize", VisualizeFlags, (), {"count": 4})


def _data_path(command: str) -> Optional[str]:
    """What a command line says after --data_path; the run's events hold it nowhere else."""
    reader = Parser(add_help=False)
    reader.add_argument("--data_path")
    try:
        return reader.parse_known_args(shlex.split(command))[0].data_path
    except (ValueError, UsageError):
        return None


def of_run(flags: VisualizeFlags, events: Sequence[Dict[str, Any]]) -> VisualizeFlags:
    """The flags with the weights, the dataset and its folder that the events of a run name.

    Without weights where the run has no checkpoint.
    """
    told: Dict[str, Any] = {}
    if flags.pth_path is None:
        from common.training.torch.weights_file import weights_in

        weights = weights_in(Path(str(flags.run)) / CHECKPOINTS)
        told["pth_path"] = None if weights is None else str(weights)
    if flags.dataset is None:
        start = next((event for event in events if event["event"] == "start"), {})
        folder = flags.data_path or _data_path(str(start.get("command", "")))
        told.update(dataset=start.get("config", {}).get("dataset"), data_path=folder)
    return dataclasses.replace(flags, **told)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Draws and says where the pictures are; returns 1 where an image could not be read."""
    flags = PROGRAM.read(argv)
    folder = Path(flags.output_path or flags.run or "output") / FOLDER
    if flags.run is None:
        if flags.pth_path is None:
            raise UsageError(
                "nothing to draw: give --run FOLDER, or --pth_path with --images or --dataset"
            )
        beside = Path(flags.pth_path).with_name("images")  # kept with packed weights
        shown = flags.images or flags.dataset or not flags.pth_path.endswith(SUFFIX)
        if not shown and beside.is_dir():
            flags = dataclasses.replace(flags, images=[str(beside)])
        return _draw_masks(flags, folder)
    log = Path(flags.run) / "rank_0" / FILE_NAME
    if not log.is_file():
        raise ZooError(f"--run {flags.run}: no run is in it; give the --output_path of one")
    events = effective_events(log)
    if any(event["event"] == "step" for event in events):
        from residual_attention_net.pictures import CURVES, training_curves

        _write(training_curves(events), folder / f"{CURVES}.png")
    flags = of_run(flags, events)
    if flags.pth_path is None:
        note(f"{flags.run} holds no checkpoint: no attention masks are drawn")
        return 0
    return _draw_masks(flags, folder)


def _draw_masks(flags: VisualizeFlags, folder: Path) -> int:
    flags.check()
    # After the flags: torch and matplotlib take seconds to import.
    from residual_attention_net.pictures import MASKS, attention_figure
    from residual_attention_net.trained_network import open_asked_for

    complaints = Complaints()
    asked = open_asked_for(flags, complaints, LARGEST_COUNT)
    trained, samples = asked.trained, next(asked.batches, None)
    if samples is None:
        raise ZooError("--images: none of them can be read; give image files")
    title = f"{trained.network.spec.name}, weights {shortened(Path(str(flags.pth_path)).name)}"
    figure = attention_figure(
        trained.network, samples, asked.classes, title, trained.forward_context
    )
    _write(figure, folder / f"{MASKS}.png")
    return 1 if complaints.lines else 0


def _write(figure: Any, file: Path) -> None:
    from common.evidence.figures.figure import save_png

    make_folder(file.parent, "--output_path")
    save_png(file, figure)
    print(f"wrote {file}", flush=True)


if __name__ == "__main__":
    run_program(main)
