"""Every flag changes something; each test is named for its flag."""

from __future__ import annotations

from pathlib import Path
from typing import List, Set

import pytest
import torch
from torch import nn
from training_helpers import (
    SMALL,
    checkpoint_of,
    events,
    free_port,
    newest_checkpoint,
    run,
    start,
)

from common.core.errors import UsageError
from common.runs.dump import find_dump
from common.training.torch.ranks import SynchronisedBatchNorm
from residual_attention_net.network.model import build_network
from residual_attention_net.options import PROGRAMS, parse_options
from residual_attention_net.session import Session, open_session, open_stepper
from residual_attention_net.train import plan_of

pytestmark = [pytest.mark.pytorch, pytest.mark.long]
HAS_BFLOAT16 = hasattr(torch, "autocast")


def opened(*flags: str) -> Session:
    """A session on the CPU; flags given here win over those of SMALL."""
    return open_session(parse_options("train", SMALL + list(flags)))


def steps_of(*flags: str) -> int:
    return plan_of(opened(*flags))[0]


OF_TENSORFLOW = ("data_dump_flag", "over_dump", "autotune")


def flags_of_the_parser() -> Set[str]:
    """The flags that change something."""
    flags = {action.dest for action in PROGRAMS["train"].parser()._actions}
    return flags - {"help", "data_dump_step", "local_rank", *OF_TENSORFLOW}


def test_every_flag_has_its_test() -> None:
    flags = flags_of_the_parser()
    untested = {
        flag for flag in flags if not any(name.startswith("test_" + flag) for name in globals())
    }
    assert untested == set()


def test_dataset() -> None:
    assert opened("--dataset", "digits", "--network", "attention56_cifar").splits.name == "digits"
    assert opened().splits.name == "synthetic"


def test_data_path(tmp_path: Path) -> None:
    from PIL import Image

    for name, shade in (("dark", 10), ("light", 200)):
        (tmp_path / name).mkdir()
        for number in range(20):
            image = Image.new("RGB", (20, 20), (shade, number, 0))
            image.save(str(tmp_path / name / f"{number}.png"))
    session = open_session(
        parse_options(
            "train",
            [
                "--dataset",
                "images",
                "--data_path",
                str(tmp_path),
                "--network",
                "small_16input",
                "--train_batch_size",
                "4",
                "--validation_count",
                "4",
                "--device_type",
                "cpu",
            ],
        )
    )
    assert session.splits.train.classes == ("dark", "light")
    assert session.network.num_classes == 2


def test_validation_count() -> None:
    assert opened("--validation_count", "7").splits.counts["validation"] == 7
    assert opened("--validation_count", "0").validation_loader is None


def test_limit_train() -> None:
    assert opened("--limit_train", "50").splits.counts["train"] == 50


def test_limit_test() -> None:
    assert opened("--limit_test", "30").splits.counts["test"] == 30


def test_loader() -> None:
    pytest.importorskip("torchvision")
    session = opened("--loader", "torchvision", "--workers", "0")
    assert type(session.train_loader).__name__ == "TorchvisionLoader"
    assert next(iter(session.train_loader.epoch(0))).inputs.shape == (16, 3, 16, 16)


def test_workers() -> None:
    pytest.importorskip("torchvision")
    assert opened("--loader", "torchvision", "--workers", "1").train_loader._workers == 1


def test_network() -> None:
    small, large = opened(), opened("--network", "attention56_cifar")
    assert large.complexity.parameters > small.complexity.parameters


def test_spatial_dims() -> None:
    session = opened("--spatial_dims", "3", "--dataset", "synthetic_volumes")
    batch = next(iter(session.train_loader.epoch(0)))
    assert batch.inputs.shape[2:] == (16, 16, 16)
    assert session.network(batch.inputs).shape == (16, 10)


def test_num_classes() -> None:
    assert opened("--num_classes", "11").network.fc.out_features == 11


def test_is_pretrain_and_pth_path(tmp_path: Path) -> None:
    weights = checkpoint_of(tmp_path / "weights", build_network("small_16input", 10))
    done = run(
        "train",
        tmp_path / "run",
        "--is_pretrain",
        "--pth_path",
        str(weights),
        "--train_steps",
        "1",
    )
    assert done.returncode == 0 and "loaded " in done.stdout


def test_pth_path_tells_the_network(tmp_path: Path) -> None:
    weights = checkpoint_of(tmp_path, build_network("small_16input", 12))
    words = [word for word in SMALL if word not in ("--network", "small_16input")]
    options = parse_options("evaluate", words + ["--pth_path", str(weights)])
    session = open_session(options, training=False)
    assert (session.options.network, session.network.num_classes) == ("small_16input", 12)


def test_is_train_false_only_evaluates(tmp_path: Path) -> None:
    weights = checkpoint_of(tmp_path / "weights", build_network("small_16input", 10))
    done = run("train", tmp_path / "run", "--is_train=false", "--pth_path", str(weights))
    assert done.returncode == 0, done.stdout
    assert [event["role"] for event in events(tmp_path / "run", "evaluation")] == ["final"]
    assert events(tmp_path / "run", "step") == []


