"""python -m slot_attention.synthetic.prepare: every flag counts, every mistake is one line."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import subprocess
import sys

import numpy as np
import psutil
import pytest

from common.core.codec import plain
from common.core.command_line import exit_code_of
from common.core.errors import ZooError
from common.core.terminal import Terminal
from slot_attention.data import arrays
from slot_attention.data.arrays import prepare as prepared
from slot_attention.data.datasets import find_scenes
from slot_attention.synthetic import prepare as program
from slot_attention.synthetic.prepare import (
    DATASETS,
    SCENES,
    SPRITES,
    Request,
    main,
    make_on_demand,
    write_dataset,
)
from slot_attention.synthetic.scenes import SceneSettings, draw_scene
from slot_attention.synthetic.sprites import SpriteSettings, draw_sprite_scene
from tests.fake_zoo import is_alive, wait_until

TINY = {
    SPRITES: ["--image_size", "16", "--objects", "1,2"],
    SCENES: ["--image_size", "24,32", "--objects", "1,2"],
}
SETTINGS = {
    SPRITES: SpriteSettings(image_size=(24, 32), objects=(1, 3)),
    SCENES: SceneSettings(image_size=(48, 64), objects=(1, 2), smallest=1),
}
DRAW = {SPRITES: draw_sprite_scene, SCENES: draw_scene}
COUNTS = {"train": 18, "validation": 0, "test": 2}


def prepare(folder, name, *flags):
    few = ["--train", "2", "--validation", "1", "--test", "1", "--workers", "1"]
    return exit_code_of(main, [name, "--data_path", str(folder)] + TINY[name] + few + list(flags))


def described(folder):
    return json.loads((folder / "dataset.json").read_text())


def write(folder, name=SPRITES, **changes):
    request = Request(name, SETTINGS[name], COUNTS, seed=3)._replace(**changes)
    return write_dataset(folder, request, Terminal(io.StringIO()))


def opened(folder, name, max_objects=None):
    source = find_scenes(name, str(folder), max_objects)
    return prepared(source, source.facts.geometry(), False, None, 1)


@pytest.mark.parametrize("name", list(DATASETS))
def test_each_dataset_is_made_from_its_name_and_found_again(tmp_path, capsys, name):
    assert prepare(tmp_path, name) == 0
    content = described(tmp_path / name)
    assert content["counts"] == {"train": 2, "validation": 1, "test": 1}
    for entry in content["files"]:
        path = tmp_path / name / entry["file"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == entry["sha256"]
    assert f"ready: {tmp_path / name}" in capsys.readouterr().out
    assert prepare(tmp_path, name) == 0
    assert "is there already, with these settings" in capsys.readouterr().out


@pytest.mark.parametrize("name", list(DATASETS))
def test_scenes_come_out_as_they_were_drawn_however_many_processes(tmp_path, name):
    for workers in (1, 2):
        write(tmp_path / str(workers), name, workers=workers)
    one, two = (opened(tmp_path / str(workers), name) for workers in (1, 2))
    assert one.counts == {"train": 18, "test": 2}
    assert one.facts == two.facts and one.facts.entities == SETTINGS[name].entities
    for split in one.splits:
        for place in range(one.counts[split]):
            scene = DRAW[name](3, split, place, SETTINGS[name])
            for dataset in (one, two):
                images, labels, targets, objects = dataset.split(split)
                np.testing.assert_array_equal(images[place], scene.image)
                np.testing.assert_array_equal(labels[place], scene.labels)
                assert objects[place] == scene.objects
                assert targets is None or (targets[place] == scene.target).all()


@pytest.mark.parametrize(
    "name, flag, value, expected",
    [
        (SPRITES, "shapes", "heart,bar", ["heart", "bar"]),
        (SPRITES, "scale", "0.2,0.3", [0.2, 0.3]),
        (SPRITES, "colors", "random", "random"),
        (SPRITES, "overlap", "false", False),
        (SCENES, "objects", "1", [1, 1]),
        (SCENES, "camera_jitter", "0", 0.0),
    ],
)
def test_a_flag_reaches_the_settings_and_the_others_stay(tmp_path, name, flag, value, expected):
    assert prepare(tmp_path, name, "--" + flag, value) == 0
    recipe = described(tmp_path / name)["recipe"]
    assert recipe.pop(flag) == expected
    for field in dataclasses.fields(DATASETS[name].settings):
        if field.name in recipe and "--" + field.name not in TINY[name]:
            assert recipe[field.name] == plain(getattr(DATASETS[name].settings, field.name))


def test_other_settings_another_folder_and_nothing_at_all_are_one_line(tmp_path, capsys):
    assert prepare(tmp_path, SPRITES) == 0
    assert prepare(tmp_path, SPRITES, "--seed", "4") == 1
    assert "seed=0, and asked for is seed=4" in capsys.readouterr().err
    (tmp_path / SCENES).mkdir()
    (tmp_path / SCENES / "file").write_text("")
    assert prepare(tmp_path, SCENES) == 1
    assert "holds something else" in capsys.readouterr().err
    assert prepare(tmp_path / SCENES / "file", SPRITES) == 1
    assert "--data_path" in capsys.readouterr().err
    with pytest.raises(ZooError, match="no split has any scenes"):
        write(tmp_path, counts={"train": 0})


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(tmp_path, capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(arrays._NpyFile, "add", full)
    assert prepare(tmp_path, SPRITES) == 3
    error = capsys.readouterr().err
    assert "no space left" in error and SPRITES in error and error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == [".zoo"]


def test_a_killed_run_leaves_nothing_that_looks_whole_and_no_processes(tmp_path):
    words = [SPRITES, "--data_path", str(tmp_path), "--train", "1000000", "--workers", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "slot_attention.synthetic.prepare", *words],
        stdout=subprocess.DEVNULL,
    )
    half = tmp_path / f".unfinished-{SPRITES}" / "train" / "images.npy"
    try:
        wait_until(half.exists, 120)
        workers = psutil.Process(process.pid).children(recursive=True)
    finally:
        process.kill()
        process.wait()
    assert workers
    wait_until(lambda: not any(is_alive(worker.pid) for worker in workers), 60)
    assert not (tmp_path / SPRITES).exists()
    assert prepare(tmp_path, SPRITES) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [".zoo", SPRITES]


def test_data_on_demand_is_made_once(tmp_path, monkeypatch):
    small = SpriteSettings(image_size=(16, 16), objects=(1, 1))
    dataset = DATASETS[SPRITES]._replace(small=(small, (3, 2, 1)))
    monkeypatch.setitem(program.DATASETS, SPRITES, dataset)
    folder = make_on_demand(SPRITES, tmp_path / "data") / SPRITES
    before = (folder / "dataset.json").stat().st_mtime_ns
    assert described(folder)["counts"] == {"train": 3, "validation": 2, "test": 1}
    make_on_demand(SPRITES, tmp_path / "data")
    assert (folder / "dataset.json").stat().st_mtime_ns == before
