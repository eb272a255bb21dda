"""Progress from events, and its line on a terminal."""

import io
import json

from common.core.terminal import Terminal
from common.launch.progress import EventTail, LineTail, Progress, last_lines

START = {"event": "start", "time": 0.0, "targets": {"steps": 10, "epochs": 1}, "resumed_step": 0}


def step(number, time):
    return {"event": "step", "time": time, "step": number, "epoch": 1, "loss": 0.5}


def progress_after(*events):
    progress = Progress()
    for event in events:
        progress.update(event)
    return progress


def test_time_left_is_the_pace_since_the_first_step_times_the_steps_left():
    progress = progress_after(START, step(1, 100.0), step(3, 104.0))
    assert progress.seconds_left() == 7 * 2.0


def test_there_is_no_time_left_before_there_is_a_pace():
    assert progress_after(START, step(1, 100.0)).seconds_left() is None


def test_a_resumed_run_counts_its_pace_anew():
    again = dict(START, resumed_step=4, time=900.0)
    progress = progress_after(START, step(1, 0.0), step(4, 3.0), again)
    assert progress.step == 4 and progress.seconds_left() is None
    for event in (step(5, 1000.0), step(6, 1010.0)):
        progress.update(event)
    assert progress.seconds_left() == 40.0


def test_the_line_tells_step_loss_and_time():
    line = progress_after(START, step(1, 0.0), step(2, 60.0)).line()
    assert line == "training 2/10  loss 0.5000  0:08:00 left"


def test_a_long_evaluation_is_told():
    progress = progress_after(START, {"event": "heartbeat", "time": 1.0, "what": "evaluating"})
    assert progress.line().startswith("evaluating 0/10")


def test_a_loss_that_is_not_finite_does_not_stop_the_line():
    assert "2/10" in progress_after(START, dict(step(2, 1.0), loss="nan")).line()


def test_only_whole_new_events_are_read(tmp_path):
    path = tmp_path / "metrics.jsonl"
    tail = EventTail(path)
    assert tail.read_new() == []
    path.write_text(json.dumps(START) + "\n" + '{"event": "st')
    assert [event["event"] for event in tail.read_new()] == ["start"]
    with open(str(path), "a") as stream:
        stream.write('ep", "step": 1}\nnot json\n')
    assert tail.read_new() == [{"event": "step", "step": 1}]


def test_a_log_is_followed_from_where_it_ended(tmp_path):
    path = tmp_path / "train_0.log"
    path.write_text("an earlier session\n")
    tail = LineTail(path)
    with open(str(path), "a") as stream:
        stream.write("new\n")
    assert tail.read_new() == b"new\n" and tail.read_new() == b""


def test_the_last_lines_of_a_log_are_shown(tmp_path):
    path = tmp_path / "log"
    path.write_text("".join(f"line {number}\n" for number in range(1000)))
    assert last_lines(path, 2) == ["line 998", "line 999"]
    assert last_lines(tmp_path / "none", 2) == []


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def test_on_a_terminal_the_progress_line_is_taken_away_before_other_lines():
    screen = Screen()
    terminal = Terminal(screen, screen)
    terminal.status("training 1/10")
    terminal.pass_on(b"a line\n")
    terminal.status("")
    assert screen.getvalue() == "training 1/10\r\x1b[Ka line\ntraining 1/10\r\x1b[K"


def test_elsewhere_there_is_no_progress_line():
    stream = io.StringIO()
    terminal = Terminal(stream, stream)
    terminal.status("training 1/10")
    terminal.pass_on(b"a line\n")
    assert stream.getvalue() == "a line\n"


def test_a_character_that_comes_in_two_parts_is_whole():
    stream = io.StringIO()
    terminal = Terminal(stream, stream)
    data = "训练\n".encode()
    terminal.pass_on(data[:4])
    terminal.pass_on(data[4:])
    assert stream.getvalue() == "训练\n"


def test_a_reader_that_went_away_does_not_end_the_run():
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    Terminal(Gone(), Gone()).say("nobody reads")