def test_recipe() -> None:
    batch = next(iter(opened("--recipe", "long").train_loader.epoch(0)))
    assert batch.mixed_targets is not None
    assert next(iter(opened().train_loader.epoch(0))).mixed_targets is None


def test_total_epochs() -> None:
    assert (steps_of("--total_epochs", "3"), steps_of("--total_epochs", "5")) == (12, 20)


def test_train_steps() -> None:
    assert steps_of("--train_steps", "5") == 5


def test_train_batch_size() -> None:
    assert opened("--train_batch_size", "32").train_loader.batches_per_epoch == 2


def test_test_batch_size() -> None:
    session = opened("--test_batch_size", "20")
    assert session.test_loader is not None and session.test_loader.batches_per_epoch == 2


def test_learning_rate() -> None:
    assert plan_of(opened("--learning_rate", "0.03"))[1].peak == pytest.approx(0.03)


def test_scale_learning_rate() -> None:
    flags = ["--train_batch_size", "128", "--limit_train", "256"]
    assert plan_of(opened(*flags))[1].peak == pytest.approx(0.2)
    assert plan_of(opened("--scale_learning_rate", "false", *flags))[1].peak == pytest.approx(0.1)


def largest_change(*flags: str) -> float:
    """How far one step moves the weights."""
    session = opened(*flags)
    open_stepper(session)
    assert session.stepper is not None
    before = [weight.detach().clone() for weight in session.network.parameters()]
    batch = next(iter(session.train_loader.epoch(0)))
    loss = 100.0 * nn.functional.cross_entropy(session.stepper.model(batch.inputs), batch.targets)
    session.stepper.step(loss)
    return max(
        float((weight.detach() - old).abs().max())
        for weight, old in zip(session.network.parameters(), before)
    )


def test_clip_gradient_norm() -> None:
    assert largest_change("--clip_gradient_norm", "0.001") < 0.01 * largest_change()


def test_sync_batch_norm() -> None:
    kinds = {type(module) for module in opened("--sync_batch_norm").network.modules()}
    assert SynchronisedBatchNorm in kinds and nn.BatchNorm2d not in kinds


def test_seed() -> None:
    weights = [opened("--seed", seed).network.fc.weight for seed in ("0", "0", "1")]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_device_type() -> None:
    assert opened("--device_type", "cpu").device.kind == "cpu"


def test_device_id_and_device_num_are_rank_and_world_size(tmp_path: Path) -> None:
    port = str(free_port())
    ranks = [
        start(
            "train",
            tmp_path / "run",
            "--device_num",
            "2",
            "--device_id",
            str(number),
            "--train_steps",
            "1",
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=port,
        )
        for number in range(2)
    ]
    assert [process.communicate()[0] and process.returncode for process in ranks[:1]] == [0]
    ranks[1].communicate()
    begun = [events(tmp_path / "run", "start", rank)[0] for rank in range(2)]
    assert [(event["rank"], event["world_size"]) for event in begun] == [(0, 2), (1, 2)]


def test_device_num_must_agree_with_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    with pytest.raises(UsageError, match="WORLD_SIZE"):
        opened("--device_num", "3")


def test_dist_url(tmp_path: Path) -> None:
    url = f"tcp://127.0.0.1:{free_port()}"
    ranks = [
        start(
            "train",
            tmp_path / "run",
            "--device_num",
            "2",
            "--device_id",
            str(number),
            "--train_steps",
            "1",
            "--dist_url",
            url,
        )
        for number in range(2)
    ]
    for process in ranks:
        assert process.communicate()[0] is not None
    assert [process.returncode for process in ranks] == [0, 0]


def test_precision_mode() -> None:
    if not HAS_BFLOAT16:
        with pytest.raises(UsageError, match="nearest possible mode is must_keep_origin_dtype"):
            opened("--precision_mode", "allow_mix_precision_bf16")
        return
    assert (
        opened("--precision_mode", "allow_mix_precision_bf16").precision.autocast_dtype
        == "bfloat16"
    )


def test_opt_level() -> None:
    assert opened("--opt_level", "O0").precision.requested == "O0"
    with pytest.raises(UsageError, match="--precision_mode O2 is impossible"):
        opened("--opt_level", "O2")


def test_loss_scale_is_refused_where_it_would_change_nothing() -> None:
    with pytest.raises(UsageError, match="--loss_scale 128 would change nothing"):
        opened("--loss_scale", "128")


@pytest.mark.parametrize("wanted", [True, False])
def test_channels_last(wanted: bool) -> None:
    batch = next(iter(opened("--channels_last", str(wanted)).train_loader.epoch(0)))
    assert batch.inputs.is_contiguous(memory_format=torch.channels_last) is wanted


