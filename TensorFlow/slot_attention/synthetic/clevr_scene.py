"""A 3-D scene in the words of CLEVR's generator: its scene JSON, and a question about it."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping

from slot_attention.synthetic.scene_camera import Vector, scene_directions
from slot_attention.synthetic.scenes import Scene

_BESIDE = ("left", "right", "front", "behind")
_LEAST_STEP = 0.2  # how far along a direction an object must lie to count as there


def image_name(split: str, index: int) -> str:
    """The file name of an image of split train, val or test."""
    return f"CLEVR_{split}_{index:06d}.png"


def scene_description(scene: Scene, split: str, index: int) -> Dict[str, Any]:
    """The entry of a scene in CLEVR_<split>_scenes.json."""
    directions = scene_directions()
    return {
        "image_filename": image_name(split, index),
        "image_index": index,
        "split": split,
        "objects": [_object(scene, number) for number in range(len(scene.objects))],
        "relationships": {name: _relations(scene, directions[name]) for name in _BESIDE},
        "directions": {name: list(vector) for name, vector in directions.items()},
    }


def _object(scene: Scene, number: int) -> Dict[str, Any]:
    thing, (column, row, depth) = scene.objects[number], scene.pixel_coords[number]
    return {
        "shape": thing.shape,
        "size": thing.size,
        "material": thing.material,
        "color": thing.color,
        "rotation": thing.rotation,
        "3d_coords": [thing.x, thing.y, thing.z],
        "pixel_coords": [int(round(column)), int(round(row)), depth],
    }


def _relations(scene: Scene, direction: Vector) -> List[List[int]]:
    """For each object, which others lie in a direction of it."""
    along = [thing.x * direction[0] + thing.y * direction[1] for thing in scene.objects]
    return [
        [
            other
            for other, place in enumerate(along)
            if other != number and place - start > _LEAST_STEP
        ]
        for number, start in enumerate(along)
    ]


def question(description: Mapping[str, Any], with_answer: bool) -> Dict[str, Any]:
    """The entry of a scene in CLEVR_<split>_questions.json; CLEVR's test split has no answers."""
    entry = {
        "question": "How many things are there?",
        "split": description["split"],
        "question_index": description["image_index"],
        "image_index": description["image_index"],
        "image_filename": description["image_filename"],
    }
    if with_answer:
        entry["answer"] = str(len(description["objects"]))
    return entry
