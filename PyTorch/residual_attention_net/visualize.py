"""Pictures of a network or a run: python -m residual_attention_net.visualize --help."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple

from common.core.command_line import Parser, number_in, run_program
from common.core.errors import UsageError, ZooError
from common.core.files import make_folder
from common.core.flags import Program, path, unrecorded
from common.core.text import shortened
from common.runs.events import FILE_NAME, effective_events
from common.training.packed_weights import SUFFIX
from common.training.pictures import FOLDER
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
    channels: int = unrecorded(
        "also draw so many single channels of each mask: those that vary most over the image",
        0,
        kind=number_in(int, 0, 16),
    )


PROGRAM = Program("residual_attention_net.visualize", VisualizeFlags, (), {"count": 4})


@dataclasses.dataclass(frozen=True)
class Run:
    """What the pictures need to know of a run folder."""

    folder: Path
    events: Tuple[Dict[str, Any], ...]

    @property
    def weights(self) -> Optional[Path]:
        """The checkpoint that was best on validation, else the newest whole one, else None."""
        if not any((self.folder / "ckpt").glob("step_*")):
            return None
        from common.training.torch.weights_file import weights_in

        return weights_in(self.folder / "ckpt")

    def dataset(self) -> Tuple[Optional[str], Optional[str]]:
        """The dataset's name and folder, as the run's command line gave them."""
        start = next((event for event in self.events if event["event"] == "start"), {})
        return start.get("config", {}).get("dataset"), _data_path(str(start.get("command", "")))


def _data_path(command: str) -> Optional[str]:
    """What a command line says after --data_path; the run's events hold it nowhere else."""
    reader = Parser(add_help=False)
    reader.add_argument("--data_path")
    try:
        return reader.parse_known_args(shlex.split(command))[0].data_path
    except (ValueError, UsageError):
        return None


def read_run(folder: Path) -> Run:
    """Reads the events of a run folder's first rank.

    Raises:
        ZooError: it is not the folder of a run.
    """
    events = folder / "rank_0" / FILE_NAME
    if not events.is_file():
        raise ZooError(
            f"--run {folder}: no {events.relative_to(folder)} in it; give the folder of "
            "a run, its --output_path"
        )
    return Run(folder, tuple(effective_events(events)))


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
    run = read_run(Path(flags.run))
    if any(event["event"] == "step" for event in run.events):
        from residual_attention_net.pictures import CURVES, training_curves

        _write(training_curves(run.events), folder / f"{CURVES}.png")
    weights = flags.pth_path or run.weights
    if weights is None:
        note(f"{flags.run} holds no checkpoint: no attention masks are drawn")
        return 0
    told: Dict[str, Any] = {"pth_path": str(weights)}
    if flags.dataset is None:
        name, data_path = run.dataset()
        told.update(dataset=name, data_path=flags.data_path or data_path)
    return _draw_masks(dataclasses.replace(flags, **told), folder)


def _draw_masks(flags: VisualizeFlags, folder: Path) -> int:
    flags.check()
    # After the flags: torch and matplotlib take seconds to import.
    from residual_attention_net.pictures import MASKS, attention_figure, attention_view
    from residual_attention_net.trained_network import open_asked_for

    complaints = Complaints()
    asked = open_asked_for(flags, complaints, LARGEST_COUNT)
    trained, samples = asked.trained, next(asked.batches, None)
    if samples is None:
        raise ZooError("--images: none of them can be read; give image files")
    title = f"{trained.network.spec.name}, weights {shortened(Path(str(flags.pth_path)).name)}"
    view = attention_view(
        trained.network, samples, asked.classes, title, trained.forward_context, flags.channels
    )
    _write(attention_figure(view), folder / f"{MASKS}.png")
    return 1 if complaints.lines else 0


def _write(figure: Any, file: Path) -> None:
    from common.evidence.figures.figure import save_png

    make_folder(file.parent, "--output_path")
    save_png(file, figure)
    print(f"wrote {file}", flush=True)


if __name__ == "__main__":
    run_program(main)
