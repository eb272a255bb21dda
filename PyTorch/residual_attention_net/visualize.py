"""Pictures of a network or a run: python -m residual_attention_net.visualize --help."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from common.core.command_line import Parser, add_debug_flag, number_in, run_program
from common.core.errors import UsageError, ZooError
from common.core.files import make_folder, write_atomically
from common.runs.events import FILE_NAME, effective_events
from residual_attention_net.data.image_files import (
    Samples,
    add_image_flags,
    check_image_flags,
    class_names,
    dataset_samples,
    image_paths,
    read_in_batches,
)
from residual_attention_net.options import NEEDS_FILES
from residual_attention_net.pictures import (
    AttentionView,
    ModuleMasks,
    as_png,
    attention_figure,
    require_matplotlib,
    shortened,
    training_curves,
)
from residual_attention_net.predict import (
    Complaints,
    note,
    predict,
    refuse_volumes,
    telling_resizes,
)
from residual_attention_net.trained_network import (
    TrainedNetwork,
    add_device_flags,
    add_weight_flags,
    named_classes,
    open_trained,
)

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure

    from residual_attention_net.network.model import ResidualAttentionNetwork

__all__ = ["attention_masks", "attention_view", "main", "training_curves"]

IMAGES_SHOWN = 4
LARGEST_COUNT = 32
CLASSES_TOLD = 3
PICTURES, MASKS, CURVES = "pictures", "attention_masks.png", "curves.png"


# --- masks -----------------------------------------------------------------------------------


def attention_masks(
    network: ResidualAttentionNetwork, inputs: torch.Tensor, strongest: int = 0
) -> Tuple[ModuleMasks, ...]:
    """The masks of every attention module for a few inputs, from the input to the output.

    Of volumes, the middle slice of the first spatial axis. The strongest channels are those whose
    values spread most over an image: a mask that is the same everywhere points at nothing.

    Args:
        inputs: float, (N, C, H, W) or (N, C, D, H, W), from 0 to 1, on the network's device.
        strongest: how many single channels to keep of each image.
    """
    size = inputs.shape[2:]
    return tuple(
        _module_masks(name, mask.float().cpu(), size, strongest)
        for name, mask in network.masks(inputs).items()
    )


def _module_masks(
    name: str, mask: torch.Tensor, size: Sequence[int], strongest: int
) -> ModuleMasks:
    import torch.nn.functional as functional

    mean = mask.mean(dim=1, keepdim=True)
    mode = "bilinear" if len(size) == 2 else "trilinear"
    enlarged = functional.interpolate(mean, size=tuple(size), mode=mode, align_corners=False)
    spread = mask.flatten(2).std(dim=2, unbiased=False)
    chosen = spread.topk(min(strongest, mask.shape[1]), dim=1).indices
    flat = [_middle_slice(values, len(size)) for values in (mean[:, 0], enlarged[:, 0], mask)]
    kept = _own_channels(flat[2], chosen)
    return ModuleMasks(
        name, mask.shape[-1], mask.shape[1], flat[0].numpy(), flat[1].numpy(), kept, chosen.numpy()
    )


def _own_channels(masks: torch.Tensor, channels: torch.Tensor) -> np.ndarray:
    """Of each image's masks (N, C, h, w) those of its own channels (N, K): (N, K, h, w)."""
    return np.stack([mask[chosen].numpy() for mask, chosen in zip(masks, channels)])


