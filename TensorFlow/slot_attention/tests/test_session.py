"""What a run opens: filter, splits, crop, and what the NPU session needs."""

from __future__ import annotations

import pytest
from slot_training_helpers import make_scenes, make_sprites

from common.core.errors import UsageError
from slot_attention import session
from slot_attention.options import OBJECT_DISCOVERY, SET_PREDICTION, parse_options
from slot_attention.scene_run import max_objects

pytestmark = pytest.mark.tensorflow


def _options(task, *flags):
    return parse_options(task, "train", ["--data_path=x", "--device=cpu", *flags])


@pytest.mark.parametrize(
    "task, flags, expected",
    [
        (OBJECT_DISCOVERY, ["--dataset=clevr"], 6),
        (OBJECT_DISCOVERY, ["--dataset=clevr_with_masks"], 6),
        (OBJECT_DISCOVERY, ["--max_objects=10"], 10),
        (OBJECT_DISCOVERY, ["--dataset=tetrominoes"], None),
        (SET_PREDICTION, ["--dataset=clevr"], None),
    ],
)
def test_object_discovery_on_clevr_takes_scenes_of_at_most_six_objects(task, flags, expected):
    assert max_objects(_options(task, *flags)) == expected


@pytest.mark.parametrize(
    "task, name, make, mixed, seen",
    [
        (OBJECT_DISCOVERY, "synthetic_sprites", make_sprites, False, "16x16, crop none"),
        (SET_PREDICTION, "synthetic_scenes", make_scenes, True, "32x32, crop none"),
    ],
)
def test_a_session_has_data_and_record_and_only_set_prediction_keeps_operations_on_the_host(
    task, name, make, mixed, seen, tmp_path, monkeypatch
):
    given = []
    monkeypatch.setattr(session, "open_chosen", lambda *words: given.append(words[3]))
    opened = session.open_session(
        _options(task, f"--data_path={make(tmp_path)}", f"--dataset={name}")
    )
    assert given[0]["mix_compile_mode"] is mixed
    told = opened.dataset_record()
    assert told["counts"] == {"train": 24, "validation": 6, "test": 6}
    assert seen in told["predicate"]


def test_several_ranks_need_data_that_is_there(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    options = parse_options(
        OBJECT_DISCOVERY, "train", ["--dataset", "synthetic_sprites", "--device", "cpu"]
    )
    with pytest.raises(UsageError, match="zoo data prepare synthetic_sprites"):
        session.open_session(options)
