"""Pictures of a network or a run: python -m residual_attention_net.visualize --help."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Optional, Sequence, Tuple

from common.core.command_line import Parser, add_debug_flag, number_in, run_program
from common.core.errors import UsageError, ZooError
from common.core.files import make_folder, write_atomically
from common.runs.events import FILE_NAME, effective_events
from common.training.packed_weights import SUFFIX
from residual_attention_net.data.samples import Complaints, add_image_flags, check_image_flags, note
from residual_attention_net.trained_network import (
    add_device_flags,
    add_weight_flags,
    open_asked_for,
    samples_asked_for,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

IMAGES_SHOWN = 4
LARGEST_COUNT = 32
PICTURES, MASKS, CURVES = "pictures", "attention_masks.png", "curves.png"


@dataclasses.dataclass(frozen=True)
class Run:
    """What the pictures need to know of a run folder."""

    folder: Path
    events: Tuple[Dict[str, Any], ...]

    @property
    def has_steps(self) -> bool:
        """Whether anything was trained."""
        return any(event["event"] == "step" for event in self.events)

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


def _parser() -> Parser:
    parser = Parser(
        prog="residual_attention_net.visualize",
        description=(
            "Draws the attention masks of a network over images, and the curves of a run."
        ),
    )
    parser.add_argument(
        "--run",
        "--run_folder",
        metavar="FOLDER",
        help="a run: draws its curves, and its checkpoint's masks on its test data",
    )
    parser.add_argument(
        "--output_path",
        help=f"the pictures go to its folder {PICTURES} (default: the run's folder, or output)",
    )
    parser.add_argument(
        "--channels",
        type=number_in(int, 0, 16),
        default=0,
        help="also draw so many single channels of each mask: those that vary most over the image",
    )
    add_weight_flags(parser, required=False)
    add_image_flags(parser, IMAGES_SHOWN)
    add_device_flags(parser)
    add_debug_flag(parser)
    return parser


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Draws and says where the pictures are; returns 1 where an image could not be read."""
    arguments = _parser().parse_args(argv)
    if arguments.run is None:
        if arguments.pth_path is None:
            raise UsageError(
                "nothing to draw: give --run FOLDER, or --pth_path with --images or --dataset"
            )
        beside = Path(arguments.pth_path).with_name("images")
        if not arguments.images and not arguments.dataset and arguments.pth_path.endswith(SUFFIX):
            arguments.images = [str(beside)] if beside.is_dir() else None  # kept with the weights
        check_image_flags(arguments)
    folder = Path(arguments.output_path or arguments.run or "output") / PICTURES
    if arguments.run is not None:
        run = read_run(Path(arguments.run))
        if run.has_steps:
            from residual_attention_net.pictures import training_curves

            _write(training_curves(run.events), folder / CURVES)
        _take_from_run(arguments, run)
    if arguments.pth_path is None:
        note(f"{arguments.run} holds no checkpoint: no attention masks are drawn")
        return 0
    return _draw_masks(arguments, folder / MASKS)


def _take_from_run(arguments: argparse.Namespace, run: Run) -> None:
    """Fills weights and images in that the command line leaves to the run."""
    weights = None if arguments.pth_path else run.weights
    if weights is not None:
        arguments.pth_path = str(weights)
    name, data_path = run.dataset()
    if arguments.dataset is None:
        arguments.dataset = name
        arguments.data_path = arguments.data_path or data_path


def _write(figure: Figure, path: Path) -> None:
    from common.evidence.figures.figure import png_bytes

    make_folder(path.parent, "--output_path")
    write_atomically(path, png_bytes(figure))
    print(f"wrote {path}", flush=True)


def _draw_masks(arguments: argparse.Namespace, path: Path) -> int:
    check_image_flags(arguments)
    from residual_attention_net.attention import attention_view, shortened
    from residual_attention_net.pictures import attention_figure

    trained = open_asked_for(arguments)
    complaints = Complaints()
    batches, classes, _ = samples_asked_for(arguments, trained, complaints, LARGEST_COUNT)
    samples = next(batches, None)
    if samples is None:
        raise ZooError("--images: none of them can be read; give image files")
    title = f"{trained.network.spec.name}, weights {shortened(Path(arguments.pth_path).name, 60)}"
    view = attention_view(
        trained.network, samples, classes, title, trained.forward_context, arguments.channels
    )
    _write(attention_figure(view), path)
    return 1 if complaints.lines else 0


if __name__ == "__main__":
    run_program(main)
