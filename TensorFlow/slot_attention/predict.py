"""Draws what slots see in images of one's own: python -m slot_attention.predict --help."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from common.core.command_line import Parser, run_program
from common.core.errors import UsageError, ZooError
from slot_attention.options import EVAL, OBJECT_DISCOVERY, Options, parse_options


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Writes a picture for each image; returns the exit code."""
    parser = Parser(
        prog="slot_attention.predict",
        description="Draws what the slots of a trained network see in images of one's own.",
        epilog="Further flags are those of slot_attention.object_discovery.eval, such as "
        "--num_slots, --seed, --device and --precision_mode.",
    )
    parser.add_argument("--images", nargs="+", required=True, help="images, or folders of them")
    parser.add_argument(
        "--checkpoint",
        "--checkpoint_dir",
        required=True,
        help="a run folder of object discovery, a checkpoint in it, or a published one",
    )
    parser.add_argument("--output_path", help="folder for the pictures (default: RUN/predictions)")
    flags, others = parser.parse_known_args(argv)
    words = ["--dataset=image_folder", "--cache=none", f"--data_path={flags.images[0]}"]
    words += [f"--checkpoint_dir={flags.checkpoint}", *others]
    options = parse_options(OBJECT_DISCOVERY, EVAL, words)
    named = _named_images([Path(place).expanduser() for place in flags.images])
    for path in _drawn(options, named, flags.output_path):
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
    if not named:
        raise ZooError(f"--images: there are no images in {', '.join(map(str, places))}")
    return named


def _drawn(options: Options, named: Dict[str, Path], folder: Optional[str]) -> List[Path]:
    """Writes a picture for each image; returns where."""
    from common.core.files import make_folder, write_atomically
    from common.training.evaluation_run import output_folder
    from common.training.tensorflow import runtime
    from common.training.tensorflow.stored_weights import find_weights
    from slot_attention.building import built_network, scene_pass
    from slot_attention.data.datasets import image_source
    from slot_attention.network.checkpoints import load_weights
    from slot_attention.object_discovery.task import TASK
    from slot_attention.session import open_session

    found = find_weights(str(options.checkpoint_dir))
    place = output_folder(folder, str(options.checkpoint_dir), "predictions")
    options = dataclasses.replace(options, model_dir=place)
    make_folder(Path(place), "--output_path")
    source = image_source(Path(place), {"test": list(named.values())}, "those that were given")
    session = open_session(options, found.state.get("network"), source)
    written: List[Path] = []
    try:
        with runtime.tf.Graph().as_default():
            network, _ = built_network(TASK, session.choice)
            scenes = scene_pass(TASK, session, session.choice, network, "test", None)
            with runtime.open_session(session.device, session.precision) as running:
                load_weights(running, network, found, options.task)
                names = iter(named)
                for batch in scenes.run(running, *scenes.names):
                    for number in range(len(batch["image"])):
                        written.append(Path(place) / f"{next(names)}.png")
                        write_atomically(written[-1], TASK.draw(session, _one(batch, number)))
    finally:
        runtime.close_device(session.device)
    return written


def _one(batch: Dict[str, Any], number: int) -> Dict[str, Any]:
    """One image's part of what a pass gave."""
    one = slice(number, number + 1)
    return {
        name: [part[one] for part in value] if isinstance(value, list) else value[one]
        for name, value in batch.items()
    }


if __name__ == "__main__":
    run_program(main)
