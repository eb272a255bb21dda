"""The plan: pure data for any device, on any machine."""

import dataclasses
import json
from pathlib import Path

import attrs
import pytest

from common.ascend.environment import CannEnvironment
from common.cards.model_card import read_card
from common.core.errors import UsageError
from common.launch.flags import parse_flags, with_entry_names
from common.launch.plan import Surroundings, as_json, as_text, make_plan, missing_flag
from tests.fake_zoo import FAKE_MODEL

GOLDEN = Path(__file__).parent / "golden"
CARD = attrs.evolve(
    read_card(FAKE_MODEL / "PyTorch" / "fake_net" / "model.yaml"),
    folder=Path("/zoo/PyTorch/fake_net"),
)
TASK = CARD.task(None)
CANN = CannEnvironment(
    ("/usr/local/Ascend/ascend-toolkit/set_env.sh",),
    {"ASCEND_HOME_PATH": "/usr/local/Ascend/ascend-toolkit/latest"},
    "found under /usr/local/Ascend",
)
AROUND = Surroundings(
    root="/zoo",
    library="/zoo",
    python="/usr/bin/python3",
    user={"TASK_QUEUE_ENABLE": "0"},
    directory="/home/user",
    device="npu",
    cores=tuple(range(32)),
    master_addr="127.0.0.1",
    master_port=29500,
    host_address="",
    cann=CANN,
    command="zoo launch fake_net full_8p",
)


def plan_of(case, *words, **around):
    flags = with_entry_names(parse_flags(words), TASK, TASK.cases[case].action)
    return make_plan(CARD, TASK, TASK.cases[case], flags, dataclasses.replace(AROUND, **around))


def test_the_plan_of_eight_npus_is_the_golden_one():
    text = as_text(plan_of("full_8p", "--data_path=data"))
    assert text + "\n" == (GOLDEN / "npu_8p_plan.txt").read_text()


def test_the_plan_as_json_is_the_golden_one():
    content = json.loads(json.dumps(as_json(plan_of("full_8p", "--data_path=data"))))
    assert content == json.loads((GOLDEN / "npu_8p_plan.json").read_text())


def test_relative_paths_are_made_absolute_from_where_the_user_is():
    plan = plan_of("full_1p", "--data_path=data", "--pth_path", "../w.pt", "--output_path=out")
    assert plan.arguments["data_path"] == "/home/user/data"
    assert plan.arguments["pth_path"] == "/home/w.pt"
    assert plan.run_folder == "/home/user/out"


def test_a_path_may_begin_with_a_tilde(monkeypatch):
    monkeypatch.setenv("HOME", "/home/other")
    assert plan_of("full_1p", "--data_path=~/data").arguments["data_path"] == "/home/other/data"


def test_the_contract_log_stays_where_it_is_with_an_output_path():
    plan = plan_of("full_1p", "--output_path=out")
    assert plan.contract_log == "/zoo/PyTorch/fake_net/test/output/0/train_0.log"


def test_ascend_device_id_decides_for_one_rank_and_the_flag_wins():
    user = {"ASCEND_DEVICE_ID": "5"}
    assert plan_of("full_1p", user=user).ranks[0].device_id == 5
    plan = plan_of("full_1p", "--device_id=2", user=user)
    assert plan.ranks[0].device_id == 2 and plan.run_folder.endswith("/output/2")


def test_an_empty_ascend_device_id_is_zero_and_never_a_missing_folder():
    assert plan_of("full_1p", user={"ASCEND_DEVICE_ID": ""}).run_folder.endswith("/output/0")


def test_several_ranks_take_the_devices_from_zero_whatever_names_the_folder():
    plan = plan_of("full_8p", user={"ASCEND_DEVICE_ID": "5"})
    assert [rank.device_id for rank in plan.ranks] == list(range(8))
    assert plan.run_folder.endswith("/output/5")


def test_several_ranks_start_at_the_device_that_is_given():
    plan = plan_of("full_8p", "--ranks=4", "--device_id=4")
    assert [rank.device_id for rank in plan.ranks] == [4, 5, 6, 7]


def test_a_case_may_do_otherwise_on_a_device():
    plan = plan_of("performance_1p", device="cpu")
    assert plan.batch_size == 8 and plan.arguments["train_steps"] == "7"
    assert plan_of("performance_1p").batch_size == 512


def test_epochs_that_the_user_asks_for_are_not_cut_by_the_cases_steps():
    plan = plan_of("performance_1p", "--train_epochs=2", device="cpu")
    assert "train_steps" not in plan.arguments and plan.arguments["total_epochs"] == "2"


def test_a_flag_of_the_entry_point_replaces_the_cases_own():
    plan = plan_of("smoke", "--dataset=other")
    assert plan.ranks[0].argv.count("--dataset=other") == 1
    assert not any(word == "--dataset=none" for word in plan.ranks[0].argv)


def test_the_case_name_has_the_batch_of_a_device_the_ranks_and_the_kind():
    assert plan_of("full_8p", "--batch_size=16").case_name == "fake_net_bs16_8p_acc"
    assert plan_of("performance_1p").case_name == "fake_net_bs512_1p_perf"


def test_ranks_of_the_second_machine_come_after_those_of_the_first():
    plan = plan_of(
        "full_8p", "--nnodes=2", "--node_rank=1", master_addr="10.0.0.1", host_address="10.0.0.2"
    )
    assert plan.world_size == 16 and [rank.rank for rank in plan.ranks] == list(range(8, 16))
    assert [rank.device_id for rank in plan.ranks] == list(range(8))
    assert plan.run_folder.endswith("/output/0_node1")
    assert plan.ranks[0].environment.set["MASTER_ADDR"] == "10.0.0.1"


def test_ranks_is_the_total_over_all_machines():
    assert len(plan_of("full_8p", "--ranks=4", "--nnodes=2").ranks) == 2


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


def test_a_required_flag_is_missed_unless_another_excuses_it():
    def missing(*words):
        return missing_flag(TASK, TASK.cases["full_1p"], parse_flags(words))

    assert "--data_path is missing" in str(missing())
    assert missing("--data_path=x") is None and missing("--dataset=none") is None
    assert missing("--dataset=other") is not None


def test_a_plan_needs_nothing_on_the_disk(tmp_path):
    plan_of("full_8p", "--output_path={}".format(tmp_path / "out"), "--data_path=/nowhere")
    assert not (tmp_path / "out").exists()
