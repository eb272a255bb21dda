"""The folder of a run."""

import os

import pytest

from common.core.errors import ZooError
from common.launch.run_folder import (
    MARKER,
    claim_again,
    claim_fresh,
    earlier_runs,
    find_weights,
    is_occupied,
    moved_path,
    read_marker,
    write_marker,
)


def run_in(folder, **content):
    folder.mkdir(parents=True)
    write_marker(folder, dict({"case": "full_1p"}, **content))
    return folder


def test_a_new_folder_is_made_and_claimed(tmp_path):
    claim = claim_fresh(tmp_path / "a" / "b", "--output_path")
    assert claim.folder.is_dir() and claim.moved_to is None


def test_an_empty_folder_is_claimed_as_it_is(tmp_path):
    assert claim_fresh(tmp_path, "--output_path").moved_to is None


def test_a_launch_that_never_began_leaves_an_unoccupied_folder(tmp_path):
    claim_fresh(tmp_path, "--output_path").release()
    assert (tmp_path / ".lock").exists() and not is_occupied(tmp_path)


def test_a_run_is_moved_aside_whole(tmp_path):
    folder = run_in(tmp_path / "0")
    (folder / "x").write_text("kept")
    claim = claim_fresh(folder, "--output_path")
    assert (claim.moved_to / "x").read_text() == "kept"
    assert not is_occupied(folder)


def test_two_runs_moved_aside_in_one_second_both_stay(tmp_path):
    for _ in range(3):
        claim = claim_fresh(tmp_path / "0", "--output_path")
        write_marker(claim.folder, {})
        claim.release()
    assert len(earlier_runs(tmp_path / "0")) == 2


def test_a_claimed_folder_is_refused_with_the_holders_process(tmp_path):
    claim = claim_fresh(tmp_path / "0", "--output_path")
    with pytest.raises(ZooError, match=f"in use by process {os.getpid()}"):
        claim_fresh(tmp_path / "0", "--output_path")
    claim.release()
    claim_fresh(tmp_path / "0", "--output_path")


def test_only_runs_with_a_time_in_their_name_are_earlier_runs(tmp_path):
    older = run_in(tmp_path / "0.20200101T000000Z")
    newer = run_in(tmp_path / "0.20210101T000000Z")
    run_in(tmp_path / "0.backup")
    (tmp_path / "0.20220101T000000Z").mkdir()
    assert earlier_runs(tmp_path / "0") == [newer, older]


def test_resume_of_nothing_tells_so(tmp_path):
    with pytest.raises(ZooError, match="nothing to resume"):
        claim_again(tmp_path / "0", "--output_path", "full_1p")


def test_weights_of_the_preferred_pattern_come_first_even_if_older(tmp_path):
    folder = run_in(tmp_path / "0")
    for name, time in (("best.pt", 1), ("step_1.pt", 2), ("step_2.pt", 3)):
        (folder / name).write_text("")
        os.utime(str(folder / name), (time, time))
    assert find_weights(folder, ["best.pt", "step_*.pt"]).name == "best.pt"
    assert find_weights(folder, ["step_*.pt"]).name == "step_2.pt"


def test_weights_are_looked_for_in_earlier_runs_next(tmp_path):
    run_in(tmp_path / "0")
    earlier = run_in(tmp_path / "0.20200101T000000Z")
    (earlier / "best.pt").write_text("")
    assert find_weights(tmp_path / "0", ["best.pt"]) == earlier / "best.pt"


def test_a_path_follows_only_the_folder_that_it_is_in(tmp_path):
    moves = [(tmp_path / "0", tmp_path / "0.old")]
    assert moved_path(str(tmp_path / "0" / "w.pt"), moves) == str(tmp_path / "0.old" / "w.pt")
    assert moved_path(str(tmp_path / "01" / "w.pt"), moves) == str(tmp_path / "01" / "w.pt")


@pytest.mark.parametrize("content", ["[1]", '{"seeds": 3}', "{", "[" * 100000, '{"state": "x"}'])
def test_a_marker_that_cannot_be_read_is_empty_and_says_why(tmp_path, content):
    folder = run_in(tmp_path / "0")
    (folder / MARKER).write_text(content)
    marker = read_marker(folder)
    assert str(folder / MARKER) in marker.fault and (marker.state, marker.seeds) == ("", ())
    assert find_weights(folder, ["*.pt"]) is None
    with pytest.raises(ZooError, match="begin anew"):
        claim_again(folder, "--output_path", "full_1p")
    assert claim_fresh(folder, "--output_path").moved_to is not None


def test_a_marker_keeps_what_nobody_asks_for_and_names_that_are_no_text(tmp_path):
    folder = run_in(
        tmp_path / "0", state="running", plan={"run_folder": "x\udcff"}, log_of="\udcff"
    )
    marker = read_marker(folder)
    assert marker.rest == {"plan": {"run_folder": "x\udcff"}} and marker.log_of == "\udcff"
    assert read_marker(tmp_path / ("x" * 300)).fault and read_marker(tmp_path / "no").fault == ""
