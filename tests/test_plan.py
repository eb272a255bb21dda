"""The plan: pure data for any device, on any machine."""

import json
from pathlib import Path

import attrs
import pytest

from common.ascend.environment import CannEnvironment
from common.core.errors import UsageError
from common.launch import meeting
from common.launch.flags import Target, parse_flags
from common.launch.plan import (
    Plan,
    absolute,
    as_json,
    as_text,
    places_of,
    shares,
    threads_of,
    world_size_of,
)
from tests.test_launch_flags import CARD as FAKE_CARD

GOLDEN = Path(__file__).parent / "golden"
CARD = attrs.evolve(FAKE_CARD, folder=Path("/zoo/PyTorch/fake_net"))
TASK = CARD.task(None)
CANN = CannEnvironment(
    ("/usr/local/Ascend/ascend-toolkit/set_env.sh",),
    {"ASCEND_HOME_PATH": "/usr/local/Ascend/ascend-toolkit/latest"},
    "found under /usr/local/Ascend",
)
AROUND = {
    "python_path": ("/zoo", "/zoo/PyTorch"),
    "python": "/usr/bin/python3",
    "user": {"TASK_QUEUE_ENABLE": "0"},
    "directory": "/home/user",
    "device": "npu",
    "cores": tuple(range(32)),
    "threads": 0,
    "master_addr": "127.0.0.1",
    "master_port": 29500,
    "host_address": "",
    "cann": CANN,
    "command": "zoo launch fake_net full_8p",
}


def plan_of(case, *words, card=CARD, **around):
    target, around = Target(card, TASK, TASK.cases[case]), {**AROUND, **around}
    flags = parse_flags(Target(FAKE_CARD, TASK, target.case), words)
    size, user = world_size_of(target.case, flags), around["user"]
    table = meeting.rank_table(card.framework, around["device"], size, flags, user)
    log, folder = places_of(card, flags, user, around["directory"])
    return Plan(
        target=target,
        flags=flags,
        framework=card.framework,
        world_size=size,
        local_size=size // flags.nnodes,
        node_count=flags.nnodes,
        rank_table=absolute(table, around["directory"]) if table else "",
        contract_log=log,
        run_folder=folder,
        **around,
    )


def test_the_plan_of_eight_npus_is_the_golden_one_and_touches_nothing(tmp_path):
    plan = plan_of("full_8p", "--data_path=data")
    assert as_text(plan) + "\n" == (GOLDEN / "npu_8p_plan.txt").read_text()
    content = json.loads(json.dumps(as_json(plan)))
    assert content == json.loads((GOLDEN / "npu_8p_plan.json").read_text())
    plan_of("full_8p", f"--output_path={tmp_path / 'out'}", "--data_path=/nowhere")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "ranks, idle, threads", [(1, 32, None), (1, 31, "31"), (1, 1, "1"), (8, 32, "4"), (8, 3, "1")]
)
def test_cpu_ranks_take_the_cores_that_other_work_leaves(ranks, idle, threads):
    given = {"device": "cpu", "threads": threads_of(32, idle, ranks)}
    plan = plan_of("full_8p", "--data_path=d", f"--ranks={ranks}", **given)
    assert plan.ranks[0].environment.set.get("OMP_NUM_THREADS") == threads


@pytest.mark.parametrize(
    "case, words, user, devices, folder",
    [
        ("full_1p", [], {"ASCEND_DEVICE_ID": "5"}, [5], "5"),
        ("full_1p", ["--device_id=2"], {"ASCEND_DEVICE_ID": "5"}, [2], "2"),
        ("full_1p", [], {"ASCEND_DEVICE_ID": ""}, [0], "0"),  # and never a missing folder
        ("full_8p", [], {"ASCEND_DEVICE_ID": "5"}, list(range(8)), "5"),
        ("full_8p", ["--ranks=4", "--device_id=4"], {}, [4, 5, 6, 7], "4"),
    ],
)
def test_ascend_device_id_names_the_folder_and_the_device_of_a_single_rank(
    case, words, user, devices, folder
):
    plan = plan_of(case, *words, user=user)
    assert [rank.device_id for rank in plan.ranks] == devices
    assert plan.run_folder.endswith("/output/" + folder)


def test_a_case_may_do_otherwise_on_a_device_and_the_user_has_the_last_word():
    plan = plan_of("performance_1p", device="cpu")
    assert plan.batch_size == 8 and plan.arguments["train_steps"] == "7"
    assert plan_of("performance_1p").case_name == "fake_net_bs512_1p_perf"
    assert plan_of("full_8p", "--batch_size=16").case_name == "fake_net_bs16_8p_acc"
    plan = plan_of("performance_1p", "--train_epochs=2", device="cpu")
    assert "train_steps" not in plan.arguments and plan.arguments["total_epochs"] == "2"
    words = [
        word for word in plan_of("smoke", "--dataset=other").ranks[0].argv if "dataset" in word
    ]
    assert words == ["--dataset=other"]


def test_ranks_of_the_second_machine_come_after_those_of_the_first():
    plan = plan_of(
        "full_8p", "--nnodes=2", "--node_rank=1", master_addr="10.0.0.1", host_address="10.0.0.2"
    )
    assert plan.world_size == 16 and [rank.rank for rank in plan.ranks] == list(range(8, 16))
    assert [rank.device_id for rank in plan.ranks] == list(range(8))
    assert plan.run_folder.endswith("/output/0_node1")
    assert plan.ranks[0].environment.set["MASTER_ADDR"] == "10.0.0.1"
    assert len(plan_of("full_8p", "--ranks=4", "--nnodes=2").ranks) == 2  # of all machines


@pytest.mark.parametrize(
    "words, told",
    [
        (["--ranks=3", "--nnodes=2"], "shared evenly"),
        (["--nnodes=2", "--node_rank=2"], "must be below"),
    ],
)
def test_rank_numbers_that_do_not_fit_are_told(words, told):
    with pytest.raises(UsageError, match=told):
        plan_of("full_8p", *words)


def test_precision_is_the_cards_for_the_device_unless_given():
    assert plan_of("full_1p").arguments["precision_mode"] == "O2"
    assert plan_of("full_1p", device="cpu").arguments["precision_mode"] == "must_keep_origin_dtype"
    assert plan_of("full_1p", "--precision_mode=O1").arguments["precision_mode"] == "O1"
    assert "precision_mode" not in plan_of("full_1p", "--opt_level=O1").arguments


# --- cores ---


@pytest.mark.parametrize(
    "cores, ranks, wish, expected",
    [
        ([8, 3, 9, 2], 2, "auto", ((2, 3), (8, 9))),
        (range(7), 3, "auto", ((0, 1), (2, 3), (4, 5, 6))),
        (range(8), 1, "true", (None,)),  # one rank is never bound
        (range(2), 8, "auto", (None,) * 8),
        (range(8), 2, "false", (None, None)),
    ],
)
def test_cores_are_shared_evenly_where_that_makes_sense(cores, ranks, wish, expected):
    assert shares(cores, ranks, wish) == expected


def test_fewer_cores_than_ranks_can_not_be_insisted_on():
    with pytest.raises(UsageError, match="8 ranks can't be bound to 2 cores"):
        shares(range(2), 8, "true")
