"""A launch whose ranks don't fit the rank table ends before any rank starts."""

from __future__ import annotations

import attrs
import pytest

import tests.test_plan
from common.ascend.device_numbers import physical_numbers
from common.commands.program import main
from common.core.errors import ZooError
from common.launch import meeting
from tests.rank_tables import changed, one_server, text_of, two_servers
from tests.test_plan import CARD

CARD_OF_TENSORFLOW = attrs.evolve(CARD, framework="tensorflow")


def plan_of(*words, card=CARD_OF_TENSORFLOW, **around):
    return tests.test_plan.plan_of("full_8p", *words, card=card, **around)


def check_rank_table(plan, user, system):
    ranks = [(rank.rank, rank.device_id) for rank in plan.ranks]
    assert plan.ranks[0].environment.set["RANK_TABLE_FILE"] == plan.rank_table
    meeting.check_rank_table(plan.rank_table, plan.world_size, ranks, user, system)


@pytest.fixture()
def table(tmp_path):
    """Writes a table and returns its path."""

    def write(content):
        path = tmp_path / "table.json"
        path.write_text(text_of(content))
        return str(path)

    return write


@pytest.fixture()
def system(tmp_path):
    """Makes a machine with these device nodes and returns its root."""

    def make(*numbers):
        (tmp_path / "dev").mkdir()
        for number in numbers:
            (tmp_path / "dev" / f"davinci{number}").touch()
        (tmp_path / "dev" / "davinci_manager").touch()
        return tmp_path

    return make


def test_a_table_that_fits_is_passed(table, tmp_path):
    check_rank_table(plan_of("--rank_table", table(one_server())), {}, tmp_path)


def test_each_machine_is_held_to_its_own_server(table, tmp_path):
    words = ["--nnodes=2", "--rank_table", table(two_servers())]
    for node in ("0", "1"):
        check_rank_table(plan_of("--node_rank=" + node, *words), {}, tmp_path)


@pytest.mark.parametrize(
    "content, problem",
    [
        (two_servers(), "is not this job's: it has 16 ranks, and the job 8"),
        (one_server([1, 0, 2, 3, 4, 5, 6, 7]), "rank 0 on device 1, and the launch on device 0"),
        (changed(one_server(), ("status",), "initializing"), "status is 'initializing'"),
        ({"group_list": []}, "an older format"),
    ],
)
def test_a_table_that_does_not_fit_ends_the_launch(table, tmp_path, content, problem):
    with pytest.raises(ZooError, match=problem):
        check_rank_table(plan_of("--rank_table", table(content)), {}, tmp_path)


def test_a_containers_first_device_has_its_physical_number_in_the_table(table, system):
    plan = plan_of("--ranks=4", "--rank_table", table(one_server([4, 5, 6, 7])))
    check_rank_table(plan, {}, system(4, 5, 6, 7))


def test_on_the_whole_machine_the_same_table_needs_the_devices_said(table, system):
    words = ["--ranks=4", "--rank_table", table(one_server([4, 5, 6, 7]))]
    root = system(*range(8))
    check_rank_table(plan_of("--device_id=4", *words), {}, root)
    with pytest.raises(ZooError, match="rank 0 on device 4, and the launch on device 0"):
        check_rank_table(plan_of(*words), {}, root)


@pytest.mark.parametrize(
    "visible, expected",
    [
        (None, (2, 10)),
        ("1", (10,)),
        ("1,0", (10, 2)),
        ("", (2, 10)),
        ("all", (2, 10)),
        ("0,5", (2, 5)),
    ],
)
def test_logical_numbers_are_the_visible_ones_among_the_nodes(system, visible, expected):
    user = {} if visible is None else {"ASCEND_RT_VISIBLE_DEVICES": visible}
    assert physical_numbers(user, system(10, 2)) == expected


def test_a_machine_without_devices_has_no_numbers(tmp_path):
    assert physical_numbers({}, tmp_path) == ()


@pytest.mark.parametrize(
    "words, around",
    [
        (["--ranks=1"], {}),
        ([], {"device": "cpu"}),
        ([], {"user": {}}),
        ([], {"card": CARD}),  # torch meets at an address
    ],
)
def test_ranks_that_are_given_no_table_need_none(words, around):
    plan = plan_of(*words, **dict({"user": {"RANK_TABLE_FILE": "/nowhere.json"}}, **around))
    assert not plan.rank_table and "RANK_TABLE_FILE" not in plan.ranks[0].environment.set


def test_a_dry_run_tells_a_table_that_is_missing(tmp_path, capsys):
    words = ["launch", "protoattend", "performance_8p", "--dry_run", "--device=npu"]
    words += [f"--data_path={tmp_path}", f"--rank_table={tmp_path / 'no.json'}"]
    assert main(words) == 1
    assert "no.json: the file is missing" in capsys.readouterr().err
