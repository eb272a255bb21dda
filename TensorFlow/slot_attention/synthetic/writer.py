"""Writes synthetic_sprites and synthetic_scenes as GZIP TFRecord files with their dataset.json."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import IO, Any, Dict, Mapping

from common.core.errors import ZooError
from common.core.files import remove_unfinished, save_atomically, sha256_of
from common.core.terminal import Terminal
from slot_attention.synthetic.dataset_file import (
    NAME,
    PART_NAME,
    Description,
    check_same,
    locked_folder,
    read_description,
    write_description,
)
from slot_attention.synthetic.gzip_pieces import GzipStream
from slot_attention.synthetic.records import CODES, KINDS, SCENES, jobs_of, make_piece
from slot_attention.synthetic.scene_progress import SceneProgress
from slot_attention.synthetic.sprite_shapes import SHAPE_CODES
from slot_attention.synthetic.worker_processes import ordered_results

SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True)
class Request:
    """A dataset that is wanted.

    Attributes:
        name: of records.KINDS, or of the CLEVR folder.
        settings: SpriteSettings or SceneSettings.
        counts: scenes per split; a split of none is left out.
        seed: of all scenes.
        workers: processes.
    """

    name: str
    settings: Any
    counts: Mapping[str, int]
    seed: int = 0
    workers: int = 1

    def wanted(self) -> Dict[str, int]:
        """The splits that are not empty.

        Raises:
            ZooError: there is none.
        """
        wanted = {split: count for split, count in self.counts.items() if count > 0}
        if not wanted:
            raise ZooError(
                f"{self.name}: no split has any scenes; give --train, --validation or --test"
            )
        return wanted


def write_records(data_path: Path, request: Request, terminal: Terminal) -> Path:
    """Writes <data_path>/<name>/, going on where an earlier run stopped; returns that folder.

    A split's file appears when it is whole; dataset.json appears last.

    Raises:
        ZooError: a dataset with other settings is there, or another process writes it.
    """
    with locked_folder(data_path, request.name) as folder:
        _write_missing(folder, request, terminal)
    return folder


def _write_missing(folder: Path, request: Request, terminal: Terminal) -> None:
    part = folder / PART_NAME
    asked = describe(request)
    whole, begun = read_description(folder / NAME), read_description(part)
    for found in (whole, begun):
        if found is not None:
            check_same(folder, found, asked)
    if whole is not None:
        missing = [split for split in asked["counts"] if not (folder / _file(split)).exists()]
        if not missing:
            terminal.say(f"{folder} is there already, with these settings")
            return
        begun = dict(
            whole,
            splits={
                split: entry for split, entry in whole["splits"].items() if split not in missing
            },
        )
    _say_how_it_starts(folder, begun, asked, terminal)
    description = dict(asked, splits=dict(begun["splits"]) if begun else {})
    for split, count in asked["counts"].items():
        if not _is_whole(folder, description, split):
            description["splits"][split] = _write_split(folder, request, split, count, terminal)
            write_description(part, description)
    description.pop("counts")
    write_description(folder / NAME, description)
    part.unlink()


def _say_how_it_starts(folder: Path, begun: Any, asked: Description, terminal: Terminal) -> None:
    if begun is not None:
        terminal.say(
            "{}: going on; whole already: {}".format(
                folder, ", ".join(sorted(begun["splits"])) or "nothing"
            )
        )
        return
    left = remove_unfinished(folder)
    terminal.say(
        "{}: {}".format(
            folder,
            "starting anew, an earlier run left nothing whole"
            if left
            else "writing {}".format(asked["predicate"]),
        )
    )
    write_description(folder / PART_NAME, dict(asked, splits={}))


def _file(split: str) -> str:
    return split + ".tfrecords"


def _is_whole(folder: Path, description: Description, split: str) -> bool:
    return split in description["splits"] and (folder / _file(split)).exists()


def describe(request: Request) -> Description:
    """The description without splits, with the counts that are wanted."""
    kind, settings = KINDS[request.name], request.settings
    codes: Dict[str, Any] = CODES if request.name == SCENES else {"shape": SHAPE_CODES}
    return {
        "schema_version": 1,
        "name": request.name,
        "format": kind.format,
        "image_size": list(settings.image_size),
        "channels": 3,
        "entities": settings.entities,
        "predicate": f"{settings.objects[0]} to {settings.objects[1]} {kind.noun}",
        "seed": request.seed,
        "settings": dataclasses.asdict(settings),
        "codes": codes,
        "counts": request.wanted(),
    }


def _write_split(
    folder: Path, request: Request, split: str, count: int, terminal: Terminal
) -> Dict[str, Any]:
    remove_unfinished(folder)
    path = folder / _file(split)
    save_atomically(path, lambda stream: _write_stream(stream, request, split, count, terminal))
    return {"file": path.name, "count": count, "sha256": sha256_of(path)}


def _write_stream(
    stream: IO[bytes], request: Request, split: str, count: int, terminal: Terminal
) -> None:
    progress = SceneProgress(terminal, split, count)
    jobs = jobs_of(request.name, request.settings, request.seed, split, count)
    gzip_stream = GzipStream(stream)
    pieces = ordered_results(make_piece, jobs, request.workers)
    try:
        for job, piece in zip(jobs, pieces):
            gzip_stream.add(piece)
            progress.advance(job.count)
    finally:
        pieces.close()
        terminal.status("")
    gzip_stream.finish()
    progress.finish()
