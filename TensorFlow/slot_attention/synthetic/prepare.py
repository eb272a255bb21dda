"""Makes a synthetic dataset: python -m slot_attention.synthetic.prepare NAME --data_path DIR."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

from common.core.codec import plain
from common.core.command_line import Parser, add_debug_flag, number_in, run_program
from common.core.errors import ZooError
from common.core.files import make_folder
from common.core.flags import add_flags
from common.core.terminal import Terminal
from slot_attention.data.arrays import (
    MANIFEST,
    followed,
    read_manifest,
    waited_for,
    write_arrays,
    written_aside,
)
from slot_attention.data.reading import ALL, ordered
from slot_attention.data.scenes import Scene, SceneFacts
from slot_attention.synthetic.scenes import SceneSettings, draw_scene
from slot_attention.synthetic.sprites import SpriteSettings, draw_sprite_scene

SPLITS = ("train", "validation", "test")
SPRITES, SCENES = "synthetic_sprites", "synthetic_scenes"
_MOST_SCENES = 1000000
_MOST_WORKERS = 256
CORES = min(_MOST_WORKERS, len(os.sched_getaffinity(0)))


class Dataset(NamedTuple):
    """A dataset that can be made.

    settings, counts: the defaults. draw: from seed, split, index and settings to a scene. noun:
    what is counted. small: settings and counts that are drawn within a minute or two, for a run
    that names no data.
    """

    settings: Any
    counts: Tuple[int, int, int]
    draw: Callable[..., Scene]
    noun: str
    summary: str
    small: Tuple[Any, Tuple[int, int, int]]


DATASETS: Dict[str, Dataset] = {
    SPRITES: Dataset(
        SpriteSettings(),
        (50000, 320, 320),
        draw_sprite_scene,
        "sprites",
        "2-D shapes that hide one another, with their masks",
        (SpriteSettings(objects=(3, 3), overlap=False, scale=(0.25, 0.4)), (20000, 320, 320)),
    ),
    SCENES: Dataset(
        SceneSettings(),
        (10000, 320, 320),
        draw_scene,
        "objects",
        "rendered 3-D scenes, with masks, coordinates and properties",
        (SceneSettings(image_size=(64, 64), objects=(2, 4)), (1024, 64, 64)),
    ),
}


class Request(NamedTuple):
    """A dataset that is wanted: its name, settings, scenes of each split, seed; processes."""

    name: str
    settings: Any
    counts: Mapping[str, int]
    seed: int = 0
    workers: int = 1


def make_on_demand(name: str, folder: Path) -> Path:
    """Makes a small dataset below folder, or finds it made; returns the --data_path it is at."""
    settings, counts = DATASETS[name].small
    request = Request(name, settings, dict(zip(SPLITS, counts)), workers=CORES)
    write_dataset(folder, request, Terminal())
    return folder


def write_dataset(data_path: Path, request: Request, terminal: Terminal) -> Path:
    """Draws a dataset as arrays in <data_path>/<name>, unless it is there; returns that folder.

    Raises:
        ZooError: a dataset with other settings is there, or nothing is asked for.
    """
    name, settings = request.name, request.settings
    counts = {split: count for split, count in request.counts.items() if count > 0}
    if not counts:
        raise ZooError(f"{name}: no split has any scenes; give --train, --validation or --test")
    state = make_folder(Path(data_path) / ".zoo" / name, "--data_path")
    folder = Path(data_path) / name
    recipe = dict(plain(dataclasses.asdict(settings)), seed=request.seed, **counts)
    with waited_for(state):
        if folder.is_dir() and any(folder.iterdir()):
            _check_same(folder, recipe)
            terminal.say(f"{folder} is there already, with these settings")
            return folder
        low, high = settings.objects
        facts = SceneFacts(
            name,
            tuple(settings.image_size),
            channels=3,
            entities=settings.entities,
            background_entities=1,
            most_objects=high,
            has_targets=name == SCENES,
            predicate=f"{ALL}; {low} to {high} {DATASETS[name].noun}; train, validation and test: "
            "a file each",
            manifest_sha256="",
        )
        terminal.say(f"{folder}: drawing {facts.predicate}")
        places = [(split, number) for split, count in counts.items() for number in range(count)]
        draw = functools.partial(_drawn, name, request.seed, settings)
        scenes = followed(ordered(draw, places, request.workers), name, len(places), terminal)
        with written_aside(folder) as making:
            write_arrays(making, facts, facts.geometry(), scenes, recipe)
    return folder


def _drawn(name: str, seed: int, settings: Any, place: Tuple[str, int]) -> Tuple[str, Scene]:
    return place[0], DATASETS[name].draw(seed, *place, settings)


def _check_same(folder: Path, asked: Mapping[str, Any]) -> None:
    """Raises ZooError that names what differs where the folder was made by other settings."""
    if not (folder / MANIFEST).exists():
        raise ZooError(f"{folder} holds something else; move it away or give another --data_path")
    found = read_manifest(folder).recipe
    names = [name for name in sorted({*found, *asked}) if found.get(name) != asked.get(name)]
    if names:
        was, now = (
            " ".join(f"{name}={json.dumps(one.get(name), separators=(',', ':'))}" for name in names)
            for one in (found, asked)
        )
        raise ZooError(
            f"{folder} is there with {was}, and asked for is {now}; give another --data_path, the "
            "same settings, or move it away"
        )


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
        scenes, seed = number_in(int, 0, _MOST_SCENES), number_in(int, 0)
        for split, count in zip(SPLITS, dataset.counts):
            one.add_argument("--" + split, type=scenes, default=count, help="scenes of the split")
        one.add_argument("--seed", type=seed, default=0, help="of all scenes")
        workers = number_in(int, 1, _MOST_WORKERS)
        one.add_argument("--workers", type=workers, default=CORES, help="processes")
        add_flags(one, type(dataset.settings))
        add_debug_flag(one)
    return top


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Makes the dataset that the flags ask for."""
    flags = vars(parser().parse_args(argv))
    kind = type(DATASETS[flags["name"]].settings)
    own = {one.name: flags[one.name] for one in dataclasses.fields(kind) if one.name in flags}
    counts = {split: flags[split] for split in SPLITS}
    request = Request(flags["name"], kind(**own), counts, flags["seed"], flags["workers"])
    terminal = Terminal()
    folder = write_dataset(Path(flags["data_path"]).expanduser(), request, terminal)
    terminal.say(f"ready: {folder}")
    return 0


if __name__ == "__main__":
    run_program(main, sys.argv[1:])
