"""Images of one's own: no labels, only a reconstruction and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import data_files as files
import numpy as np
import pytest

from common.core.errors import UsageError, ZooError
from slot_attention.data.arrays import prepare
from slot_attention.data.datasets import find_scenes
from slot_attention.data.scenes import SceneDataset


def write_images(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        image = files.clevr_image(number, (20 + number, 30))
        (folder / f"{number:02d}.png").write_bytes(files.png(image))
    return folder


def opened(folder: Path, **geometry: Any) -> SceneDataset:
    source = find_scenes("image_folder", str(folder))
    return prepare(source, source.facts.geometry((8, 8), **geometry), False, None, 2)


def test_images_of_all_sizes_and_depths_are_divided_by_a_fixed_permutation(tmp_path: Path) -> None:
    write_images(tmp_path / "deep" / "er", 15)
    write_images(tmp_path, 15)
    dataset, again = opened(tmp_path), opened(tmp_path)
    assert dataset.counts == {"train": 24, "validation": 3, "test": 3}
    assert dataset.split("train").images.shape == (24, 8, 8, 3)
    np.testing.assert_array_equal(dataset.split("test").images, again.split("test").images)
    facts = dataset.facts
    assert (facts.has_masks, facts.has_targets, facts.default_crop) == (False, False, "centre")


def test_what_is_no_image_and_too_few_images_and_a_crop_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    write_images(tmp_path, 2)
    with pytest.raises(ZooError, match="has 2 images to train on: at least 3 are needed"):
        opened(tmp_path)
    write_images(tmp_path, 5)
    (tmp_path / "._00.png").write_bytes(b"x")  # hidden
    (tmp_path / "notes.txt").write_text("x")
    assert sum(opened(tmp_path).counts.values()) == 5
    assert "1 .txt" in capsys.readouterr().out
    with pytest.raises(UsageError, match="leave --crop out"):
        opened(tmp_path, crop="none")
    (tmp_path / "03.png").write_bytes(b"<html>")
    with pytest.raises(ZooError, match="03.png"):
        opened(tmp_path)
