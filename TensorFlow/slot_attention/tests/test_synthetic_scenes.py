"""3-D scenes: CLEVR's camera and conventions, masks and coordinates that fit the picture."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math

import numpy as np
import pytest

from common.core.errors import ZooError
from slot_attention.data.scenes import COLORS, MATERIALS
from slot_attention.synthetic.scene_layout import RADII, SceneObject, SceneSettings, arrange
from slot_attention.synthetic.scene_tracing import (
    CAMERA_PLACE,
    ground_axes,
    look_from,
    shadow,
    trace,
)
from slot_attention.synthetic.scene_tracing import rays as rays_of
from slot_attention.synthetic.scenes import draw_scene

SMALL = SceneSettings(image_size=(48, 64))


def scenes(settings=SMALL, count=30, seed=0, split="train"):
    return [draw_scene(seed, split, index, settings) for index in range(count)]


def rays(*vectors):
    return np.array(vectors, np.float32).T


def one(shape, x=0.0, y=0.0, rotation=0.0, size="large"):
    return SceneObject(shape, size, "rubber", "red", rotation, x, y)


def test_a_seed_gives_the_same_scenes_on_every_stack():
    settings, found = SceneSettings(image_size=(60, 80)), hashlib.sha256()
    drawn = scenes(settings, 6)
    entities = np.arange(settings.entities, dtype=np.uint8)[:, None, None]
    for part in [one.image for one in drawn] + [one.labels == entities for one in drawn]:
        found.update(np.ascontiguousarray(part).tobytes())
    assert found.hexdigest()[:16] == "6ecd4a0f40db7b42"


@pytest.mark.parametrize("place", [(1, "train", 0), (0, "test", 0), (0, "train", 1)])
def test_seed_split_and_index_each_change_the_scene(place):
    assert (draw_scene(*place, SMALL).image != draw_scene(0, "train", 0, SMALL).image).any()


def test_labels_number_the_objects_of_the_target():
    for scene in scenes():
        assert scene.image.shape == (48, 64, 3) and scene.labels.shape == (48, 64)
        assert np.unique(scene.labels).tolist() == list(range(scene.objects + 1))
        assert scene.target[:, 18].tolist() == [1] * scene.objects + [0] * (10 - scene.objects)


def test_the_number_of_objects_takes_every_value_of_its_range():
    assert {scene.objects for scene in scenes()} == {3, 4, 5, 6}


def test_objects_lie_in_clevrs_square_and_keep_their_distance():
    settings = dataclasses.replace(SMALL, gap=0.3)
    for seed in range(30):
        things = arrange(np.random.RandomState(seed), settings, ground_axes())
        for number, thing in enumerate(things):
            assert max(abs(thing.x), abs(thing.y)) <= 3 and thing.centre[2] == RADII[thing.size]
            for other in things[:number]:
                apart = math.hypot(thing.x - other.x, thing.y - other.y)
                assert apart >= thing.reach + other.reach + 0.3


def test_all_properties_occur():
    targets = np.concatenate([scene.target[: scene.objects] for scene in scenes(count=40)])
    assert targets[:, 3:].any(axis=0).all()


def test_no_object_is_hidden_more_than_visible_allows():
    crowded = SceneSettings(image_size=(60, 80), objects=(8, 8), visible=0.0, smallest=0)
    bound = dataclasses.replace(crowded, visible=0.5, smallest=300)
    smallest = [
        min(np.bincount(scene.labels.ravel(), minlength=9).min() for scene in scenes(settings, 8))
        for settings in (crowded, bound)
    ]
    assert smallest[0] < 300 / 16 <= smallest[1]


def test_a_material_and_a_color_change_the_look(monkeypatch):
    looks = set()
    for material in MATERIALS:
        for color in COLORS:
            thing = one("sphere", x=0.5)._replace(material=material, color=color)
            monkeypatch.setattr(
                "slot_attention.synthetic.scenes.arrange", lambda *_, thing=thing: [thing]
            )
            scene = draw_scene(0, "train", 0, SMALL)
            looks.add(tuple(scene.image[scene.labels == 1].mean(axis=0).round().astype(int)))
    assert len(looks) == len(MATERIALS) * len(COLORS)


def test_edges_are_smooth_in_the_image_alone():
    rough = dataclasses.replace(SMALL, antialias=False)
    for index in range(4):
        smooth_scene, rough_scene = (
            draw_scene(0, "train", index, settings) for settings in (SMALL, rough)
        )
        assert (smooth_scene.labels == rough_scene.labels).all()
        differs = (smooth_scene.image != rough_scene.image).any(axis=2)
        assert 0 < differs.mean() < 0.35


@pytest.mark.parametrize("shape, distance", [("sphere", 4.3), ("cube", 4.3), ("cylinder", 4.3)])
def test_a_ray_meets_a_solid_at_its_surface(shape, distance):
    hits = trace([one(shape)], rays((0, 0, 5.7)), rays((0, 0, -1), (0, 0, 1), (1, 0, 0)))
    assert hits.label.tolist() == [1, 0, 0] and hits.alone.tolist() == [1]
    assert hits.distance[0] == pytest.approx(distance, abs=1e-5)


def test_a_turned_cube_is_wider():
    straight, turned = (
        trace([one("cube", rotation=angle)], rays((0.8, 5, 0.7)), rays((0, -1, 0)))
        for angle in (0, 45)
    )
    assert straight.label[0] == 0
    assert turned.label[0] == 1 and turned.distance[0] == pytest.approx(
        5 - (0.7 * math.sqrt(2) - 0.8), abs=1e-4
    )


def test_the_nearer_of_two_objects_is_seen():
    both = [one("sphere", x=2.0), one("cube", x=-2.0)]
    hits = trace(both, rays((9, 0, 0.7), (-9, 0, 0.7)), rays((-1, 0, 0), (1, 0, 0)))
    assert hits.label.tolist() == [1, 2] and hits.alone.tolist() == [2, 2]


def test_a_shadow_lies_behind_the_object_from_the_lamp():
    ground = rays((-1.5, 0, 0), (1.5, 0, 0))
    lit = shadow([one("cylinder")], ground, np.zeros(2, np.uint8), [(4.0, 0.0, 3.0)])
    assert lit.tolist() == [0.0, 1.0]


def test_a_wide_lamp_throws_half_a_shadow():
    ground = rays((-1.5, 0, 0))
    lamp = [(4.0, 0.0, 3.0), (-4.0, 0.0, 3.0)]
    lit = shadow([one("cylinder")], ground, np.zeros(1, np.uint8), lamp)
    assert lit.tolist() == [0.5]


def recovered_camera(objects):
    """Position and focal length from 3-D and pixel coordinates of objects at 240x320."""
    places = np.array([thing["3d_coords"] + [1] for thing in objects])
    seen = np.array([thing["pixel_coords"] for thing in objects], float)
    centred = (seen[:, :2] + 0.5 - (160, 120)) * seen[:, 2:]
    matrix = np.linalg.lstsq(places, np.hstack([centred, seen[:, 2:]]), rcond=None)[0].T
    return -np.linalg.solve(matrix[:, :3], matrix[:, 3]), np.linalg.norm(matrix[0, :3])


def test_the_camera_is_that_of_the_clevr_generator(zoo_data):
    camera = look_from(CAMERA_PLACE, (240, 320))
    files = sorted((zoo_data("clevr_samples") / "clevr_generator/scenes").glob("*.json"))
    described = [json.loads(path.read_text()) for path in files]
    many = [scene["objects"] for scene in described if len(scene["objects"]) >= 7]
    assert len(many) == 7
    for objects in many:
        position, focal = recovered_camera(objects)
        assert np.abs(position - CAMERA_PLACE).max() <= 0.6  # its jitter is 0.5
        assert focal == pytest.approx(camera.focal[0], rel=0.003)


def test_directions_are_those_of_the_clevr_generator(zoo_data):
    path = zoo_data("clevr_samples") / "clevr_generator/scenes/CLEVR_new_000000.json"
    expected = json.loads(path.read_text())["directions"]
    for name, vector in zip(("right", "front"), ground_axes()):
        assert np.allclose(vector, expected[name], atol=2e-3), name


def test_a_picture_narrower_than_four_to_three_is_squeezed():
    """It has the rays of the wide one, at the same shares of width and height."""
    wide, square = (
        rays_of(look_from(CAMERA_PLACE, size), np.array([0, size[0] * size[1] - 1]), 0.0, 0.0)
        for size in ((240, 320), (60, 60))
    )
    assert np.allclose(wide[:, 0], square[:, 0], atol=1e-6)


@pytest.mark.parametrize(
    "bad",
    [
        {"image_size": (8, 8)},
        {"objects": (0, 3)},
        {"objects": (5, 4)},
        {"objects": (3, 11)},
        {"visible": 2.0},
        {"gap": -1.0},
        {"smallest": -1.0},
    ],
)
def test_a_bad_setting_is_named(bad):
    with pytest.raises(ZooError, match=f"{list(bad)[0]} is .*; expected"):
        SceneSettings(**bad)


def test_objects_that_do_not_fit_are_said_to():
    with pytest.raises(ZooError, match="10 objects don't fit with gap=2"):
        draw_scene(0, "train", 0, dataclasses.replace(SMALL, objects=(10, 10), gap=2.0))
