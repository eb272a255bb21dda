"""python -m slot_attention.synthetic.prepare: every flag counts, every mistake is one line."""

from __future__ import annotations

import dataclasses
import errno
import json

import pytest

from common.core.command_line import exit_code_of
from slot_attention.synthetic import clevr_folder, writer
from slot_attention.synthetic.prepare import DATASETS, main, parser

TINY = {
    "synthetic_sprites": ["--image_size", "16", "--objects", "1,2"],
    "synthetic_scenes": ["--image_size", "24,32", "--objects", "1,2"],
    "synthetic_clevr": ["--image_size", "24,32", "--objects", "1,2"],
}


def prepare(tmp_path, name, *flags):
    few = ["--train", "2", "--validation", "1", "--test", "1", "--workers", "1"]
    return exit_code_of(main, [name, "--data_path", str(tmp_path)] + TINY[name] + few + list(flags))


@pytest.mark.parametrize("name", list(DATASETS))
def test_each_dataset_is_made_from_its_name(tmp_path, capsys, name):
    assert prepare(tmp_path, name) == 0
    description = json.loads((tmp_path / name / "dataset.json").read_text())
    assert description["name"] == name
    assert {split: entry["count"] for split, entry in description["splits"].items()} == {
        "train": 2,
        "validation": 1,
        "test": 1,
    }
    assert f"ready: {tmp_path / name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name, flag, value, expected",
    [
        ("synthetic_sprites", "shapes", "heart,bar", ["heart", "bar"]),
        ("synthetic_sprites", "scale", "0.2,0.3", [0.2, 0.3]),
        ("synthetic_sprites", "colors", "random", "random"),
        ("synthetic_sprites", "background", "gray", "gray"),
        ("synthetic_sprites", "overlap", "false", False),
        ("synthetic_sprites", "rotate", "false", False),
        ("synthetic_sprites", "visible", "0.9", 0.9),
        ("synthetic_scenes", "gap", "1.5", 1.5),
        ("synthetic_scenes", "margin", "0.7", 0.7),
        ("synthetic_scenes", "visible", "0.9", 0.9),
        ("synthetic_scenes", "smallest", "20", 20.0),
        ("synthetic_scenes", "camera_jitter", "0", 0.0),
        ("synthetic_scenes", "light_jitter", "0", 0.0),
        ("synthetic_scenes", "antialias", "false", False),
    ],
)
def test_a_flag_reaches_the_settings(tmp_path, name, flag, value, expected):
    assert prepare(tmp_path, name, "--" + flag, value) == 0
    description = json.loads((tmp_path / name / "dataset.json").read_text())
    assert description["settings"][flag] == expected


@pytest.mark.parametrize("name", list(DATASETS))
def test_every_setting_has_a_flag_with_its_own_default(name):
    flags = vars(parser().parse_args([name, "--data_path", "."]))
    for field in dataclasses.fields(DATASETS[name].settings):
        assert flags[field.name] == getattr(DATASETS[name].settings, field.name)


@pytest.mark.parametrize(
    "flags, said",
    [
        (["--objects", "4,x"], "--objects: expected two numbers"),
        (["--objects", "5,3"], "objects is (5, 3); expected LOW,HIGH"),
        (["--train", "-1"], "--train: expected at least 0"),
        (["--workers", "0"], "--workers: expected at least 1"),
        (["--overlap", "maybe"], "--overlap: expected true or false"),
        (["--antialias", "false"], "unrecognized arguments: --antialias"),
    ],
)
def test_a_bad_flag_is_one_line_and_exit_code_64(tmp_path, capsys, flags, said):
    assert prepare(tmp_path, "synthetic_sprites", *flags) == 64
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_an_unknown_name_is_one_line(tmp_path, capsys):
    assert exit_code_of(main, ["synthetic_cats", "--data_path", str(tmp_path)]) == 64
    assert "synthetic_cats" in capsys.readouterr().err


def test_other_settings_are_one_line_that_names_both(tmp_path, capsys):
    assert prepare(tmp_path, "synthetic_sprites") == 0
    assert prepare(tmp_path, "synthetic_sprites", "--seed", "4") == 1
    error = capsys.readouterr().err
    assert "seed=0, and asked for is seed=4" in error and error.count("\n") == 1


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert prepare(tmp_path / "file", "synthetic_sprites") == 1
    error = capsys.readouterr().err
    assert "--data_path" in error and error.count("\n") == 1


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(writer.GzipStream, "finish", full)
    assert prepare(tmp_path, "synthetic_sprites") == 3
    error = capsys.readouterr().err
    assert "no space left" in error and "--data_path" in error and error.count("\n") == 1
    folder = tmp_path / "synthetic_sprites"
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "dataset.part.json"]


def test_a_full_disk_leaves_no_clevr_folder(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(clevr_folder, "_write_json", full)
    assert prepare(tmp_path, "synthetic_clevr") == 3
    assert "no space left" in capsys.readouterr().err
    assert not (tmp_path / "synthetic_clevr/CLEVR_v1.0").exists()
    assert not (tmp_path / "synthetic_clevr/dataset.json").exists()
