"""CLEVR prepared by tensorflow-datasets itself, from local files only."""

from __future__ import annotations

import importlib.util
import shutil
import time
from pathlib import Path
from typing import Any, List

import data_files as files
import numpy as np
import pytest

from common.core.errors import ZooError
from slot_attention.data.clevr import find_clevr, index_split
from slot_attention.data.prepare_clevr import main, prepare_clevr

pytestmark = pytest.mark.tensorflow
SIZE = (24, 36)
needs_datasets = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_datasets") is None,
    reason="tensorflow-datasets is not installed",
)


def decoded(images: List[bytes]) -> List[Any]:
    from PIL import Image

    return [np.asarray(Image.open(files.io.BytesIO(image))) for image in images]


def read_by_the_builder(folder: Path, split: str) -> List[Any]:
    """The scenes as tensorflow-datasets gives them from a prepared folder."""
    import tensorflow_datasets as tfds

    from common.training.tensorflow.runtime import tf

    builder = tfds.builder("clevr:3.1.0", data_dir=str(folder))
    with tf.Graph().as_default():
        return list(tfds.as_numpy(builder.as_dataset(split=split, shuffle_files=False)))


@needs_datasets
def test_our_splits_are_those_of_tensorflow_datasets(tmp_path: Path) -> None:
    original = files.write_clevr_original(tmp_path / "CLEVR_v1.0", 12, 4)
    began = time.monotonic()
    prepared = prepare_clevr(original, tmp_path)
    assert time.monotonic() - began < 30, "something waited for the network"
    for split, first, end in (("train", 0, 5), ("train", 5, 12), ("validation", 0, 4)):
        theirs = read_by_the_builder(tmp_path, f"{split}[{first}:{end}]")
        ours = index_split(find_clevr(prepared), split).select(np.arange(first, end))
        images = decoded(ours.read(np.arange(end - first), SIZE))
        assert len(theirs) == end - first
        for their, image, target in zip(theirs, images, ours.targets):
            np.testing.assert_array_equal(their["image"], image)
            count = len(their["objects"]["size"])
            np.testing.assert_allclose(
                target[:count, :3], (their["objects"]["3d_coords"] + 3) / 6, rtol=1e-6
            )
            np.testing.assert_array_equal(
                target[:count, 10:18].argmax(axis=1), their["objects"]["color"]
            )


@needs_datasets
def test_the_official_archive_is_unpacked_and_prepared(tmp_path: Path) -> None:
    files.write_clevr_original(tmp_path / "there" / "CLEVR_v1.0", 3, 1)
    archive = shutil.make_archive(str(tmp_path / "CLEVR_v1.0"), "zip", str(tmp_path / "there"))
    assert main(["--source", archive, "--data_path", str(tmp_path / "here")]) == 0
    assert len(index_split(find_clevr(tmp_path / "here"), "train")) == 3


def test_missing_questions_are_named(tmp_path: Path) -> None:
    original = files.write_clevr_original(tmp_path / "CLEVR_v1.0", 3, 1)
    (original / "questions" / "CLEVR_val_questions.json").unlink()
    with pytest.raises(ZooError, match="lacks questions/CLEVR_val_questions.json, which"):
        prepare_clevr(original, tmp_path)


def test_an_archive_of_something_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("x")
    archive = shutil.make_archive(str(tmp_path / "other"), "zip", str(tmp_path / "other"))
    with pytest.raises(ZooError, match="has no folder CLEVR_v1.0"):
        prepare_clevr(Path(archive), tmp_path / "here")


def test_a_folder_without_clevr_is_named(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="no CLEVR in"):
        prepare_clevr(tmp_path, tmp_path / "here")


@pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_datasets") is not None,
    reason="tensorflow-datasets is installed",
)
def test_without_tensorflow_datasets_the_way_out_is_said(tmp_path: Path) -> None:
    original = files.write_clevr_original(tmp_path / "CLEVR_v1.0", 1, 1)
    with pytest.raises(ZooError, match="use the folder CLEVR_v1.0 itself as data_path"):
        prepare_clevr(original, tmp_path)
