"""scripts/verify_on_npu.sh with a stand-in for Python: its parts, its end, its archive."""

from __future__ import annotations

import dataclasses
import importlib
import json
import signal
import stat
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any, Dict, List

import psutil
import pytest

from common.core.errors import ZooError
from common.runs import record as run_record
from tests.ascend_doubles.machine import AscendMachine
from tests.run_events import whole_run

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts" / "verify_on_npu.sh"
NETWORKS = (
    "residual_attention_net",
    "slot_attention/object_discovery",
    "slot_attention/set_prediction",
    "protoattend",
    "slot_attention_torch/object_discovery",
    "slot_attention_torch/set_prediction",
    "protoattend_torch",
)
# Answers questions (-c) as the real one, notes everything else and leaves what a run would.
STAND_IN = """#!/bin/sh
[ "$1" != -c ] || exec "{python}" "$@"
printf '%s\\n' "$*" >> "{folder}/calls"
case "$*" in *"$FAILS"*) [ -z "$FAILS" ] || {{ echo "what went wrong"; exit 3; }} ;; esac
case "$*" in *"$SLEEPS"*)
  [ -z "$SLEEPS" ] || {{ sleep 300 & echo $! > "{folder}/child"; wait; }} ;;
esac
for word in "$@"; do
  case "$word" in --output_path={folder}/out/runs/*)
    run="${{word#--output_path=}}"
    mkdir -p "$run/ckpt" "$run/rank_0"
    echo '{{}}' > "$run/record.json"; echo line > "$run/rank_0/metrics.jsonl"
    mkdir -p "$run/ckpt/step_150"; echo weights > "$run/ckpt/step_150/state.json" ;;
  esac
  case "$*:$word" in *" data prepare "*:--data_path=*) mkdir -p "${{word#--data_path=}}" ;; esac
done
"""


