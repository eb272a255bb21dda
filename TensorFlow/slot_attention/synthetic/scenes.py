"""3-D scenes in the manner of CLEVR, rendered by numpy, with masks, coordinates and properties.

Scene i of a split depends on nothing but the seed, the split's name, i and the settings.
"""

from __future__ import annotations

from typing import List, NamedTuple, Tuple

import numpy as np

from common.core.errors import ZooError
from slot_attention.synthetic.scene_camera import (
    POSITION,
    Camera,
    Vector,
    look_from,
    project,
    ray_directions,
    scene_directions,
)
from slot_attention.synthetic.scene_layout import SceneObject, SceneSettings, arrange
from slot_attention.synthetic.scene_shading import LAMPS, Lamp, shade, to_pixels
from slot_attention.synthetic.scene_tracing import Hits, trace
from slot_attention.synthetic.seeding import between, scene_stream

_VIEWS = 100
_WITHIN_A_PIXEL = (0.25, 0.75)  # rows and columns of four places


class Scene(NamedTuple):
    """A rendered scene.

    image uint8 (H, W, 3); masks bool (1 + most objects, H, W), the background first, every pixel
    in exactly one; objects in the order of the masks; pixel_coords: per object column, row and
    depth (distance along the viewing direction) of its centre.
    """

    image: np.ndarray
    masks: np.ndarray
    objects: List[SceneObject]
    pixel_coords: List[Vector]


def draw_scene(
    seed: int,
    split: str,
    index: int,
    settings: SceneSettings = SceneSettings(),  # noqa: B008
) -> Scene:
    """Draws scene number index of a split.

    Raises:
        ZooError: the objects don't fit, or always hide one another more than settings allow.
    """
    stream = scene_stream(seed, "scenes", split, index)
    lamps = [
        lamp._replace(position=_shifted(stream, lamp.position, settings.light_jitter))
        for lamp in LAMPS
    ]
    objects, camera, hits = _view(stream, settings)
    return Scene(
        image=_picture(objects, lamps, camera, hits, settings.antialias),
        masks=(
            hits.label.reshape(settings.image_size)[None]
            == np.arange(settings.entities, dtype=np.uint8)[:, None, None]
        ),
        objects=objects,
        pixel_coords=[project(camera, (thing.x, thing.y, thing.z)) for thing in objects],
    )


def _shifted(stream: np.random.RandomState, position: Vector, most: float) -> Vector:
    x, y, z = (part + between(stream, (-most, most)) for part in position)
    return (x, y, z)


def _view(
    stream: np.random.RandomState, settings: SceneSettings
) -> Tuple[List[SceneObject], Camera, Hits]:
    """Objects and a camera that sees enough of each."""
    directions = scene_directions()
    for _ in range(_VIEWS):
        objects = arrange(stream, settings, directions)
        position = _shifted(stream, POSITION, settings.camera_jitter)
        camera = look_from(position, settings.image_size)
        hits = trace(objects, _column(position), _rays(camera, _all_pixels(camera)))
        if _all_visible(hits, settings):
            return objects, camera, hits
    raise ZooError(
        f"scenes: {settings.objects[0]} to {settings.objects[1]} objects hide one "
        f"another in every one of {_VIEWS} views (visible={settings.visible} "
        f"smallest={settings.smallest}); ask for fewer objects or less visibility"
    )


def _all_visible(hits: Hits, settings: SceneSettings) -> bool:
    shown = np.bincount(hits.label, minlength=len(hits.alone) + 1)[1:]
    enough = np.maximum(settings.visible * hits.alone, max(1.0, settings.smallest_here))
    return bool((shown >= enough).all())


def _column(vector: Vector) -> np.ndarray:
    return np.array(vector, np.float32)[:, None]


def _all_pixels(camera: Camera) -> np.ndarray:
    return np.arange(camera.image_size[0] * camera.image_size[1])


def _rays(camera: Camera, pixels: np.ndarray, right: float = 0.5, down: float = 0.5) -> np.ndarray:
    """Rays (3, P) through a place within each of the pixels, numbered row by row."""
    width = camera.image_size[1]
    return ray_directions(camera, pixels % width + right, pixels // width + down)


def _picture(
    objects: List[SceneObject], lamps: List[Lamp], camera: Camera, hits: Hits, antialias: bool
) -> np.ndarray:
    origin = _column(camera.position)
    everywhere = _rays(camera, _all_pixels(camera))
    light = shade(objects, lamps, origin, everywhere, hits.label, hits.distance)
    if antialias:
        edge = _edge_pixels(hits.label.reshape(camera.image_size))
        light[edge] = _averaged(objects, lamps, camera, edge)
    return to_pixels(light).reshape(camera.image_size + (3,))


def _edge_pixels(label: np.ndarray) -> np.ndarray:
    """Numbers of the pixels beside a pixel of another label."""
    edge = np.zeros(label.shape, bool)
    level, upright = label[:, 1:] != label[:, :-1], label[1:] != label[:-1]
    edge[:, 1:] |= level
    edge[:, :-1] |= level
    edge[1:] |= upright
    edge[:-1] |= upright
    return np.nonzero(edge.ravel())[0]


def _averaged(
    objects: List[SceneObject], lamps: List[Lamp], camera: Camera, pixels: np.ndarray
) -> np.ndarray:
    """The light (P, 3) of pixels, averaged over four places within each."""
    rays = np.concatenate(
        [
            _rays(camera, pixels, right, down)
            for down in _WITHIN_A_PIXEL
            for right in _WITHIN_A_PIXEL
        ],
        axis=1,
    )
    origin = _column(camera.position)
    hits = trace(objects, origin, rays)
    light = np.minimum(shade(objects, lamps, origin, rays, hits.label, hits.distance), 1)
    first, second, third, fourth = light.reshape(4, len(pixels), 3)
    return (first + second + third + fourth) / np.float32(4)
