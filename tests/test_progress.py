"""What is told of a run while it runs: its log, and from its events a line on a terminal."""

import io
import json

import pytest

from common.core.terminal import Terminal
from common.launch.progress import Progress, QuietTail, Tail
from common.training.lines import TrainingLines

START = {"event": "start", "time": 0.0, "targets": {"steps": 10, "epochs": 1}, "resumed_step": 0}


def step(number, time, loss=0.5):
    return {"event": "step", "time": time, "step": number, "epoch": 1, "loss": loss}


@pytest.mark.parametrize(
    "events, line",
    [
        ([START, step(1, 0.0), step(2, 60.0)], "training 2/10  loss 0.5000  8:00 left"),
        ([START, step(1, 100.0), step(3, 104.0)], "training 3/10  loss 0.5000  14 s left"),
        ([START, step(1, 100.0)], "training 1/10  loss 0.5000"),  # no pace yet
        # A resumed run counts its pace anew.
        (
            [START, step(1, 0), step(4, 3), dict(START, resumed_step=4)],
            "starting 4/10  loss 0.5000",
        ),
        ([START, {"event": "heartbeat", "time": 1.0, "what": "evaluating"}], "evaluating 0/10"),
        ([START, step(2, 1.0, "nan")], "training 2/10"),
    ],
)
def test_the_line_tells_step_loss_and_time_left(events, line):
    progress = Progress()
    for event in events:
        progress.update(event)
    assert progress.line() == line


def test_what_is_added_is_read_and_of_events_whole_ones(tmp_path):
    path = tmp_path / "metrics.jsonl"
    tail = Tail(path)
    assert tail.new_events() == []
    path.write_text(json.dumps(START) + "\n" + '{"event": "st')
    assert [event["event"] for event in tail.new_events()] == ["start"]
    log = Tail(path)  # of an earlier session nothing is told
    with open(str(path), "a") as stream:
        stream.write('ep", "step": 1}\nnot json\n')
    assert tail.new_events() == [{"event": "step", "step": 1}]
    assert log.read_new().startswith(b'ep"') and log.read_new() == b""


NOISE = """\
2026-01-02 03:04:05.678901: E external/local_xla/cuda_driver.cc:152] failed call to cuInit: (303)
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1700000000.123456   12345 cpu_feature_guard.cc:210] this is optimized
WARNING:tensorflow:From a.py:1: f is deprecated and will be removed in a future version.
Instructions for updating:
Use g instead.
"""


def test_tensorflows_own_lines_stay_in_the_log(tmp_path):
    path = tmp_path / "train_0.log"
    tail = QuietTail(path)
    text = "step 1\n" + NOISE + "2 of 3\nsaving"
    shown = b""
    for letter in range(0, len(text), 7):
        with open(str(path), "a") as stream:
            stream.write(text[letter : letter + 7])
        shown += tail.read_new()
    assert shown == b"step 1\n2 of 3\nsaving" and path.read_text() == text


def test_an_evaluation_of_many_metrics_is_told_in_lines_that_fit(capsys):
    metrics = {f"metric_of_kind-{number}": number / 7 for number in range(12)}
    TrainingLines(9, 9, 8, 1, True).evaluation(400000, "validation", "best", 10000, metrics)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 2 and max(map(len, lines)) < 140
    head = "Evaluation at step 400000 (best weights) on 10000 samples of validation: "
    told = ", ".join(line[len(head) :] for line in lines if line.startswith(head))
    assert told == ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())


# --- the terminal ---


class Screen(io.StringIO):
    """A stream that may say it is a terminal, or that nobody reads it any more."""

    def __init__(self, interactive=False, gone=False):
        super().__init__()
        self.interactive, self.gone = interactive, gone

    def isatty(self):
        return self.interactive

    def write(self, text):
        if self.gone:
            raise BrokenPipeError
        return super().write(text)


@pytest.mark.parametrize(
    "interactive, shown",
    [(True, "training 1/10\r\x1b[Ka line\ntraining 1/10\r\x1b[K"), (False, "a line\n")],
)
def test_only_on_a_terminal_there_is_a_progress_line_below_the_others(interactive, shown):
    screen = Screen(interactive)
    terminal = Terminal(screen, screen)
    terminal.status("training 1/10")
    terminal.pass_on(b"a line\n")
    terminal.status("")
    assert screen.getvalue() == shown


def test_a_character_that_comes_in_two_parts_is_whole_and_nobody_needs_to_read():
    screen, data = Screen(), "训练\n".encode()
    terminal = Terminal(screen, screen)
    terminal.pass_on(data[:4])
    terminal.pass_on(data[4:])
    assert screen.getvalue() == "训练\n"
    Terminal(Screen(gone=True), Screen(gone=True)).say("nobody reads")
