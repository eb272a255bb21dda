"""Writing record datasets: whole or not there, the same for any number of processes, resumed."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from synthetic_writing import quiet_terminal

from common.core.errors import InfrastructureError, ZooError
from common.core.files import FolderLock, sha256_of
from slot_attention.synthetic import writer
from slot_attention.synthetic.records import SPRITES
from slot_attention.synthetic.scene_progress import SceneProgress
from slot_attention.synthetic.sprites import SpriteSettings
from slot_attention.synthetic.worker_processes import ordered_results
from slot_attention.synthetic.writer import Request, write_records

SETTINGS = SpriteSettings(image_size=(16, 16), objects=(1, 2), visible=0.2)


def request(train=20, validation=10, seed=0, workers=1, settings=SETTINGS):
    return Request(
        SPRITES, settings, {"train": train, "validation": validation, "test": 0}, seed, workers
    )


def write(tmp_path, wanted=None):
    """Writes and returns the folder and what was said."""
    said = io.StringIO()
    folder = write_records(tmp_path, wanted or request(), quiet_terminal(said))
    return folder, said.getvalue()


def description_of(folder):
    return json.loads((folder / "dataset.json").read_text())


def names_in(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def test_a_dataset_is_its_splits_and_a_description(tmp_path):
    folder, _ = write(tmp_path)
    assert names_in(folder) == ["dataset.json", "train.tfrecords", "validation.tfrecords"]
    description = description_of(folder)
    assert {
        name: description[name]
        for name in (
            "schema_version",
            "name",
            "format",
            "image_size",
            "channels",
            "entities",
            "predicate",
            "seed",
        )
    } == {
        "schema_version": 1,
        "name": "synthetic_sprites",
        "format": "multi_dsprites",
        "image_size": [16, 16],
        "channels": 3,
        "entities": 3,
        "predicate": "1 to 2 sprites",
        "seed": 0,
    }
    assert description["settings"]["objects"] == [1, 2]
    assert description["splits"]["validation"] == {
        "file": "validation.tfrecords",
        "count": 10,
        "sha256": sha256_of(folder / "validation.tfrecords"),
    }


def test_processes_do_not_change_the_bytes(tmp_path):
    many = request(train=1100, validation=0)
    digests = [
        description_of(
            write(
                tmp_path / str(workers),
                Request(many.name, many.settings, many.counts, many.seed, workers),
            )[0]
        )["splits"]["train"]["sha256"]
        for workers in (1, 2)
    ]
    assert digests[0] == digests[1]


def test_another_seed_gives_another_file(tmp_path):
    digests = {
        sha256_of(write(tmp_path / str(seed), request(seed=seed))[0] / "train.tfrecords")
        for seed in (0, 1)
    }
    assert len(digests) == 2


def test_the_same_dataset_is_not_made_twice(tmp_path):
    folder, _ = write(tmp_path)
    before = (folder / "train.tfrecords").stat().st_mtime_ns
    _, said = write(tmp_path)
    assert "is there already, with these settings" in said
    assert (folder / "train.tfrecords").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "other, named",
    [
        (request(seed=7), "seed=0, and asked for is seed=7"),
        (request(train=21), "train=20, and asked for is train=21"),
        (
            request(settings=SpriteSettings(image_size=(16, 16), objects=(2, 2), visible=0.2)),
            r"objects=\[1,2\], and asked for is objects=\[2,2\]",
        ),
    ],
)
def test_a_dataset_with_other_settings_is_refused_and_both_named(tmp_path, other, named):
    write(tmp_path)
    with pytest.raises(ZooError, match=named):
        write(tmp_path, other)


def break_split(monkeypatch, split, error):
    """Lets the writing of a split fail after its first piece."""
    real = writer.make_piece

    def make(job):
        if job.split == split:
            raise error
        return real(job)

    monkeypatch.setattr(writer, "make_piece", make)


def test_an_interrupted_run_leaves_whole_splits_and_no_description(tmp_path, monkeypatch):
    break_split(monkeypatch, "validation", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path)
    assert names_in(tmp_path / SPRITES) == ["dataset.part.json", "train.tfrecords"]


def test_a_further_run_goes_on_and_says_so(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        break_split(patch, "validation", KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path)
    before = (tmp_path / SPRITES / "train.tfrecords").stat().st_mtime_ns
    folder, said = write(tmp_path)
    assert "going on; whole already: train" in said
    assert (folder / "train.tfrecords").stat().st_mtime_ns == before
    whole, _ = write(tmp_path / "elsewhere")
    assert description_of(folder) == description_of(whole)
    assert names_in(folder) == names_in(whole)


def test_an_interrupted_run_with_other_settings_is_refused(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        break_split(patch, "validation", KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path)
    with pytest.raises(ZooError, match="seed=0, and asked for is seed=1"):
        write(tmp_path, request(seed=1))


def test_a_lost_file_is_made_again(tmp_path):
    folder, _ = write(tmp_path)
    description = description_of(folder)
    (folder / "validation.tfrecords").unlink()
    _, said = write(tmp_path)
    assert "going on; whole already: train" in said
    assert description_of(folder) == description
    assert (
        sha256_of(folder / "validation.tfrecords") == description["splits"]["validation"]["sha256"]
    )


def test_a_folder_that_is_being_written_is_refused(tmp_path):
    folder, _ = write(tmp_path)
    lock = FolderLock(folder)
    assert lock.acquire()
    try:
        with pytest.raises(ZooError, match=f"is being written by process {os.getpid()}"):
            write(tmp_path)
    finally:
        lock.release()


@pytest.mark.parametrize("content", ["{", "[]", '{"splits": 3}'])
def test_a_broken_description_is_named(tmp_path, content):
    folder, _ = write(tmp_path)
    (folder / "dataset.json").write_text(content)
    with pytest.raises(ZooError, match="dataset.json"):
        write(tmp_path)


def test_no_scenes_at_all_is_an_error(tmp_path):
    with pytest.raises(ZooError, match="no split has any scenes"):
        write(tmp_path, request(train=0, validation=0))


def running_in_group(group):
    """Processes of a process group that are not zombies."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as stream:
                state, _, its_group = stream.read().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if int(its_group) == group and state != "Z":
            found.append(int(name))
    return found


