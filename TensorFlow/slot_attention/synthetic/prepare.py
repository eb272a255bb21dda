"""Makes a synthetic dataset: python -m slot_attention.synthetic.prepare NAME --data_path DIR."""

from __future__ import annotations

import argparse
import dataclasses
import errno
import os
import sys
from pathlib import Path
from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence, Tuple

from common.core.command_line import Parser, add_debug_flag, boolean, number_in, run_program
from common.core.errors import InfrastructureError, UsageError, ZooError
from common.core.terminal import Terminal
from slot_attention.synthetic.clevr_folder import CLEVR, write_clevr_folder
from slot_attention.synthetic.records import SCENES, SPRITES
from slot_attention.synthetic.scene_layout import SceneSettings
from slot_attention.synthetic.sprite_shapes import SHAPES
from slot_attention.synthetic.sprites import BACKGROUNDS, COLORS, SpriteSettings
from slot_attention.synthetic.writer import SPLITS, Request, write_records

_MOST_SCENES = 1000000
_MOST_WORKERS = 256


class Dataset(NamedTuple):
    """A dataset that can be made: its defaults, and what writes it."""

    settings: Any
    counts: Tuple[int, int, int]
    write: Callable[[Path, Request, Terminal], Path]
    summary: str


DATASETS: Dict[str, Dataset] = {
    SPRITES: Dataset(
        SpriteSettings(),
        (50000, 320, 320),
        write_records,
        "2-D shapes that hide one another, as Multi-dSprites TFRecords",
    ),
    SCENES: Dataset(
        SceneSettings(),
        (10000, 320, 320),
        write_records,
        "rendered 3-D scenes, as CLEVR-with-masks TFRecords",
    ),
    CLEVR: Dataset(
        SceneSettings(image_size=(320, 480), objects=(3, 10)),
        (10000, 1000, 16),
        write_clevr_folder,
        "rendered 3-D scenes, as a CLEVR_v1.0 folder",
    ),
}


def parser() -> Parser:
    """The command line; every dataset has the flags of its own settings."""
    top = Parser(
        prog="python -m slot_attention.synthetic.prepare",
        description="Makes a synthetic dataset; the same seed gives the same scenes.",
    )
    names = top.add_subparsers(dest="name", metavar="NAME")
    names.required = True
    for name, dataset in DATASETS.items():
        one = names.add_parser(name, help=dataset.summary, description=dataset.summary)
        one.add_argument("--data_path", required=True, help=f"folder to make {name} in")
        for split, count in zip(SPLITS, dataset.counts):
            one.add_argument(
                "--" + split,
                type=number_in(int, 0, _MOST_SCENES),
                default=count,
                help="scenes of the split",
            )
        one.add_argument("--seed", type=number_in(int, 0), default=0, help="of all scenes")
        one.add_argument(
            "--workers",
            type=number_in(int, 1, _MOST_WORKERS),
            default=_usable_cores(),
            help="processes",
        )
        _add_settings(one, dataset.settings)
        add_debug_flag(one)
    return top


def _add_settings(one: argparse.ArgumentParser, defaults: Any) -> None:
    for field in dataclasses.fields(defaults):
        kind, explanation = _FLAGS[field.name]
        one.add_argument(
            "--" + field.name, type=kind, default=getattr(defaults, field.name), help=explanation
        )


def _pair(kind: Callable[[str], Any], single: bool = False) -> Callable[[str], Tuple[Any, ...]]:
    """The type of "LOW,HIGH"; with single also of one number that stands for both."""

    def parse(text: str) -> Tuple[Any, ...]:
        parts = text.split(",")
        try:
            values = tuple(kind(part) for part in parts)
        except ValueError:
            values = ()
        if single and len(values) == 1:
            values *= 2
        if len(values) != 2:
            raise argparse.ArgumentTypeError(
                "expected two numbers with a comma between them{}, not {!r}".format(
                    " or one" if single else "", text
                )
            )
        return values

    return parse


def _names(text: str) -> Tuple[str, ...]:
    return tuple(text.split(","))


_FLAGS: Dict[str, Tuple[Callable[[str], Any], str]] = {
    "image_size": (_pair(int, single=True), "height,width in pixels, or one number for both"),
    "objects": (_pair(int, single=True), "fewest,most objects of a scene"),
    "shapes": (_names, "some of " + ",".join(SHAPES)),
    "scale": (_pair(float), "smallest,largest side of a sprite, as a share of the image's"),
    "colors": (str, " or ".join(COLORS)),
    "background": (str, ", ".join(BACKGROUNDS)),
    "overlap": (boolean, "whether sprites may touch and hide one another"),
    "rotate": (boolean, "whether sprites are turned"),
    "visible": (float, "least share of each object that is not hidden"),
    "gap": (float, "least distance between two objects, in units of the scene"),
    "margin": (float, "least distance of two centres to the side and in depth"),
    "smallest": (float, "least visible pixels of an object, at 240x320"),
    "camera_jitter": (float, "largest shift of the camera along each axis"),
    "light_jitter": (float, "largest shift of the lights along each axis"),
    "antialias": (boolean, "smooth edges in the images"),
}


def _usable_cores() -> int:
    return min(_MOST_WORKERS, len(os.sched_getaffinity(0)))


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Makes the dataset that the flags ask for."""
    flags = parser().parse_args(argv)
    dataset = DATASETS[flags.name]
    request = Request(
        name=flags.name,
        seed=flags.seed,
        workers=flags.workers,
        settings=_settings(dataset, flags),
        counts={split: getattr(flags, split) for split in SPLITS},
    )
    terminal = Terminal()
    folder = _on_a_full_disk(lambda: dataset.write(Path(flags.data_path), request, terminal))
    terminal.say(f"ready: {folder}")
    return 0


def _settings(dataset: Dataset, flags: argparse.Namespace) -> Any:
    fields = [field.name for field in dataclasses.fields(dataset.settings)]
    try:
        return type(dataset.settings)(**{name: getattr(flags, name) for name in fields})
    except ZooError as error:
        raise UsageError(str(error)) from error


def _on_a_full_disk(write: Callable[[], Path]) -> Path:
    """Says in one line that the disk is full; what is whole stays, and a further run goes on."""
    try:
        return write()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InfrastructureError(
            "no space left on the disk of {}; free some and run this again (it goes on), or give "
            "another --data_path".format(error.filename or "--data_path")
        ) from error


if __name__ == "__main__":
    run_program(main, sys.argv[1:])
