"""The TensorFlow networks train by their scripts on a machine with doubles of npu_bridge.

The numbers are a processor's; what is held to the specification is everything around them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest

from common.core.terminal import Terminal
from slot_attention.synthetic.prepare import Request, write_dataset
from slot_attention.synthetic.scenes import SceneSettings
from slot_attention.synthetic.sprites import SpriteSettings
from tests.ascend_doubles.machine import HERE, AscendMachine
from tests.rank_tables import one_server, text_of

pytestmark = [pytest.mark.tensorflow, pytest.mark.long]
ROOT = Path(__file__).resolve().parents[1]
COUNTS = {"train": 32, "validation": 8, "test": 8}
SECONDS = 400.0
STEPS = 6
COMMON = ["--seed=3", f"--train_steps={STEPS}"]
SLOTS = [
    "--num_slots=3",
    "--batch_size=2",
    "--evaluation_batch_size=4",
    "--evaluation_count=8",
    "--warmup_steps=2",
    "--log_every=2",
    "--cache=none",
    "--evaluate_every=0",
    "--pictures_every=0",
    "--data_path={data}",
]
# What each network is launched with: its name, and flags that make the case smoke small.
NETWORKS: Dict[str, List[str]] = {
    "slot_attention": SLOTS,
    "slot_attention/set_prediction": SLOTS + ["--dataset=synthetic_scenes", "--resolution=32"],
    "protoattend": [
        "--dataset=synthetic_shapes",
        "--img_size=12",
        "--batch_size=4",
        "--example_cand_size=16",
        "--eval_cand_size=40",
        "--evaluation_batch_size=16",
        "--display_step=2",
        "--pictures_every=0",
        "--val_step=0",
        "--save_step=0",
    ],
}
CASE_OF = {"slot_attention/set_prediction": "performance_1p"}
# What the scripts of the ModelZoo's contract are told beside that.
OF_THE_SCRIPT = {
    "slot_attention": ["--task=object_discovery", "--dataset=synthetic_sprites"],
    "slot_attention/set_prediction": ["--task=set_prediction"],
    "protoattend": [],
}


class Finished:
    """What a launch left behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reports = [
            json.loads(path.read_text())
            for path in sorted((folder / "report").glob("process_*.json"))
        ]

    def record(self) -> Dict[str, Any]:
        """The run's record."""
        (path,) = (self.folder / "out").rglob("record.json")
        return json.loads(path.read_text())

    def training(self) -> List[Dict[str, Any]]:
        """Of each rank, the report of the session that trained, with its graphs."""
        found = []
        for report in self.reports:
            number = max(
                range(len(report["sessions"])),
                key=lambda one, seen=report: len(seen["sessions"][one]["state"]),
            )
            graphs = [graph for graph in report["graphs"] if graph["session"] == number]
            found.append(dict(report["sessions"][number], graphs=graphs))
        return found


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a few scenes of each kind."""
    folder = tmp_path_factory.mktemp("data")
    for name, settings in (
        ("synthetic_sprites", SpriteSettings(image_size=(16, 16), objects=(1, 2))),
        ("synthetic_scenes", SceneSettings(image_size=(32, 32), objects=(1, 2))),
    ):
        write_dataset(folder, Request(name=name, settings=settings, counts=COUNTS), Terminal())
    return folder


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, since launches leave their logs in the networks' folders."""
    copy = tmp_path_factory.mktemp("copy") / "checkout"
    left_out = shutil.ignore_patterns("__pycache__", "fixtures", "golden", "output", ".*", "*.npz")
    for name in ("common", "tests", "PyTorch", "TensorFlow", "scripts"):
        shutil.copytree(str(ROOT / name), str(copy / name), ignore=left_out)
    return copy


def launch(
    checkout: Path,
    data: Path,
    folder: Path,
    network: str,
    ranks: int,
    *flags: str,
    device: str = "npu",
    script: str = "",
    **variables: str,
) -> Finished:
    """Launches a case of a network, or one of its scripts, in a folder of its own."""
    words = ["launch", network, CASE_OF.get(network, "smoke"), f"--ranks={ranks}"]
    if script:
        path = checkout / "TensorFlow" / network.split("/")[0] / "test" / (script + ".sh")
        words = ["bash", str(path)] + OF_THE_SCRIPT[network]
    words += ["--device=" + device] + COMMON
    words += [word.format(data=data) for word in NETWORKS[network]] + list(flags)
    return run(checkout, folder, words, ASCEND_DOUBLE_DRIFT="1", **variables)


