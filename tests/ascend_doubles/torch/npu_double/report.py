"""What a program did with the double, for tests: in memory, and a line each in a file.

The file is rank_<RANK>_<process>.jsonl in the folder ASCEND_DOUBLE_REPORT, written as it happens.
"""

import json
import os

events = []
_seen = set()


def note(kind, **fields):
    """Adds an event."""
    event = dict(fields, event=kind)
    events.append(event)
    folder = os.environ.get("ASCEND_DOUBLE_REPORT")
    if folder:
        name = "rank_{}_{}.jsonl".format(os.environ.get("RANK", "0"), os.getpid())
        with open(os.path.join(folder, name), "a") as stream:
            stream.write(json.dumps(event, default=str) + "\n")


def note_once(kind, **fields):
    """Adds an event unless the same one is there."""
    key = (kind, json.dumps(fields, sort_keys=True, default=str))
    if key not in _seen:
        _seen.add(key)
        note(kind, **fields)


def kinds():
    """The kinds of the events so far, in order."""
    return [event["event"] for event in events]
