"""Draws what slots see, in new scenes or in images of one's own: slot_attention.predict --help."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    ContextManager,
    Dict,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
)

from common.core.command_line import Parser, number_in, run_program
from common.core.errors import UsageError, ZooError
from slot_attention.options import EVAL, OBJECT_DISCOVERY, SceneOptions, parse_options

if TYPE_CHECKING:
    from common.training.stored_weights import FoundCheckpoint
    from slot_attention.data.scenes import SceneSource
    from slot_attention.scene_run import SceneRun
    from slot_attention.tasks import Figures

SHOWN = 4


class ScenesToDraw(NamedTuple):
    """A network's pass over scenes: all outputs of the first ones, and those of every batch."""

    session: SceneRun
    figures: Figures
    first: Callable[[int], Mapping[str, Any]]
    batches: Callable[[], Iterator[Mapping[str, Any]]]


Parse = Callable[[str, str, Optional[Sequence[str]]], SceneOptions]
Opened = Callable[[Any, Any, Any], ContextManager[ScenesToDraw]]


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Writes a picture for each image, or one of all scenes; returns the exit code."""
    return predict("slot_attention", parse_options, _opened, argv)


def predict(package: str, parse: Parse, opened: Opened, argv: Optional[Sequence[str]]) -> int:
    """The program of a network of either framework.

    Args:
        parse: the package's parse_options.
        opened: from options, the checkpoint and the data to what is drawn.
    """
    parser = Parser(
        prog=f"{package}.predict",
        description="Draws what the slots of a trained network see.",
        epilog=f"Further flags are those of {package}.object_discovery.eval, such as "
        "--num_slots, --seed, --device and --precision_mode.",
    )
    parser.add_argument(
        "--images",
        nargs="+",
        help="images, or folders of them, for object discovery (default: test scenes, drawn anew, "
        "of the synthetic data set that the network was trained on)",
    )
    parser.add_argument(
        "--count", type=number_in(int, 1, 16), default=SHOWN, help="scenes, without --images"
    )
    parser.add_argument(
        "--checkpoint",
        "--checkpoint_dir",
        required=True,
        help="a run folder, a checkpoint in it, a published one, or packed weights",
    )
    parser.add_argument("--output_path", help="folder for the pictures (default: RUN/predictions)")
    flags, others = parser.parse_known_args(argv)
    words = ["--dataset=image_folder", "--cache=none", f"--data_path={(flags.images or ['.'])[0]}"]
    words += [f"--checkpoint_dir={flags.checkpoint}", *others]
    options = parse(OBJECT_DISCOVERY, EVAL, words)
    named = _named_images([Path(place).expanduser() for place in flags.images or []])
    for path in _drawn(opened, options, named, flags.count, flags.output_path):
        print(f"picture: {path}", flush=True)
    return 0


def _named_images(places: List[Path]) -> Dict[str, Path]:
    """The images of files and folders, by the names of their pictures."""
    from slot_attention.data.datasets import own_images

    named: Dict[str, Path] = {}
    for place in places:
        if not place.exists():
            raise UsageError(f"--images {place}: there is no such file or folder")
        for path in own_images(place) if place.is_dir() else [place]:
            below = path.relative_to(place if place.is_dir() else place.parent).with_suffix("")
            whole, count = "_".join(below.parts), 1
            name = whole
            while name in named:
                count += 1
                name = f"{whole}-{count}"
            named[name] = path
    if places and not named:
        raise ZooError(f"--images: there are no images in {', '.join(map(str, places))}")
    return named


def _test_scenes(config: Dict[str, Any], folder: Path, count: int) -> Any:
    """The first test scenes of the small synthetic data set that a training's flags name."""
    from common.core.terminal import Terminal
    from slot_attention.data.datasets import find_scenes
    from slot_attention.synthetic.prepare import DATASETS, Request, write_dataset

    name = str(config.get("dataset"))
    if name not in DATASETS:
        raise UsageError("--images is missing: the network was trained on no scenes to draw anew")
    request = Request(name, DATASETS[name].small[0], {"test": count})
    write_dataset(folder, request, Terminal())
    return find_scenes(name, str(folder))


def _drawn(
    opened: Opened, options: SceneOptions, named: Dict[str, Path], count: int, folder: Optional[str]
) -> List[Path]:
    """Writes a picture for each image, or one of so many scenes; returns where."""
    from common.training.evaluation_run import output_folder, write_file
    from common.training.stored_weights import find_weights
    from slot_attention.data.datasets import image_source

    found = find_weights(str(options.checkpoint_dir))
    place = Path(output_folder(folder, str(options.checkpoint_dir), "predictions"))
    task = OBJECT_DISCOVERY if named else found.state.get("task", OBJECT_DISCOVERY)
    options = dataclasses.replace(options, task=task, model_dir=str(place))
    source = (
        image_source(place, {"test": list(named.values())}, "those that were given")
        if named
        else _test_scenes(found.state.get("config", {}), place / f"scenes_{count}", count)
    )
    written: List[Path] = []
    with opened(options, found, source) as scenes:

        def write(name: str, values: Mapping[str, Any]) -> None:
            written.append(place / f"{name}.png")
            write_file(written[-1], scenes.figures.draw(scenes.session, values))

        if not named:  # a row a scene: without those of the rounds of attention
            write(scenes.figures.picture, dict(scenes.first(count), attention=()))
        names = iter(named)
        for batch in scenes.batches() if named else ():
            for number in range(len(batch["image"])):
                write(next(names), _one(batch, number))
    return written


@contextlib.contextmanager
def _opened(options: Any, found: FoundCheckpoint, source: SceneSource) -> Iterator[ScenesToDraw]:
    from common.training.tensorflow import runtime
    from slot_attention.building import ScenePass, built_network, load_weights
    from slot_attention.session import open_session
    from slot_attention.tasks import FIGURES

    with open_session(
        options, found.state.get("network"), source
    ) as session, runtime.tf.Graph().as_default():
        network, _ = built_network(options.task, session.choice)
        scenes = ScenePass(session, network, "test")
        with runtime.open_session(session.device, session.precision) as running:
            load_weights(running, network, found, options.task)
            yield ScenesToDraw(
                session,
                FIGURES[options.task],
                lambda count: scenes.first(running, count),
                lambda: scenes.run(running),
            )


def _one(batch: Mapping[str, Any], number: int) -> Dict[str, Any]:
    """One image's part of what a pass gave."""
    one = slice(number, number + 1)
    return {
        name: [part[one] for part in value] if isinstance(value, list) else value[one]
        for name, value in batch.items()
    }


if __name__ == "__main__":
    run_program(main)