class Verifying:
    """The script in a folder of its own, on an Ascend server of one device."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "python3"
        self.python.write_text(STAND_IN.format(folder=folder, python=sys.executable))
        self.python.chmod(self.python.stat().st_mode | stat.S_IXUSR)
        self.variables = AscendMachine(folder / "one", devices=1).variables()

    def command(self, *words: str) -> List[str]:
        return ["bash", str(SCRIPT), "--output_path", str(self.folder / "out")] + list(words)

    def environment(self, **variables: str) -> Dict[str, str]:
        own = {"ZOO_PYTHON": str(self.python), "FAILS": "", "SLEEPS": ""}
        return {**self.variables, **own, **variables}

    def __call__(self, *words: str, **variables: str) -> Any:
        return subprocess.run(
            self.command(*words),
            env=self.environment(**variables),
            cwd=str(self.folder),
            capture_output=True,
            text=True,
            timeout=180,
        )

    def on_a_server(self) -> AscendMachine:
        """From now on there are 8 devices."""
        machine = AscendMachine(self.folder / "machine")
        self.variables = machine.variables()
        return machine

    def calls(self) -> List[str]:
        """What the stand-in was asked to run."""
        return (self.folder / "calls").read_text().splitlines()


@pytest.fixture
def verify(tmp_path: Path) -> Verifying:
    return Verifying(tmp_path)


def summary(done: Any) -> List[str]:
    """The lines below the heading at the end."""
    return done.stdout.split("== summary\n")[1].splitlines()[:-1]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """All networks where nothing fails: (the script's folder, how it ended)."""
    verify = Verifying(tmp_path_factory.mktemp("good"))
    words = ("--networks", ",".join(NETWORKS))
    return verify, verify(*words, MY_PASSWORD="hidden", ASCEND_HOME_PATH="/told")


def test_every_network_is_trained_in_float32_and_in_its_own_precision(good: Any) -> None:
    verify, done = good
    assert done.returncode == 0, done.stdout + done.stderr
    for network in NETWORKS:
        label = network.replace("/", "_")
        for part in ("float32", "default", "resumed_again", "evaluation", "profile", "diverge"):
            assert f"passed   {label}-{part}" in summary(done)
    folder = f"--output_path={verify.folder}/out/runs/protoattend-resumed "
    first, second = [call for call in verify.calls() if folder in call + " "]
    assert "--resume" not in first.split() and "--resume" in second.split()


def test_the_weights_of_the_last_step_are_evaluated_in_float32(good: Any) -> None:
    verify, _ = good
    runs = f"{verify.folder}/out/runs/"
    of_network = {call.split()[3]: call.split() for call in verify.calls() if " eval_1p " in call}
    for network, flag in (("protoattend", "checkpoint"), ("residual_attention_net", "pth_path")):
        assert f"--{flag}={runs}{network}-float32/ckpt/step_150" in of_network[network]
        assert "--precision_mode=must_keep_origin_dtype" in of_network[network]


def test_the_archive_has_logs_and_records_and_neither_weights_nor_secrets(good: Any) -> None:
    (archive,) = (good[0].folder / "out").glob("*.tar.gz")
    with tarfile.open(str(archive)) as packed:
        names = packed.getnames()
        machine = packed.extractfile("logs/machine.log")
        assert machine is not None
        text = machine.read().decode()
    assert "runs/protoattend-float32/record.json" in names
    assert "logs/doctor.log" in names and "logs/summary.log" in names
    assert not [name for name in names if "/ckpt/" in name]
    assert "/told" in text and "hidden" not in text


def test_without_an_npu_or_a_folder_it_ends_at_once(verify: Verifying, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("a file")
    done = verify("--networks", "protoattend")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == f"error: --output_path {out} can't be written; give another\n"
    out.unlink()
    verify.variables = AscendMachine(tmp_path / "none", devices=0).variables()
    done = verify("--networks", "protoattend")
    assert done.returncode == 1 and "this machine has no NPU" in done.stderr
    assert not out.exists()


def test_several_ranks_have_the_data_made_for_them_and_too_many_are_left_out(
    verify: Verifying,
) -> None:
    verify.on_a_server()
    done = verify("--networks", "protoattend,slot_attention/set_prediction", "--ranks", "2,16")
    assert done.returncode == 0, done.stdout + done.stderr
    several = [call for call in verify.calls() if "--ranks=" in call and " launch " in call]
    told = [("slot_attention" in call, "--data_path=" in call) for call in several]
    assert told == [(False, False), (True, True)]
    assert "left out protoattend-16_ranks: this server has 8 devices" in summary(done)
    assert "passed   protoattend-2_ranks-record" in summary(done)


@pytest.mark.parametrize(
    "fails, failed, left_out, repeated",
    [
        (
            "launch protoattend smoke --device=npu --output_path={runs}/protoattend-default",
            "default",
            "default-record: protoattend-default",
            2,
        ),
        (  # a run whose record is not as expected is repeated, with what needs it
            "check_npu_run.py {runs}/protoattend-float32",
            "float32-record",
            "evaluation: protoattend-float32",
            None,
        ),
    ],
)
def test_a_part_that_fails_is_told_the_next_ones_run_and_a_second_call_repeats_it_alone(
    verify: Verifying, fails: str, failed: str, left_out: str, repeated: Any
) -> None:
    fails = fails.format(runs=verify.folder / "out" / "runs")
    done = verify("--networks", "protoattend", FAILS=fails)
    assert done.returncode == 1
    assert f"FAILED   protoattend-{failed} (exit code 3): what went wrong" in summary(done)
    assert f"left out protoattend-{left_out} did not pass" in summary(done)
    assert "passed   protoattend-profile" in summary(done) and "send back:" in done.stdout
    (verify.folder / "calls").unlink()
    again = verify("--networks", "protoattend")
    assert again.returncode == 0 and "passed   protoattend-profile (before)" in summary(again)
    calls = [call for call in verify.calls() if "-m pip" not in call and call != "--version"]
    assert any(fails in call for call in calls) and repeated in (None, len(calls))


def test_a_dry_run_prints_the_commands_and_does_nothing(verify: Verifying, tmp_path: Path) -> None:
    done = verify("--networks", "slot_attention,slot_attention_torch", "--dry_run")  # all tasks
    for network in ("slot_attention", "slot_attention_torch"):
        for task in ("object_discovery", "set_prediction"):
            assert f"launch {network}/{task} " in done.stdout
    assert "--iterations_per_loop=10" in done.stdout and "--ranks=8" in done.stdout
    assert "full_1p" in done.stdout and "full_8p" in done.stdout
    assert not (tmp_path / "out").exists() and not (tmp_path / "calls").exists()


@pytest.mark.parametrize(
    "words, said",
    [
        (["--minutes", "soon"], "whole number"),
        (["--fast"], "unknown argument --fast"),
        (["--networks", "protoattend,resnet"], "--networks resnet: there are residual_attention"),
    ],
)
def test_wrong_arguments_are_told(verify: Verifying, words: List[str], said: str) -> None:
    done = verify(*words)
    assert (done.returncode, said in done.stderr) == (64, True)


# --- precision without apex ------------------------------------------------------------------


@pytest.mark.parametrize(
    "torch, apex, replaced",
    [("1.8.1+cu102", False, True), ("1.8.1", True, False), ("2.1.0", False, False)],
)
def test_parts_without_a_precision_do_without_apex(
    verify: Verifying, tmp_path: Path, torch: str, apex: bool, replaced: bool
) -> None:
    """The torch there can't be imported: its version is read."""
    for name in ("torch", "apex") if apex else ("torch",):
        (tmp_path / "packages" / name).mkdir(parents=True)
        (tmp_path / "packages" / name / "__init__.py").write_text("raise SystemExit('imported')\n")
    (tmp_path / "packages" / "torch" / "version.py").write_text(f"__version__ = '{torch}'\n")
    words = ("--networks", "residual_attention_net,protoattend", "--dry_run")
    done = verify(*words, PYTHONPATH=str(tmp_path / "packages"))
    of_part = {line.split()[0]: line for line in done.stdout.splitlines() if " launch " in line}
    for part in ("default", "profile", "resumed_again", "2_ranks", "plan_1p"):
        own = of_part["residual_attention_net-" + part]
        assert ("--precision_mode=allow_mix_precision" in own) is replaced
        assert "precision_mode" not in of_part["protoattend-" + part]
    assert of_part["residual_attention_net-float32"].count("--precision_mode") == 1
    assert ("there is no apex" in done.stdout) is replaced


# --- interruption ----------------------------------------------------------------------------


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_script_ends_its_part_and_packs_what_there_is(
    verify: Verifying, tmp_path: Path, number: int, code: int
) -> None:
    running = subprocess.Popen(
        verify.command("--networks", "protoattend"),
        cwd=str(tmp_path),
        text=True,
        env=verify.environment(SLEEPS="protoattend-default"),
        stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    child = tmp_path / "child"
    _wait_for(lambda: child.exists() and child.read_text().strip() != "")
    running.send_signal(number)
    output = running.communicate(timeout=30)[0]
    assert running.returncode == code
    assert "FAILED   protoattend-default (interrupted)" in output
    assert "passed   protoattend-float32" in output and "protoattend-profile" not in output
    assert list((tmp_path / "out").glob("*.tar.gz")) and "send back:" in output
    _wait_for(lambda: not _is_running(int(child.read_text())))


def _is_running(number: int) -> bool:
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# --- the commands ----------------------------------------------------------------------------


@pytest.mark.parametrize("network", NETWORKS)
def test_every_command_is_one_that_the_launcher_understands(
    verify: Verifying, tmp_path: Path, network: str
) -> None:
    """Each launch as it was made, where the script made it, with --dry_run by the real launcher."""
    machine = verify.on_a_server()
    done = verify("--networks", network)
    assert done.returncode == 0, done.stdout + done.stderr
    launches = [call.split() for call in verify.calls() if call.startswith("-m common launch ")]
    assert len(launches) >= 12 and sum("--ranks=" in " ".join(words) for words in launches) == 2
    for words in launches:
        if "--resume" in words:  # the stand-in left no launcher's marker
            (folder,) = [word.split("=", 1)[1] for word in words if "--output_path=" in word]
            (Path(folder) / "run.json").write_text(json.dumps({"case": words[4]}))
        done = subprocess.run(
            [sys.executable, *words, "--dry_run"],
            cwd=str(verify.folder),
            env=machine.variables(),
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        assert done.returncode == 0, words + [done.stderr]


# --- what records have to say ----------------------------------------------------------------


sys.path.insert(0, str(ROOT / "scripts" / "lib"))
check = importlib.import_module("check_npu_run")
sys.path.pop(0)
COMPILED = "5 graph(s) compiled for the NPU: 2 in the first training step, {} in later steps"


def npu_run(
    folder: Path,
    *,
    framework: str = "torch 2",
    proof: str = "9 parameter tensors on npu:0 (Ascend910A)",
    kind: str = "npu",
    count: int = 1,
    losses: Any = None,
    accuracy: float = 91.5,
    arithmetic: str = "float32",
    resumed_step: int = 0,
    **changes: Any,
) -> str:
    """The folder of a run of 20 steps, with its log and its record."""
    events = whole_run()
    events[0] = dict(
        events[0],
        proof=proof,
        resumed_step=resumed_step,
        precision=dict(events[0]["precision"], arithmetic=arithmetic),
        device=dict(events[0]["device"], kind=kind, count=count, framework=framework),
    )
    for event in events:
        if event["event"] == "step":
            event["loss"] = (losses or (lambda step: 2.0 - 0.05 * step))(event["step"])
        if event["event"] == "evaluation" and event["role"] == "final":
            event["metrics"] = {"accuracy": accuracy}
    (folder / "rank_0").mkdir(parents=True)
    (folder / "rank_0" / "metrics.jsonl").write_text(
        "".join(json.dumps(event) + "\n" for event in events)
    )
    record = run_record.from_events(events, "smoke", "zoo launch")
    run_record.write_record(dataclasses.replace(record, **changes), folder)
    return str(folder)


TF = "TensorFlow 1.15.0"


@pytest.mark.parametrize(
    "made, flags, said",
    [
        ({}, ["--learns", "--steps=20", "--ranks=1"], ""),
        ({"framework": TF, "proof": COMPILED.format(0)}, [], ""),
        ({"framework": TF, "proof": "7 graph(s) compiled for the NPU"}, ["--evaluates"], ""),
        ({"resumed_step": 20}, ["--resumed_at=20"], ""),
        ({"status": "aborted", "reason": "no memory"}, [], "aborted: no memory"),
        ({"kind": "cpu"}, [], "cpu computed"),
        ({"proof": "nothing"}, [], "nothing proves"),
        ({"arithmetic": "float32, convolutions HF32"}, [], "unset ENABLE_HF32_EXECUTION"),
        ({"losses": lambda step: float(step)}, ["--learns"], "the loss did not fall: 5.5 at first"),
        ({"losses": lambda step: "nan" if step == 3 else 1.0}, [], "1 steps have a loss"),
        ({}, ["--ranks=8"], "1 ranks, not 8"),
        ({}, ["--steps=40"], "step 20, not 40"),
        ({"resumed_step": 10}, ["--resumed_at=20"], "went on at step 10, not 20"),
        ({}, ["--profile"], "no file of a profile"),
        ({"framework": TF, "proof": "NpuOptimizer; no line says"}, [], "no graph"),
        ({"framework": TF, "proof": "1 graph(s) compiled for the NPU"}, [], "was not compiled"),
        ({"framework": TF, "proof": COMPILED.format(3)}, [], "compiled again"),
    ],
)
def test_what_a_record_has_to_say_is_enough_and_what_it_says_wrong_is_told(
    tmp_path: Path, capsys: Any, made: Dict[str, Any], flags: List[str], said: str
) -> None:
    words = [npu_run(tmp_path / "run", **made), *flags]
    if not said:
        assert check.main(words) == 0
        told = capsys.readouterr().out
        assert "accuracy: 91.5" in told and told.endswith("as expected\n")
        return
    with pytest.raises(ZooError, match=said):
        check.main(words)


@pytest.mark.parametrize(
    "before, accuracy, flags, same",
    [
        (91.5, 91.0, [], True),
        (91.5, 90.0, [], False),
        (91.5, float("nan"), [], False),
        (0.001, 0.015, [], False),
        (0.001, 0.015, ["--absolute=0.02"], True),  # of another draw
    ],
)
def test_the_evaluation_has_the_figures_of_the_training(
    tmp_path: Path, before: float, accuracy: float, flags: List[str], same: bool
) -> None:
    trained = npu_run(tmp_path / "trained", accuracy=before)
    words = [npu_run(tmp_path / "evaluated", accuracy=accuracy), "--evaluates", *flags]
    if same:
        assert check.main([*words, "--same_as=" + trained]) == 0
        return
    with pytest.raises(ZooError, match=f"accuracy is .*, and was {before} at the end of training"):
        check.main([*words, "--same_as=" + trained])


def test_a_run_without_a_record_is_told(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="record.json can't be read"):
        check.main([str(tmp_path)])