def test_compile() -> None:
    session = opened("--compile")
    if not hasattr(torch, "compile"):
        with pytest.raises(UsageError, match="--compile needs torch 2"):
            open_stepper(session)
        return
    open_stepper(session)
    assert session.stepper is not None and session.stepper.model is not session.network


def lines_of_steps(text: str) -> List[str]:
    return [line for line in text.splitlines() if line.startswith("Epoch [")]


def test_log_every(tmp_path: Path) -> None:
    assert len(lines_of_steps(run("train", tmp_path / "a", "--log_every", "2").stdout)) == 4


def test_pictures_every(tmp_path: Path) -> None:
    run("train", tmp_path, "--total_epochs", "3", "--pictures_every", "2", "--train_steps", "9")
    names = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert names == {f"attention_masks_{n:08d}.png" for n in (8, 9)} | {"curves.png"}


def test_evaluate_every(tmp_path: Path) -> None:
    run("train", tmp_path / "run", "--total_epochs", "4", "--evaluate_every", "2")
    seen = [
        event["epoch"]
        for event in events(tmp_path / "run", "evaluation")
        if event["role"] == "progress"
    ]
    assert seen == [2, 4]


def test_checkpoint_minutes(tmp_path: Path) -> None:
    run("train", tmp_path / "run", "--checkpoint_minutes", "0")
    assert [event["step"] for event in events(tmp_path / "run", "checkpoint")] == list(range(1, 9))


def test_keep_checkpoints(tmp_path: Path) -> None:
    run("train", tmp_path / "run", "--keep_checkpoints", "1", "--checkpoint_minutes", "0")
    kept = [path.name for path in (tmp_path / "run" / "ckpt").glob("step_*")]
    assert len(kept) <= 2 and "step_00000008" in kept  # the last and the best


def test_profiling(tmp_path: Path) -> None:
    run("train", tmp_path / "run", "--profiling", "--train_steps", "14", "--total_epochs", "4")
    assert list((tmp_path / "run" / "profile").glob("*.json"))


def test_profiling_of_a_run_that_is_too_short_is_refused_before_it_starts(tmp_path: Path) -> None:
    done = run("train", tmp_path, "--profiling", "--train_steps", "12")
    assert done.returncode == 64, done.stdout
    assert "--profiling needs at least 13 steps" in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("program", ["train", "evaluate", "finetune"])
@pytest.mark.parametrize("flag", OF_TENSORFLOW)
def test_flags_of_tensorflow_are_welcome_switched_off(program: str, flag: str) -> None:
    words = SMALL + ["--pth_path", "weights"]
    plain = parse_options(program, words)
    for value in ("=false", "=False", "=0"):
        assert parse_options(program, words + ["--" + flag + value]) == plain


@pytest.mark.parametrize("flag", OF_TENSORFLOW)
@pytest.mark.parametrize("value", ["", "=True"])
def test_flags_of_tensorflow_switched_on_are_refused_by_name(flag: str, value: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_options("train", SMALL + ["--" + flag + value])
    assert caught.value.exit_code == 64
    for word in ("--" + flag, "--dump_tensors", "--profiling"):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "words", [["evaluate", "--profiling"], ["train", "--profiling", "--is_train=false"]]
)
def test_profiling_of_an_evaluation_is_refused(words: List[str]) -> None:
    with pytest.raises(UsageError, match="--profiling traces steps of training"):
        parse_options(words[0], SMALL + ["--pth_path", "weights"] + words[1:])


def test_output_path(tmp_path: Path) -> None:
    run("train", tmp_path / "there", "--train_steps", "1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there"]
    assert newest_checkpoint(tmp_path / "there")["step"] == 1


def test_resume(tmp_path: Path) -> None:
    run("train", tmp_path / "run", "--total_epochs", "1")
    run("train", tmp_path / "run", "--resume")
    assert [event["resumed_step"] for event in events(tmp_path / "run", "start")] == [0, 4]


def test_debug(tmp_path: Path) -> None:
    assert "Traceback" not in run("train", tmp_path / "a", "--resume").stdout
    assert "Traceback" in run("train", tmp_path / "b", "--resume", "--debug").stdout


TWO_STEPS = ["--train_steps", "2", "--validation_count", "0"]


def test_dump_tensors(tmp_path: Path) -> None:
    assert run("train", tmp_path, *TWO_STEPS, "--dump_tensors", "2").returncode == 0
    assert find_dump(tmp_path).subject.step == 2


def test_dump_from(tmp_path: Path) -> None:
    source = tmp_path / "a"
    run("train", source, *TWO_STEPS, "--dump_tensors", "2")
    assert run("train", tmp_path / "b", *TWO_STEPS, "--dump_from", str(source)).returncode == 0
    assert find_dump(tmp_path / "b").subject.replayed_from == str(source)


@pytest.mark.parametrize("flag", ["--local_rank=1", "--local-rank=1"])
def test_what_torch_distributed_launch_adds_changes_nothing(flag: str) -> None:
    assert parse_options("train", [*SMALL, flag]).config() == parse_options("train", SMALL).config()
