"""A headless Chromium spoken to over its debugging pipe, with nothing but the standard library."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

TIMEOUT = 60.0
FLAGS = "--headless --no-sandbox --disable-gpu --no-first-run --remote-debugging-pipe"


def find_chromium() -> Optional[str]:
    """The browser's program, or None where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


class Browser:
    """One page in one browser. What went wrong in the page, and what it asked for, is kept."""

    def __init__(self, program: str, folder: Path) -> None:
        self._number, self._buffer = 0, b""
        self._session: Dict[str, str] = {}
        self.events: List[Dict[str, Any]] = []
        command_in, self._to = os.pipe()
        self._from, command_out = os.pipe()
        redirected = f'exec "$@" 3<&{command_in} 4>&{command_out}'
        program_and_flags = [program, *FLAGS.split(), f"--user-data-dir={folder}"]
        self._process = subprocess.Popen(
            ["bash", "-c", redirected, "chromium", *program_and_flags],
            pass_fds=(command_in, command_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(command_in)
        os.close(command_out)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": session["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def call(self, method: str, **parameters: Any) -> Dict[str, Any]:
        """Sends one command and waits for its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters, **self._session}
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def _receive(self) -> Dict[str, Any]:
        while b"\0" not in self._buffer:
            ready = select.select([self._from], [], [], TIMEOUT)[0]
            part = os.read(self._from, 1 << 16) if ready else b""
            assert part, "the browser does not answer"
            self._buffer += part
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message.decode())

    def open(self, path: Path) -> None:
        """Loads a file and waits until it is loaded."""
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.until("document.readyState + location.protocol === 'completefile:'")

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, expression: str) -> None:
        """Waits until a JavaScript expression is true."""
        limit = time.monotonic() + TIMEOUT
        while not self.run(expression):
            assert time.monotonic() < limit, expression
            time.sleep(0.05)

    def move_mouse(self, x: float, y: float) -> None:
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def size(self, width: int, height: int, dark: bool = False) -> None:
        """Sets the window's size and the scheme that the user prefers."""
        phone = width < 600
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        wishes = {"prefers-color-scheme": "dark" if dark else "light"}
        wishes["hover"] = "none" if phone else "hover"
        features = [{"name": name, "value": value} for name, value in wishes.items()]
        self.call("Emulation.setEmulatedMedia", features=features)

    def screenshot(self) -> bytes:
        """The window as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot")["data"])

    def told(self, method: str) -> List[Dict[str, Any]]:
        """What the browser told of a kind until now."""
        self.run("1")  # what happened until now has been reported when this is answered
        return [event["params"] for event in self.events if event.get("method") == method]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._to)
        os.close(self._from)