def _middle_slice(values: torch.Tensor, spatial_dims: int) -> torch.Tensor:
    """(…, H, W) as it is; of (…, D, H, W) the middle of D."""
    return values if spatial_dims == 2 else values.select(-3, values.shape[-3] // 2)


def attention_view(
    trained: TrainedNetwork,
    samples: Samples,
    classes: Sequence[str],
    title: str,
    strongest: int = 0,
) -> AttentionView:
    """Everything the picture of attention masks shows of a few samples.

    Args:
        classes: the name of every class.
        title: what network and weights, in words.
        strongest: how many single channels of each mask to show.
    """
    from residual_attention_net.data.labelled_images import LabelledImages
    from residual_attention_net.data.loader import EvaluationLoader

    network = trained.network
    unlabelled = LabelledImages(samples.images, np.zeros(len(samples), np.int64), ("",))
    loader = EvaluationLoader(unlabelled, 1, trained.device.device)
    with trained.forward_context():
        masks = [attention_masks(network, batch.inputs, strongest) for batch in loader.batches()]
    probabilities = predict(network, samples.images, forward_context=trained.forward_context)
    images = (
        samples.images
        if network.spatial_dims == 2
        else samples.images[:, samples.images.shape[1] // 2]
    )
    return AttentionView(
        title,
        images,
        tuple(_captions(samples, classes)),
        tuple(_answer(row, classes) for row in probabilities),
        tuple(_joined(of_images) for of_images in zip(*masks)),
    )


def _joined(of_images: Sequence[ModuleMasks]) -> ModuleMasks:
    """One module's masks of single images as those of all."""
    arrays = {
        field.name: np.concatenate([getattr(one, field.name) for one in of_images])
        for field in dataclasses.fields(ModuleMasks)
        if isinstance(getattr(of_images[0], field.name), np.ndarray)
    }
    return dataclasses.replace(of_images[0], **arrays)


def _captions(samples: Samples, classes: Sequence[str]) -> List[str]:
    captions = []
    for name, truth in zip(samples.names, samples.truths):
        if truth is None:
            captions.append(shortened(Path(name).name))
        else:
            of_class = classes[truth] if truth < len(classes) else str(truth)
            captions.append(f"{shortened(name)}\ntrue class: {shortened(of_class)}")
    return captions


def _answer(probabilities: np.ndarray, classes: Sequence[str]) -> str:
    best = np.argsort(-probabilities, kind="stable")[:CLASSES_TOLD]
    return "prediction:\n" + "\n".join(
        f"{shortened(classes[index])} {100 * probabilities[index]:.1f} %" for index in best
    )


# --- the program -----------------------------------------------------------------------------


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
        if not any((self.folder / "ckpt").glob("*.pt")):
            return None
        from residual_attention_net.checkpoint import CheckpointFolder

        checkpoints = CheckpointFolder(self.folder / "ckpt")
        return checkpoints.best() or checkpoints.newest()

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
        check_image_flags(arguments)
    require_matplotlib()
    folder = Path(arguments.output_path or arguments.run or "output") / PICTURES
    if arguments.run is not None:
        run = read_run(Path(arguments.run))
        if run.has_steps:
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
    make_folder(path.parent, "--output_path")
    write_atomically(path, as_png(figure))
    print(f"wrote {path}", flush=True)


def _draw_masks(arguments: argparse.Namespace, path: Path) -> int:
    check_image_flags(arguments)
    trained = open_trained(
        arguments.pth_path,
        arguments.network,
        arguments.device_type,
        arguments.device_id,
        arguments.precision_mode,
    )
    for line in trained.told:
        note(line)
    complaints = Complaints()
    samples, classes = _asked_for(arguments, trained, complaints)
    title = f"{trained.network.spec.name}, weights {shortened(Path(arguments.pth_path).name, 60)}"
    if trained.network.spatial_dims == 3:
        title += ", middle slice of each volume"
    _write(
        attention_figure(attention_view(trained, samples, classes, title, arguments.channels)), path
    )
    return 1 if complaints.lines else 0


def _asked_for(
    arguments: argparse.Namespace, trained: TrainedNetwork, complaints: Complaints
) -> Tuple[Samples, Tuple[str, ...]]:
    """The samples to draw, and the names of the classes."""
    size = trained.input_size
    if not arguments.images:
        if arguments.count > LARGEST_COUNT:
            raise UsageError(
                f"--count {arguments.count}: a picture shows at most {LARGEST_COUNT} images"
            )
        samples, of_dataset = dataset_samples(
            arguments.dataset, arguments.data_path, arguments.count, size
        )
        return samples, named_classes(trained, of_dataset)
    refuse_volumes(trained)
    paths = image_paths(arguments.images, complaints.add)
    if len(paths) > LARGEST_COUNT:
        note(f"{len(paths)} images given, a picture shows {LARGEST_COUNT}: the first are drawn")
    read = telling_resizes(
        read_in_batches(paths[:LARGEST_COUNT], size, LARGEST_COUNT, complaints.add), size
    )
    samples = next(read, None)
    if samples is None:
        raise ZooError("--images: none of them can be read; give PNG or JPEG files")
    return samples, named_classes(trained, _names_of(arguments, size))


def _names_of(arguments: argparse.Namespace, size: int) -> Optional[Tuple[str, ...]]:
    """The class names of --dataset, where they can be had without its files or these are given."""
    name = arguments.dataset
    if name is None or (name in NEEDS_FILES and name != "cifar10" and not arguments.data_path):
        return None
    return class_names(name, arguments.data_path, size)


if __name__ == "__main__":
    run_program(main)
