"""tensorflow-datasets' own clevr builder prepares the synthetic folder, without a network."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_writing import quiet_terminal

from slot_attention.synthetic.clevr_folder import CLEVR, write_clevr_folder
from slot_attention.synthetic.scene_layout import SceneSettings
from slot_attention.synthetic.scenes import draw_scene
from slot_attention.synthetic.writer import Request

pytestmark = pytest.mark.tensorflow
pytest.importorskip("tensorflow_datasets")
pytest.importorskip("PIL")

SETTINGS = SceneSettings(image_size=(32, 48), objects=(2, 3))


class LocalFolder:
    """A download manager that has the archive's content already."""

    def __init__(self, folder):
        self._folder = str(folder)
        self.downloaded_size = 0
        self.recorded_download_checksums = {}

    def download_and_extract(self, _):
        """The folder that holds CLEVR_v1.0."""
        return self._folder


def offline_builder(folder, prepared, monkeypatch):
    """The clevr 3.1.0 builder, kept from its bucket and given a folder."""
    import tensorflow_datasets as datasets
    from tensorflow_datasets.core.utils import gcs_utils

    monkeypatch.setattr(gcs_utils, "gcs_dataset_info_files", lambda *_, **__: [])
    monkeypatch.setattr(gcs_utils, "is_dataset_on_gcs", lambda *_, **__: False)
    builder = datasets.builder("clevr:3.1.0", data_dir=str(prepared))
    monkeypatch.setattr(builder, "_make_download_manager", lambda **_: LocalFolder(folder))
    builder.download_and_prepare(
        download_config=datasets.download.DownloadConfig(
            compute_stats=(datasets.download.ComputeStatsMode.SKIP)
        )
    )
    return builder


def first_record(dataset):
    from common.training.tensorflow.runtime import tf

    with tf.Session() as session:
        return session.run(tf.data.make_one_shot_iterator(dataset).get_next())


def test_the_builder_prepares_and_reads_the_folder(tmp_path, monkeypatch):
    counts = {"train": 5, "validation": 3, "test": 2}
    folder = write_clevr_folder(tmp_path, Request(CLEVR, SETTINGS, counts), quiet_terminal())
    from common.training.tensorflow.runtime import tf

    with tf.Graph().as_default():
        builder = offline_builder(folder, tmp_path / "prepared", monkeypatch)
        record = first_record(builder.as_dataset(split="validation", shuffle_files=False))
    assert {name: split.num_examples for name, split in builder.info.splits.items()} == counts
    index = int(record["file_name"].decode()[-10:-4])
    scene = draw_scene(0, "val", index, SETTINGS)
    assert np.array_equal(record["image"], scene.image)
    colors = builder.info.features["objects"].feature["color"]
    assert [colors.int2str(code) for code in record["objects"]["color"]] == [
        thing.color for thing in scene.objects
    ]
    assert np.allclose(
        record["objects"]["3d_coords"], [(thing.x, thing.y, thing.z) for thing in scene.objects]
    )
