"""A real Chromium without a screen, driven over its debugging pipe: pages are opened, forms filled, pictures taken."""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.waiting import wait_until

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


class Chromium:
    """
    One browser with one page, as a context manager.

    Parameters
    ----------
    width, height : int
        Of the window [px].
    scripts : bool
        Whether pages may run scripts.

    Attributes
    ----------
    complaints : list of str
        What pages were told they may not do, and errors, as the browser's console has them.
    """

    def __init__(self, width: int, height: int, *, scripts: bool = False) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="chromium-"))
        self._size, self._scripts = (width, height), scripts
        self._number, self._rest = 0, b""
        self._session = ""
        self.complaints: list[str] = []

    def __enter__(self) -> Self:
        program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
        assert program is not None, "Chromium is needed: apt install chromium"
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        command = [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        command += ["--no-first-run", "--disable-background-networking", f"--user-data-dir={self._folder}"]
        command += ["--remote-debugging-pipe", "about:blank"]
        # The browser reads commands from descriptor 3 and writes answers to 4.
        shell = 'exec 5<&"$0" 6>&"$1"; shift; exec 3<&5 4>&6 5<&- 6>&-; exec "$@"'
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["bash", "-c", shell, str(to_read), str(to_write), *command],
                stdout=log,
                stderr=log,
                pass_fds=(to_read, to_write),
            )
        os.close(to_read)
        os.close(to_write)
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")
        width, height = self._size
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self._call("Emulation.setScriptExecutionDisabled", value=not self._scripts)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        os.close(self._read)
        os.close(self._write)
        shutil.rmtree(self._folder, ignore_errors=True)

    def open(self, url: str) -> None:
        """Open a page, and return once it is there."""
        self._call("Page.navigate", url=url)
        self._settle()

    def tell(self, expression: str) -> Any:
        """Ask the page something, from outside: this works where its own scripts may not run."""
        return self._call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def fill(self, selector: str, text: str) -> None:
        """Write into a field, key by key."""
        self.tell(f"document.querySelector({selector!r}).focus()")
        self._call("Input.insertText", text=text)

    def press_enter(self) -> None:
        """Send the form that has the focus, and return once the next page is there."""
        before = self._loader()
        for kind in ("keyDown", "keyUp"):
            key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
            self._call("Input.dispatchKeyEvent", type=kind, **key)
        wait_until(lambda: self._loader() != before, "the next page", timeout=15, interval=0.05)
        self._settle()

    def text(self) -> str:
        """Give what there is to read."""
        return str(self.tell("document.body.innerText"))

    def too_wide(self) -> list[str]:
        """Name what stands out beyond the window, scrolled parts excepted."""
        script = """[...document.querySelectorAll('body *')].filter(e => !e.closest('.wide') && !e.closest('svg') &&
            e.getBoundingClientRect().right > window.innerWidth + 1).map(e => e.tagName + ' ' + e.className)"""
        return list(self.tell(script))

    def picture(self, file: Path) -> bytes:
        """Take a picture of the whole page."""
        answer = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        data = base64.b64decode(answer["data"])
        file.write_bytes(data)
        return data

    def _settle(self) -> None:
        wait_until(lambda: self.tell("document.readyState") == "complete", "the page being whole", interval=0.05)

    def _loader(self) -> str:
        return str(self._call("Page.getFrameTree")["frameTree"]["frame"]["loaderId"])

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + 30
        while True:
            answer = self._answer(deadline)
            if answer.get("id") == self._number:
                if method == "Runtime.evaluate" and "navigated" in answer.get("error", {}).get("message", ""):
                    return self._call(method, **parameters)  # the next page came in between: it is asked
                assert "error" not in answer, answer
                return dict(answer["result"])
            self._note(answer)

    def _answer(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))
            part = os.read(self._read, 2**20) if ready else b""
            assert part, f"Chromium said nothing: {(self._folder / 'log').read_text(errors='replace')[-2000:]}"
            self._rest += part
        first, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(first))

    def _note(self, event: dict[str, Any]) -> None:
        if event.get("method") == "Log.entryAdded":
            self.complaints.append(str(event["params"]["entry"]["text"]))
        if event.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(str(event["params"]["exceptionDetails"]["text"]))
