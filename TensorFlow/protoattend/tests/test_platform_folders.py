"""ModelArts: data comes from object storage, results go there, after errors too."""

from __future__ import annotations

import shutil
import sys
from types import SimpleNamespace

import pytest

from common.core.errors import ZooError
from protoattend.options import TRAIN, parse_options
from protoattend.platform_folders import on_platform


def _options(result, target, *words):
    return parse_options(
        TRAIN,
        ["--platform", "modelarts", "--result", str(result), "--obs_dir", str(target)]
        + list(words),
    )


def test_elsewhere_nothing_is_copied(tmp_path):
    options = parse_options(TRAIN, ["--output_path", str(tmp_path)])
    with on_platform(options) as found:
        assert found is options and found.folder == str(tmp_path)


def test_results_are_written_locally_and_copied_at_the_end(tmp_path):
    with on_platform(_options(tmp_path / "result", tmp_path / "kept")) as options:
        assert options.folder == str(tmp_path / "result")
        (tmp_path / "result" / "ckpt").mkdir()
        (tmp_path / "result" / "ckpt" / "weights").write_text("1")
    assert (tmp_path / "kept" / "ckpt" / "weights").read_text() == "1"


def test_results_are_copied_after_an_error_as_well(tmp_path):
    with pytest.raises(ValueError), on_platform(_options(tmp_path / "result", tmp_path / "kept")):
        (tmp_path / "result" / "weights").write_text("1")
        raise ValueError
    assert (tmp_path / "kept" / "weights").exists()


def test_what_the_target_holds_already_stays(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "other").write_text("theirs")
    with on_platform(_options(tmp_path / "result", tmp_path / "kept")):
        pass
    assert (tmp_path / "kept" / "other").read_text() == "theirs"


@pytest.mark.parametrize(
    "target, words", [("kept", ["--data_url", "obs://bucket/d"]), ("obs://bucket/log", [])]
)
def test_object_storage_needs_the_platforms_library_before_the_training(tmp_path, target, words):
    trained = []
    with pytest.raises(ZooError, match="needs moxing"), on_platform(
        _options(tmp_path / "result", target, *words)
    ):
        trained.append(1)
    assert not trained


def test_object_storage_is_copied_by_the_platforms_library(tmp_path, monkeypatch):
    remote = {"obs://bucket/data": tmp_path / "remote_data", "obs://bucket/log": tmp_path / "log"}
    (tmp_path / "remote_data").mkdir()
    (tmp_path / "remote_data" / "images").write_text("1")

    def copy_parallel(source, target):
        shutil.copytree(str(remote.get(source, source)), str(remote.get(target, target)))

    monkeypatch.setitem(
        sys.modules, "moxing", SimpleNamespace(file=SimpleNamespace(copy_parallel=copy_parallel))
    )
    with on_platform(
        _options(
            tmp_path / "cache" / "result", "obs://bucket/log", "--data_url", "obs://bucket/data"
        )
    ) as options:
        assert (tmp_path / "cache" / "dataset" / "images").exists()
        assert options.data_url == str(tmp_path / "cache" / "dataset")
        (tmp_path / "cache" / "result" / "weights").write_text("1")
    assert (tmp_path / "log" / "weights").exists()
