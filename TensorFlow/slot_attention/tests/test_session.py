"""What a run opens: filter, splits, crop, and what the NPU session needs."""

from __future__ import annotations

import pytest
from slot_training_helpers import make_scenes, make_sprites

from common.core.errors import UsageError
from common.training.tensorflow import runtime as tf_runtime
from slot_attention import session
from slot_attention.options import OBJECT_DISCOVERY, SET_PREDICTION, parse_options

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return make_scenes(tmp_path_factory.mktemp("scenes"))


def _options(task, *flags):
    return parse_options(task, "train", ["--data_path", "x", "--device", "cpu"] + list(flags))


@pytest.mark.parametrize(
    "task, dataset, expected",
    [
        (OBJECT_DISCOVERY, "clevr", 6),
        (OBJECT_DISCOVERY, "clevr_with_masks", 6),
        (OBJECT_DISCOVERY, "tetrominoes", None),
        (SET_PREDICTION, "clevr", None),
    ],
)
def test_object_discovery_on_clevr_takes_scenes_of_at_most_six_objects(task, dataset, expected):
    assert session.max_objects(_options(task, "--dataset", dataset)) == expected


def test_the_filter_can_be_said():
    assert session.max_objects(_options(OBJECT_DISCOVERY, "--max_objects", "10")) == 10


@pytest.mark.parametrize("task, mixed", [(OBJECT_DISCOVERY, False), (SET_PREDICTION, True)])
def test_only_set_prediction_keeps_operations_of_an_npu_graph_on_the_host(
    task, mixed, scenes, monkeypatch
):
    seen = []
    monkeypatch.setattr(tf_runtime, "open_device", lambda *given: seen.append(given[-1]))
    session.open_session(
        _options(task, "--data_path", str(scenes), "--dataset", "synthetic_scenes")
    )
    assert seen[0].mix_compile_mode is mixed


def test_set_prediction_sees_the_whole_image(scenes):
    opened = session.open_session(
        _options(SET_PREDICTION, "--data_path", str(scenes), "--dataset", "synthetic_scenes")
    )
    assert opened.dataset.geometry.crop == "none"


def test_several_ranks_need_data_that_is_there(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    options = parse_options(
        OBJECT_DISCOVERY, "train", ["--dataset", "synthetic_sprites", "--device", "cpu"]
    )
    with pytest.raises(UsageError, match="zoo data prepare synthetic_sprites"):
        session.open_session(options)


def test_the_record_names_predicate_and_geometry(tmp_path):
    opened = session.open_session(
        _options(
            OBJECT_DISCOVERY,
            "--data_path",
            str(make_sprites(tmp_path)),
            "--dataset",
            "synthetic_sprites",
        )
    )
    told = opened.dataset_record()
    assert told["counts"] == {"train": 24, "validation": 6, "test": 6}
    assert "16x16" in told["predicate"]
