"""The program that draws a network's masks and a run's curves."""

from __future__ import annotations

import os

import pytest

pytest.importorskip("torch")

from picture_helpers import SMALL, weights_in, write_run  # noqa: E402
from PIL import Image  # noqa: E402

from common.core.command_line import exit_code_of  # noqa: E402
from common.runs.events import RunLog  # noqa: E402
from residual_attention_net.visualize import main, read_run  # noqa: E402

pytestmark = pytest.mark.pytorch


def run(*flags):
    return exit_code_of(main, [str(flag) for flag in flags])


def of_images(folder, *images):
    """Draws image files with the small network's weights."""
    flags = ["--pth_path", weights_in(folder), "--network", SMALL, "--output_path", folder]
    return run(*flags, "--images", *images)


NO_UTF8 = os.fsdecode(b"\xca\xbd\xff.png")  # an archive of a Chinese Windows, unpacked


@pytest.mark.parametrize(
    "name", ["a$b$c^{.png", "\u732b.png", "a\x07b.png", "x" * 100 + ".png", NO_UTF8]
)
def test_any_file_name_can_be_drawn(tmp_path, name):
    Image.new("RGB", (16, 16)).save(str(tmp_path / name))
    assert of_images(tmp_path, tmp_path / name) == 0


def test_a_run_gives_its_curves_and_the_masks_of_its_checkpoint(tmp_path, capsys):
    folder = write_run(tmp_path / "run")
    assert run("--run", folder, "--count", "2", "--device_type", "cpu") == 0
    found = sorted(path.name for path in (folder / "pictures").iterdir())
    assert found == ["attention_masks.png", "curves.png"]
    told = capsys.readouterr().out
    for name in found:
        assert "wrote {}".format(folder / "pictures" / name) in told
        with Image.open(str(folder / "pictures" / name)) as picture:
            assert min(picture.size) > 300


def test_a_run_without_a_checkpoint_gives_its_curves_only(tmp_path, capsys):
    folder = write_run(tmp_path / "run", with_weights=False)
    assert run("--run_folder", folder, "--output_path", tmp_path / "other") == 0
    assert [path.name for path in (tmp_path / "other" / "pictures").iterdir()] == ["curves.png"]
    assert "no checkpoint" in capsys.readouterr().err


def test_the_checkpoint_best_on_validation_is_drawn(tmp_path):
    folder = write_run(tmp_path / "run")
    assert read_run(folder).weights == folder / "ckpt" / "best.pt"
    (folder / "ckpt" / "best.pt").unlink()
    assert read_run(folder).weights == folder / "ckpt" / "step_00000030" / "weights.pt"


def test_the_runs_data_are_found_by_its_command_line(tmp_path):
    with RunLog(tmp_path / "rank_0") as log:
        log.event(
            "start",
            config={"dataset": "cifar10"},
            command="train.py --seed 1 '--data_path=/with space' --unknown",
        )
    assert read_run(tmp_path).dataset() == ("cifar10", "/with space")


@pytest.mark.parametrize(
    "flags, code, told",
    [
        (["--run", "nowhere"], 1, "give the folder of a run"),
        ([], 64, "nothing to draw"),
        (["--pth_path", "w.pth"], 64, "no images"),
        (["--pth_path", "w.pth", "--dataset", "digits", "--channels", "99"], 64, "at most 16"),
    ],
)
def test_what_cannot_be_drawn_is_told_in_one_line(capsys, flags, code, told):
    assert run(*flags) == code
    error = capsys.readouterr().err
    assert told in error
    assert len(error.splitlines()) == 1


def test_an_unreadable_image_is_told_and_the_others_are_drawn(tmp_path, capsys):
    Image.new("RGB", (16, 16)).save(str(tmp_path / "a.png"))
    assert of_images(tmp_path, tmp_path / "a.png", tmp_path / "missing.png") == 1
    assert "missing.png" in capsys.readouterr().err
    assert (tmp_path / "pictures" / "attention_masks.png").exists()


def test_when_no_image_can_be_read_no_picture_is_left(tmp_path):
    assert of_images(tmp_path, tmp_path / "missing.png") == 1
    assert not (tmp_path / "pictures").exists()
