"""Writes a folder like the published CLEVR_v1.0 from synthetic 3-D scenes: images and JSON.

It is built under another name and renamed when it is whole. A further run goes on from the parts
that an interrupted one has finished.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple

from common.core.errors import ZooError
from common.core.files import write_atomically
from common.core.terminal import Terminal
from slot_attention.synthetic.clevr_scene import image_name, question, scene_description
from slot_attention.synthetic.dataset_file import (
    NAME,
    PART_NAME,
    Description,
    check_same,
    locked_folder,
    read_description,
    write_description,
)
from slot_attention.synthetic.scene_layout import SceneSettings
from slot_attention.synthetic.scene_progress import SceneProgress
from slot_attention.synthetic.scenes import draw_scene
from slot_attention.synthetic.worker_processes import ordered_results
from slot_attention.synthetic.writer import Request

CLEVR = "synthetic_clevr"
FOLDER = "CLEVR_v1.0"
SPLITS = {"train": "train", "validation": "val", "test": "test"}  # our names and CLEVR's
_BUILDING = "CLEVR_v1.0.part"
_PARTS = "parts"
_SCENES_PER_JOB = 16


class FolderJob(NamedTuple):
    """Scenes start to start + count - 1 of a split, as PNG files and one JSON file of a folder."""

    folder: str
    settings: SceneSettings
    seed: int
    split: str
    start: int
    count: int

    @property
    def part(self) -> Path:
        """The file with the descriptions of the scenes; it is there when the job is done."""
        return Path(self.folder) / _PARTS / f"{self.split}_{self.start:06d}.json"


def write_clevr_folder(data_path: Path, request: Request, terminal: Terminal) -> Path:
    """Writes <data_path>/synthetic_clevr/CLEVR_v1.0; returns <data_path>/synthetic_clevr.

    That folder is what tensorflow-datasets' clevr builder expects of its download manager.

    Raises:
        ZooError: a dataset with other settings is there, another process writes it, or Pillow is
            missing.
    """
    _check_pillow()
    with locked_folder(data_path, request.name) as folder:
        _write_missing(folder, request, terminal)
    return folder


def _check_pillow() -> None:
    try:
        import PIL  # noqa: F401
    except ImportError:
        raise ZooError(
            "synthetic_clevr writes PNG files with Pillow, which is not installed; "
            "pip install pillow, or the project's extra: data"
        ) from None


def _write_missing(folder: Path, request: Request, terminal: Terminal) -> None:
    asked, part = _describe(request), folder / PART_NAME
    whole, begun = read_description(folder / NAME), read_description(part)
    for found in (whole, begun):
        if found is not None:
            check_same(folder, found, asked)
    if whole is not None and (folder / FOLDER).is_dir():
        terminal.say(f"{folder} is there already, with these settings")
        return
    building = folder / _BUILDING
    if begun is None:
        _begin(folder, building, asked, terminal)
    else:
        terminal.say(
            "{}: going on with {} parts that are whole".format(
                folder, len(list(building.glob(_PARTS + "/*.json")))
            )
        )
    if building.is_dir():
        _fill(building, request, terminal)
        os.replace(str(building), str(folder / FOLDER))
    asked["splits"] = {
        split: {"file": FOLDER + "/images/" + SPLITS[split], "count": count}
        for split, count in asked.pop("counts").items()
    }
    write_description(folder / NAME, asked)
    part.unlink()


def _begin(folder: Path, building: Path, asked: Description, terminal: Terminal) -> None:
    if (folder / FOLDER).exists() or building.exists():
        raise ZooError(
            f"{folder} holds a {FOLDER} that was not made here; give another --data_path"
        )
    for name in ["images/" + split for split in SPLITS.values()] + ["scenes", "questions", _PARTS]:
        (building / name).mkdir(parents=True)
    terminal.say("{}: writing {}".format(folder, asked["predicate"]))
    write_description(folder / PART_NAME, dict(asked, splits={}))


def _describe(request: Request) -> Description:
    settings = request.settings
    return {
        "schema_version": 1,
        "name": request.name,
        "format": FOLDER,
        "image_size": list(settings.image_size),
        "channels": 3,
        "entities": settings.entities,
        "seed": request.seed,
        "predicate": "{} to {} objects".format(*settings.objects),
        "settings": dataclasses.asdict(settings),
        "counts": request.wanted(),
    }


def _fill(building: Path, request: Request, terminal: Terminal) -> None:
    counts = request.wanted()
    for split, name in SPLITS.items():
        jobs = _jobs(building, request, name, counts.get(split, 0))
        _render(jobs, request.workers, terminal)
        _join(building, name, [_scenes_of(job) for job in jobs])
    shutil.rmtree(str(building / _PARTS))


def _jobs(building: Path, request: Request, split: str, count: int) -> List[FolderJob]:
    return [
        FolderJob(
            str(building),
            request.settings,
            request.seed,
            split,
            start,
            min(_SCENES_PER_JOB, count - start),
        )
        for start in range(0, count, _SCENES_PER_JOB)
    ]


def _render(jobs: List[FolderJob], workers: int, terminal: Terminal) -> None:
    missing = [job for job in jobs if not job.part.exists()]
    if not missing:
        return
    total, left = (sum(job.count for job in some) for some in (jobs, missing))
    progress = SceneProgress(terminal, missing[0].split, total, total - left)
    done = ordered_results(render_job, missing, workers)
    try:
        for count in done:
            progress.advance(count)
    finally:
        done.close()
        terminal.status("")
    progress.finish()


def render_job(job: FolderJob) -> int:
    """Writes the images of a job and then its part; returns how many scenes it has."""
    descriptions = []
    for index in range(job.start, job.start + job.count):
        scene = draw_scene(job.seed, job.split, index, job.settings)
        path = Path(job.folder) / "images" / job.split / image_name(job.split, index)
        path.write_bytes(_png(scene.image))
        descriptions.append(scene_description(scene, job.split, index))
    write_atomically(job.part, json.dumps(descriptions))
    return job.count


def _png(image: Any) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def _scenes_of(job: FolderJob) -> List[Dict[str, Any]]:
    return json.loads(job.part.read_text(encoding="utf-8"))


def _join(building: Path, split: str, parts: List[List[Dict[str, Any]]]) -> None:
    """Writes the JSON files of a split; like CLEVR's, the test split has no scenes."""
    scenes = [scene for part in parts for scene in part]
    info = {"split": split, "version": "1.0", "license": "synthetic"}
    questions = [question(scene, with_answer=split != "test") for scene in scenes]
    _write_json(
        building / "questions" / f"CLEVR_{split}_questions.json",
        {"info": info, "questions": questions},
    )
    if split != "test":
        _write_json(
            building / "scenes" / f"CLEVR_{split}_scenes.json", {"info": info, "scenes": scenes}
        )


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_atomically(path, json.dumps(content))
