"""The folder of a run: claimed, moved aside, never deleted; its marker; weights of earlier runs."""

import os

import pytest

from common.core.errors import ZooError
from common.launch.run_folder import (
    claim_again,
    claim_fresh,
    earlier_runs,
    find_weights,
    is_occupied,
    moved_path,
)
from common.runs.marker import MARKER, read_marker, write_marker


def run_in(folder, **content):
    folder.mkdir(parents=True)
    write_marker(folder, {"case": "full_1p", **content})
    return folder


def test_a_run_is_moved_aside_whole_and_two_in_one_second_both_stay(tmp_path):
    (run_in(tmp_path / "0") / "x").write_text("kept")
    first = claim_fresh(tmp_path / "0")
    assert (first.moved_to / "x").read_text() == "kept" and not is_occupied(tmp_path / "0")
    for _ in range(2):
        write_marker(tmp_path / "0", {})
        first.release()
        first = claim_fresh(tmp_path / "0")
    assert len(earlier_runs(tmp_path / "0")) == 3


def test_a_path_follows_only_the_folder_that_it_is_in(tmp_path):
    moves = [(tmp_path / "0", tmp_path / "0.old")]
    assert moved_path(str(tmp_path / "0" / "w.pt"), moves) == str(tmp_path / "0.old" / "w.pt")
    assert moved_path(str(tmp_path / "01" / "w.pt"), moves) == str(tmp_path / "01" / "w.pt")


def test_only_runs_with_a_time_in_their_name_are_earlier_runs(tmp_path):
    older = run_in(tmp_path / "0.20200101T000000Z")
    newer = run_in(tmp_path / "0.20210101T000000Z")
    run_in(tmp_path / "0.backup")
    (tmp_path / "0.20220101T000000Z").mkdir()
    assert earlier_runs(tmp_path / "0") == [newer, older]


def test_the_preferred_weights_come_first_even_if_older_then_those_of_earlier_runs(tmp_path):
    folder, earlier = run_in(tmp_path / "0"), run_in(tmp_path / "0.20200101T000000Z")
    (earlier / "best.pt").write_text("")
    assert find_weights(folder, ["best.pt"]) == earlier / "best.pt"
    for name, time in (("best.pt", 1), ("step_1.pt", 2), ("step_2.pt", 3)):
        (folder / name).write_text("")
        os.utime(str(folder / name), (time, time))
    assert find_weights(folder, ["best.pt", "step_*.pt"]) == folder / "best.pt"
    assert find_weights(folder, ["step_*.pt"]) == folder / "step_2.pt"


@pytest.mark.parametrize("content", ["[1]", '{"seeds": 3}', "{", "[" * 100000, '{"state": "x"}'])
def test_a_marker_that_cannot_be_read_is_empty_and_says_why(tmp_path, content):
    folder = run_in(tmp_path / "0")
    (folder / MARKER).write_text(content)
    marker = read_marker(folder)
    assert str(folder / MARKER) in marker.fault and (marker.state, marker.seeds) == ("", ())
    assert find_weights(folder, ["*.pt"]) is None
    with pytest.raises(ZooError, match="begin anew"):
        claim_again(folder, "full_1p")
    assert claim_fresh(folder).moved_to is not None


def test_a_marker_may_hold_what_nobody_asks_for_and_names_that_are_no_text(tmp_path):
    folder = run_in(tmp_path / "0", state="running", plan={"folder": "x\udcff"}, log_of="\udcff")
    marker = read_marker(folder)
    assert (marker.state, marker.log_of) == ("running", "\udcff")
    assert read_marker(tmp_path / ("x" * 300)).fault and read_marker(tmp_path / "no").fault == ""
