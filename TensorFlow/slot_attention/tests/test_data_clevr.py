"""CLEVR as tensorflow-datasets prepares it and as its authors publish it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, Dict, Optional

import data_files as files
import numpy as np
import pytest

from common.core.errors import ZooError
from slot_attention.data.arrays import prepare
from slot_attention.data.datasets import find_scenes
from slot_attention.data.scenes import COLUMNS, SceneDataset

pytestmark = pytest.mark.tensorflow
TRAIN = 515  # three more than are held out
WRITERS: Dict[str, Callable[..., Path]] = {
    "prepared": files.write_clevr_prepared,
    "original": files.write_clevr_original,
}


def opened(
    folder: Path, max_objects: Optional[int] = None, splits: Any = None, **geometry: Any
) -> SceneDataset:
    source = find_scenes("clevr", str(folder), max_objects)
    return prepare(source, source.facts.geometry(**geometry), False, None, 2, splits)


@pytest.fixture(params=sorted(WRITERS))
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The same scenes in either form."""
    return WRITERS[request.param](tmp_path, TRAIN, 3)


@pytest.fixture
def original(tmp_path: Path) -> Path:
    return files.write_clevr_original(tmp_path, TRAIN, 3) / "CLEVR_v1.0"


def refusal(folder: Path) -> str:
    with pytest.raises(ZooError) as raised:
        opened(folder)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_the_first_512_of_train_are_held_out_and_images_keep_their_targets(folder: Path) -> None:
    dataset = opened(folder)
    assert dataset.counts == {"train": 3, "train_eval": 512, "validation": 3}
    for split, first in (("train", 512), ("train_eval", 0), ("validation", 0)):
        images, _, targets, objects = dataset.split(split)
        for place in range(3):
            np.testing.assert_array_equal(images[place], files.clevr_image(first + place))
            count = len(files.clevr_objects(first + place))
            assert targets[place, :, 18].sum() == objects[place] == count
    assert not dataset.facts.has_masks and dataset.most_objects == 3
    # Scene 2: three objects of rubber at x -1.5, -0.5, 0.5.
    target = dataset.split("validation").targets[2]
    np.testing.assert_allclose(target[:3, 0], [0.25, 2.5 / 6, 3.5 / 6], rtol=1e-6)
    assert target[:3, COLUMNS["material"].start].all()


def test_the_filter_counts_the_described_objects(folder: Path) -> None:
    # Scenes 512, 513, 514 have 3, 1 and 2 objects.
    dataset = opened(folder, max_objects=2)
    assert dataset.counts["train"] == 2 and dataset.counts["validation"] == 2
    assert dataset.facts.predicate == (
        "scenes whose number of objects (background not counted: objects in the scene "
        "description) <= 2; train: all but the first 512 of train; train_eval: those; validation"
    )


def test_too_few_images_to_hold_out_512_is_an_error(tmp_path: Path) -> None:
    said = refusal(files.write_clevr_original(tmp_path, 5, 2))
    assert "split train has no scene left" in said and said.endswith("more scenes are needed")


def test_missing_cut_off_compressed_and_other_record_files_are_named(tmp_path: Path) -> None:
    files.write_clevr_prepared(tmp_path, 6, 2)
    for inside in ("", "clevr", "clevr/3.1.0"):
        assert find_scenes("clevr", str(tmp_path / inside)).facts.image_size == (24, 36)
    path = tmp_path / "clevr/3.1.0/clevr-train.tfrecord-00001-of-00002"
    whole = path.read_bytes()
    path.unlink()
    assert "lacks file(s) 1 of split train" in refusal(tmp_path)
    path.write_bytes(whole[:-10])
    assert "record 2 is damaged or cut off" in refusal(tmp_path)
    files.write_records(path, [files.example(files.clevr_features(0))])
    assert "download the file again" in refusal(tmp_path)
    features = files.clevr_features(0)
    del features["objects/3d_coords"]
    files.write_records(path, [files.example(features)], compressed=False)
    assert "record 0 is not of clevr 3.1.0 (lacks objects/3d_coords" in refusal(tmp_path)


def test_images_and_scenes_belong_together_by_name(original: Path) -> None:
    images = original / "images" / "train"
    (images / "CLEVR_train_000003.png").rename(images / "CLEVR_train_000999.png")
    said = refusal(original)
    assert "describes (CLEVR_train_000003.png) or has others (CLEVR_train_000999.png)" in said
    (images / "CLEVR_train_000003.png").write_bytes(files.png(files.clevr_image(3)))
    assert "describes (none) or has others (CLEVR_train_000999.png)" in refusal(original)
    (images / "CLEVR_train_000999.png").rename(images / "._CLEVR_train_000003.png")
    assert opened(original).counts["train"] == 3  # hidden files are no images


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "CLEVR_train_000513.png: an empty file"),
        (files.png(files.clevr_image(1))[:500], "CLEVR_train_000513.png: not a readable"),
        (b"<html>gone</html>", "CLEVR_train_000513.png: not a readable"),
        (
            files.png(files.clevr_image(1, (20, 30))),
            "000513.png is 20x30, the others are 24x36",
        ),
    ],
)
def test_one_damaged_image_is_one_line_and_a_jpeg_with_its_name_none(
    content: bytes, said: str, original: Path
) -> None:
    path = original / "images" / "train" / "CLEVR_train_000513.png"
    path.write_bytes(content)
    assert said in refusal(original)
    path.write_bytes(files.png(files.clevr_image(1), "JPEG"))
    assert opened(original, splits=["train"]).counts == {"train": 3}


def test_damaged_descriptions_are_named(original: Path) -> None:
    path = original / "scenes" / "CLEVR_train_scenes.json"
    whole = path.read_text()
    path.write_text(whole.replace("gray", "pink"))
    assert "CLEVR_train_000000.png: its scene can't be understood" in refusal(original)
    path.write_text(json.dumps({"scene": []}))
    assert "is no CLEVR scenes file" in refusal(original)
    path.unlink()
    assert "can't be read" in refusal(original)


def test_real_scene_descriptions_can_be_read(
    zoo_data: Callable[[str], Path], tmp_path: Path
) -> None:
    samples = zoo_data("clevr_samples") / "clevr_generator"
    scenes = [json.loads(path.read_text()) for path in sorted((samples / "scenes").iterdir())]
    (tmp_path / "scenes").mkdir()
    (tmp_path / "images").mkdir()
    for split in ("train", "val"):
        described = tmp_path / "scenes" / f"CLEVR_{split}_scenes.json"
        described.write_text(json.dumps({"scenes": scenes}))
        (tmp_path / "images" / split).symlink_to(samples / "images")
    source = find_scenes("clevr", str(tmp_path))
    assert source.facts.image_size == (240, 320)
    found = source.read(source.facts.geometry(), 1, ["validation"])
    assert [scene.objects for _, scene in found] == [len(scene["objects"]) for scene in scenes]
