# SPDX-License-Identifier: Apache-2.0
"""Headless Chromium by its own DevTools protocol, as much of it as the page's tests need.

One browser, one page at a time. Uses the tests' websockets package; no driver program.
"""

import base64
import contextlib
import itertools
import json
import pathlib
import shutil
import tempfile
import urllib.request

from websockets.sync.client import connect

from harness.util import Process, scaled, wait_until

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
# It has no network here but loopback: without these it asks for updates all the time.
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--hide-scrollbars", "--mute-audio", "--remote-debugging-port=0"),
]


def find_program():
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Page:
    """One tab. call() is a raw DevTools command; log: console messages and exceptions."""

    def __init__(self, url):
        self.open_socket = contextlib.ExitStack()
        self.socket = self.open_socket.enter_context(connect(url, max_size=None, proxy=None))
        self.ids = itertools.count(1)
        self.log = []
        self.loads = 0
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def close(self):
        self.call("Page.navigate", url="about:blank")
        self.open_socket.close()

    def call(self, method, **params):
        number = next(self.ids)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv(timeout=scaled(30)))
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]
            self.note(message)

    def note(self, message):
        params = message.get("params", {})
        if message["method"] == "Page.loadEventFired":
            self.loads += 1
        elif message["method"] == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            text = details.get("exception", {}).get("description", details["text"])
            self.log.append(f"exception: {text}")
        elif message["method"] == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.log.append(f"error: {params['entry']['text']} {params['entry'].get('url', '')}")

    def js(self, expression):
        result = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def text(self, selector):
        return self.js(f"document.querySelector({json.dumps(selector)}).textContent.trim()")

    def number(self, selector):
        return float(self.text(selector).replace(",", ""))

    def wait(self, expression, timeout=20):
        def shown():
            return self.js("document.body.innerText")

        return wait_until(
            lambda: self.js(expression), lambda: f"{expression}\n{shown()}", timeout, 0.1
        )

    def open(self, url):
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def reload(self):
        """Returns once the new document is loaded: Page.reload answers while the old one still stands."""
        before = self.loads
        self.call("Page.reload")
        while self.loads == before:
            self.note(json.loads(self.socket.recv(timeout=scaled(30))))

    def view(self, width, height, scheme="light", scale=1, motion="no-preference"):
        self.call(
            "Emulation.setDeviceMetricsOverride",
            **{"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600},
        )
        features = {"prefers-color-scheme": scheme, "prefers-reduced-motion": motion}
        self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": k, "value": v} for k, v in features.items()],
        )

    def click(self, selector):
        """A real click of the mouse in the middle of an element."""
        at = self.js(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center', behavior: 'instant'});"
            "const b = e.getBoundingClientRect();"
            "return {x: b.x + b.width / 2, y: b.y + b.height / 2}; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)

    def press(self, key, code):
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            self.call(
                "Input.dispatchKeyEvent",
                **{"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code},
                **text,
            )

    def screenshot(self, path):
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        pathlib.Path(path).write_bytes(base64.b64decode(shot["data"]))


@contextlib.contextmanager
def browser():
    """Answers a function that opens a new tab."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        argv = [find_program(), *FLAGS, f"--user-data-dir={home}/profile", "about:blank"]
        process = Process("chromium", argv, f"{home}/chromium.log", cwd=home)
        process.spawn()
        told = pathlib.Path(home, "profile", "DevToolsActivePort")
        try:
            process.wait_for(
                lambda: told.exists() and "\n" in told.read_text(), "it tells its port", 30
            )
            port = told.read_text().split()[0]

            def new_page():
                request = urllib.request.Request(
                    f"http://127.0.0.1:{port}/json/new?about:blank", method="PUT"
                )
                with urllib.request.urlopen(request, timeout=scaled(10)) as reply:
                    return Page(json.load(reply)["webSocketDebuggerUrl"])

            yield new_page
        finally:
            process.stop(5)
