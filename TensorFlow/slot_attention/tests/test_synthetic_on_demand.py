"""Synthetic data for a run that names no folder."""

from __future__ import annotations

import json

import pytest

from slot_attention.synthetic import on_demand
from slot_attention.synthetic.sprites import SpriteSettings


@pytest.fixture
def few(monkeypatch):
    settings = SpriteSettings(image_size=(16, 16), objects=(1, 1))
    monkeypatch.setitem(
        on_demand._SMALL, "synthetic_sprites", on_demand._Small(settings, (3, 2, 1))
    )


def test_it_is_made_below_the_folder(few, tmp_path):
    data_path = on_demand.make_on_demand("synthetic_sprites", tmp_path / "data")
    told = json.loads((data_path / "synthetic_sprites" / "dataset.json").read_text())
    assert {name: split["count"] for name, split in told["splits"].items()} == {
        "train": 3,
        "validation": 2,
        "test": 1,
    }


def test_what_is_there_is_not_made_again(few, tmp_path):
    folder = on_demand.make_on_demand("synthetic_sprites", tmp_path) / "synthetic_sprites"
    before = (folder / "train.tfrecords").stat().st_mtime_ns
    on_demand.make_on_demand("synthetic_sprites", tmp_path)
    assert (folder / "train.tfrecords").stat().st_mtime_ns == before