def run(checkout: Path, folder: Path, words: List[str], **variables: str) -> Finished:
    """Runs a script, or a command of zoo, on a server; waits for its end."""
    folder.mkdir(exist_ok=True)
    (folder / "report").mkdir()
    program = [] if words[0] == "bash" else [sys.executable, "-m", "common"]
    environment = AscendMachine(folder / "machine").variables(
        PYTHONPATH="{}:{}".format(HERE / "site", checkout),
        ASCEND_DOUBLE_REPORT=str(folder / "report"),
        ZOO_PYTHON=sys.executable,
        **variables,
    )
    launcher = subprocess.Popen(
        [*program, *words, "--output_path={}".format(folder / "out")],
        cwd=str(folder),
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        output = launcher.communicate(timeout=SECONDS)[0]
    except subprocess.TimeoutExpired:
        launcher.terminate()  # it ends its ranks
        output = f"not done after {SECONDS:g} s\n{launcher.communicate()[0]}"
    assert launcher.returncode == 0, output[-6000:]
    return Finished(folder)


@pytest.fixture(
    scope="module",
    params=[
        "protoattend",
        pytest.param("slot_attention", marks=pytest.mark.slow),
        pytest.param("slot_attention/set_prediction", marks=pytest.mark.slow),
    ],
)
def one_rank(request, checkout, data, tmp_path_factory) -> Finished:
    """A finished run of one rank, by the network's script."""
    return launch(
        checkout, data, tmp_path_factory.mktemp("run"), request.param, 1, script="train_full_1p"
    )


def test_one_rank_leaves_a_record_and_every_option_is_read(one_rank) -> None:
    record = one_rank.record()
    assert record["status"] == "complete" and record["progress"]["steps"] == STEPS
    assert record["device"]["kind"] == "npu"
    assert "contract double" in record["device"]["name"]
    assert "1 in the first training step, 0 in later steps" in record["health"]["proof"]
    (report,) = one_rank.reports
    assert (report["way"], report["size"], report["device"]) == ("none", 1, 0)
    assert report["options"]["precision_mode"] == record["precision"]["mode"]
    _require_clean(report)
    (training,) = one_rank.training()
    _require_one_compilation(training)


def _require_clean(report: Dict[str, Any]) -> None:
    for name in ("unknown", "misread", "ignored"):
        assert report[name] == [], name
    assert report["closed"]
    assert [session["rewrites_left_on"] for session in report["sessions"]] == [[]] * len(
        report["sessions"]
    )


def _require_one_compilation(training: Dict[str, Any]) -> None:
    (step,) = (graph for graph in training["graphs"] if graph["runs"] == STEPS)
    between = [
        graph for graph in training["graphs"] if step["first"] < graph["first"] < step["last"]
    ]
    assert between == [] and len(training["graphs"]) <= 12


@pytest.mark.slow
def test_the_flags_of_an_npu_reach_the_session(checkout, data, tmp_path) -> None:
    run = launch(
        checkout,
        data,
        tmp_path,
        "protoattend",
        1,
        "--iterations_per_loop=2",
        "--data_dump_flag",
        "--data_dump_step=0|2",
        "--autotune",
    )
    (report,) = run.reports
    _require_clean(report)
    options = report["options"]
    assert options["enable_dump"] and options["dump_step"] == "0|2" and options["aoe_mode"] == "2"
    assert Path(options["dump_path"]).is_dir()
    assert run.record()["progress"]["steps"] == STEPS
    (training,) = run.training()
    assert STEPS // 2 in [graph["runs"] for graph in training["graphs"]]


@pytest.mark.slow
@pytest.mark.parametrize("network", list(NETWORKS))
def test_a_step_of_the_processor_is_within_tolerance_on_the_npu(
    checkout, data, tmp_path, network
) -> None:
    trusted = launch(checkout, data, tmp_path / "a", network, 1, "--dump_tensors=3", device="cpu")
    flags = [f"--dump_from={trusted.folder / 'out'}", "--precision_mode=must_keep_origin_dtype"]
    asked = launch(checkout, data, tmp_path / "b", network, 1, *flags)
    words = ["-m", "common", "diverge", "--a", str(trusted.folder / "out")]
    told = subprocess.run(
        [sys.executable, *words, "--b", str(asked.folder / "out")],
        cwd=str(checkout),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert told.returncode == 0, told.stdout[-3000:]


# --- several ranks ---


def several(
    checkout: Path,
    data: Path,
    folder: Path,
    network: str,
    ranks: int,
    by_table: bool,
    *flags: str,
    script: str = "",
) -> Finished:
    """A finished run of several ranks, by a rank table or through a chief."""
    words = ["--bind_core=false", *flags]  # a core may be taken by other work
    if by_table:
        table = folder / "table.json"
        table.write_text(text_of(one_server(range(ranks))))
        words.append(f"--rank_table={table}")
    run = launch(
        checkout, data, folder, network, ranks, *words, script=script, ASCEND_DOUBLE_SECONDS="240"
    )
    assert len(run.reports) == ranks
    return run


def require_agreement(run: Finished, ranks: int, way: str) -> None:
    """What holds of every run of several ranks."""
    assert {(report["way"], report["size"]) for report in run.reports} == {(way, ranks)}
    pairs = sorted((report["rank"], report["device"]) for report in run.reports)
    assert pairs == [(rank, rank) for rank in range(ranks)]
    for report in run.reports:
        _require_clean(report)
    _require_equal_variables(run)
    for training in run.training():
        _require_one_compilation(training)


def _require_equal_variables(run: Finished) -> None:
    states = [training["state"] for training in run.training()]
    apart = {name for name in states[0] if len({state[name] for state in states}) > 1}
    assert len(states[0]) > 10 and apart == set()


@pytest.mark.slow
def test_two_ranks_through_a_chief_end_with_the_same_variables(checkout, data, tmp_path) -> None:
    run = several(checkout, data, tmp_path, "protoattend", 2, False, "--over_dump")
    require_agreement(run, 2, "cm")
    folders = {Path(report["options"]["dump_path"]) for report in run.reports}
    assert {folder.parent.name for folder in folders} == {"device_0", "device_1"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "network, by_table",
    [("protoattend", True), ("slot_attention", False), ("slot_attention/set_prediction", True)],
)
def test_the_script_for_eight_devices_ends_with_the_same_variables(
    checkout, data, tmp_path, network, by_table
) -> None:
    run = several(checkout, data, tmp_path, network, 8, by_table, script="train_full_8p")
    require_agreement(run, 8, "table" if by_table else "cm")


@pytest.mark.slow
@pytest.mark.parametrize(
    "network, flags",
    [
        ("protoattend", ["--val_step=3", "--pictures_every=3"]),
        ("slot_attention", ["--evaluate_every=3", "--pictures_every=3"]),
        ("slot_attention/set_prediction", ["--evaluate_every=3", "--pictures_every=3"]),
    ],
)
def test_ranks_that_evaluate_and_draw_on_the_way_come_to_the_end(
    checkout, data, tmp_path, network, flags
) -> None:
    run = several(checkout, data, tmp_path, network, 2, False, *flags)
    _require_equal_variables(run)
    assert run.record()["progress"]["steps"] == STEPS
    drawn = {path.stem[-8:] for path in (run.folder / "out" / "pictures").glob("*_0*.png")}
    assert drawn == {"00000003", "00000006"}


@pytest.mark.slow
def test_an_evaluation_tells_that_the_npu_ran_it_and_can_be_profiled(
    checkout, one_rank, tmp_path
) -> None:
    if one_rank.record()["model"] != "protoattend":
        pytest.skip("one network shows it")
    words = ["launch", "protoattend", "eval_1p", "--device=npu", "--dataset=synthetic_shapes"]
    words += ["--profiling", "--over_dump=False", f"--checkpoint={one_rank.folder / 'out'}"]
    found = run(checkout, tmp_path, words)
    assert "graph(s) compiled for the NPU" in found.record()["health"]["proof"]
    assert found.reports[0]["options"]["profiling_mode"]
