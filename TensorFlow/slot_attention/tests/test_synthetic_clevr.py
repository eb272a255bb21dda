"""The CLEVR_v1.0 folder: the layout of the published one, resumed, and read by its real reader."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from synthetic_writing import quiet_terminal

from common.core.errors import ZooError
from slot_attention.synthetic import clevr_folder
from slot_attention.synthetic.clevr_folder import CLEVR, write_clevr_folder
from slot_attention.synthetic.clevr_scene import scene_description
from slot_attention.synthetic.scene_layout import SceneSettings
from slot_attention.synthetic.scenes import draw_scene
from slot_attention.synthetic.writer import Request

Image = pytest.importorskip("PIL.Image")

SETTINGS = SceneSettings(image_size=(32, 48), objects=(2, 3))
COUNTS = {"train": 18, "validation": 3, "test": 2}


def write(tmp_path, **changes):
    """Writes and returns the folder and what was said."""
    said = io.StringIO()
    request = Request(**dict({"name": CLEVR, "settings": SETTINGS, "counts": COUNTS}, **changes))
    return write_clevr_folder(tmp_path, request, quiet_terminal(said)), said.getvalue()


def content_of(folder):
    """The bytes of every file by its path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def read(folder, name):
    return json.loads((folder / "CLEVR_v1.0" / name).read_text())


def test_the_layout_is_that_of_clevr(tmp_path):
    folder, _ = write(tmp_path)
    names = set(content_of(folder))
    for split, count in (("train", 18), ("val", 3), ("test", 2)):
        images = {
            f"CLEVR_v1.0/images/{split}/CLEVR_{split}_{index:06d}.png" for index in range(count)
        }
        assert images <= names
        names -= images
    assert names == {
        "dataset.json",
        "CLEVR_v1.0/scenes/CLEVR_train_scenes.json",
        "CLEVR_v1.0/scenes/CLEVR_val_scenes.json",
    } | {f"CLEVR_v1.0/questions/CLEVR_{split}_questions.json" for split in ("train", "val", "test")}


def test_images_and_scenes_belong_together(tmp_path):
    folder, _ = write(tmp_path)
    for index, entry in enumerate(read(folder, "scenes/CLEVR_val_scenes.json")["scenes"]):
        scene = draw_scene(0, "val", index, SETTINGS)
        assert entry == scene_description(scene, "val", index)
        path = folder / "CLEVR_v1.0/images/val" / entry["image_filename"]
        assert np.array_equal(np.asarray(Image.open(str(path))), scene.image)


def test_questions_are_answered_but_for_the_test_split(tmp_path):
    folder, _ = write(tmp_path)
    train = read(folder, "questions/CLEVR_train_questions.json")["questions"]
    scenes = read(folder, "scenes/CLEVR_train_scenes.json")["scenes"]
    assert [entry["answer"] for entry in train] == [str(len(scene["objects"])) for scene in scenes]
    test = read(folder, "questions/CLEVR_test_questions.json")["questions"]
    assert len(test) == 2 and all("answer" not in entry for entry in test)


def test_a_scenes_entry_has_the_keys_of_the_generators(zoo_data):
    path = zoo_data("clevr_samples") / "clevr_generator/scenes/CLEVR_new_000000.json"
    real = json.loads(path.read_text())
    ours = scene_description(draw_scene(0, "train", 0, SETTINGS), "train", 0)
    assert set(ours) == set(real)
    assert set(ours["objects"][0]) == set(real["objects"][0])
    assert set(ours["relationships"]) == set(real["relationships"])


def test_relationships_follow_the_generators_rule(zoo_data):
    path = zoo_data("clevr_samples") / "clevr_generator/scenes/CLEVR_new_000002.json"
    real = json.loads(path.read_text())
    places = [thing["3d_coords"] for thing in real["objects"]]
    scene = draw_scene(0, "train", 0, SETTINGS)
    things = [scene.objects[0]._replace(x=place[0], y=place[1]) for place in places]
    ours = scene_description(
        scene._replace(objects=things, pixel_coords=[(0.0, 0.0, 1.0)] * len(things)), "train", 0
    )
    for name, lists in real["relationships"].items():
        assert [sorted(row) for row in lists] == ours["relationships"][name], name


def test_the_same_folder_is_not_made_twice(tmp_path):
    folder, _ = write(tmp_path)
    before = content_of(folder)
    _, said = write(tmp_path)
    assert "is there already" in said and content_of(folder) == before


def test_another_seed_is_refused_and_both_named(tmp_path):
    write(tmp_path)
    with pytest.raises(ZooError, match="seed=0, and asked for is seed=2"):
        write(tmp_path, seed=2)


def test_an_interrupted_run_leaves_no_clevr_folder_and_is_gone_on_with(tmp_path, monkeypatch):
    real = clevr_folder.render_job

    def interrupted(job):
        if job.start:
            raise KeyboardInterrupt
        return real(job)

    with monkeypatch.context() as patch:
        patch.setattr(clevr_folder, "render_job", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path)
    assert not (tmp_path / CLEVR / "CLEVR_v1.0").exists()
    assert not (tmp_path / CLEVR / "dataset.json").exists()
    folder, said = write(tmp_path)
    assert "going on with 1 parts that are whole" in said and "train: 2 scenes" in said
    assert content_of(folder) == content_of(write(tmp_path / "elsewhere")[0])


def test_processes_do_not_change_the_folder(tmp_path):
    alone, shared = (
        content_of(write(tmp_path / str(workers), workers=workers)[0]) for workers in (1, 2)
    )
    assert alone == shared


def test_a_real_clevr_is_left_alone(tmp_path):
    (tmp_path / CLEVR / "CLEVR_v1.0").mkdir(parents=True)
    with pytest.raises(ZooError, match="was not made here"):
        write(tmp_path)