def wait_until(condition, seconds=30.0):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, f"waited {seconds} s in vain"
        time.sleep(0.05)


def test_a_killed_run_leaves_nothing_that_looks_whole_and_no_processes(tmp_path):
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "slot_attention.synthetic.prepare",
            SPRITES,
            "--data_path",
            str(tmp_path),
            "--train",
            "1000000",
            "--workers",
            "2",
        ],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    folder = tmp_path / SPRITES
    try:
        wait_until(lambda: any(path.stat().st_size > 5000 for path in folder.glob(".unfinished-*")))
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    wait_until(lambda: not running_in_group(process.pid))
    assert not list(folder.glob("*.tfrecords")) and not (folder / "dataset.json").exists()


def negative(number):
    if number == 3:
        raise ZooError("three is bad")
    if number == 4:
        os._exit(9)
    return -number


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order(workers):
    jobs = [5, 9, 7, 6, 8] * 3
    assert list(ordered_results(negative, jobs, workers)) == [-number for number in jobs]


def test_an_error_of_a_worker_is_passed_on():
    with pytest.raises(ZooError, match="three is bad"):
        list(ordered_results(negative, [1, 2, 3, 5, 6, 7, 8, 9], 2))


def test_a_worker_that_dies_is_an_error():
    with pytest.raises(InfrastructureError, match="fewer --workers"):
        list(ordered_results(negative, [1, 4, 5], 2))


class Screen(io.StringIO):
    """A stream that a person looks at."""

    def isatty(self):
        return True


def shown(stream, moments):
    clock = iter(moments)
    progress = SceneProgress(quiet_terminal(stream), "train", 100, 0, lambda: next(clock))
    for _ in range(len(moments) - 2):
        progress.advance(25)
    return stream.getvalue()


def test_a_terminal_shows_a_bar():
    assert "train  [######..................]  25/100 scenes  50/s  0:01 left" in shown(
        Screen(), [0.0, 0.5, 0.5]
    )


def test_a_log_gets_plain_lines_now_and_then():
    text = shown(io.StringIO(), [0.0, 5.0, 20.0, 20.0, 20.0])
    assert text.splitlines() == ["     train  50/100 scenes  2/s  0:20 left"]
    assert "\r" not in text


def test_files_are_gzip(tmp_path):
    folder, _ = write(tmp_path)
    assert len(gzip.decompress((folder / "train.tfrecords").read_bytes())) % 20 == 0
