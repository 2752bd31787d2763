# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""A real browser for tests: Chromium without a window, driven over a pipe by the DevTools protocol."""
import base64
import fcntl
import json
import os
import select
import shutil
import signal
import time

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome"))), None)
OPTIONS = ("--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
           "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
           "--disable-features=Translate,OptimizationHints,MediaRouter", "--mute-audio", "--force-device-scale-factor=1")
SECONDS = 15

# Waits in the page for an expression to become true.
WAIT = """new Promise((resolve, reject) => {
  const end = Date.now() + %d, look = () => {
    let value;
    try { value = (%s); } catch (error) { return reject(error); }
    value ? resolve(value) : Date.now() > end ? resolve(null) : setTimeout(look, 20);
  };
  look();
})"""


class Gone(Exception):
    """The page that was asked is not there any more."""


class Browser:
    """The process. One page at a time is what the tests need: open() makes a new one with an empty session."""

    def __init__(self, directory):
        directory.mkdir(exist_ok=True)
        read, self.out = os.pipe()
        self.answers, write = os.pipe()
        # High numbers first, so that none is in the way of 3 and 4, which the browser reads and writes.
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (read, write)]
        log = str(directory / "log")
        self.pid = os.posix_spawn(
            PROGRAM, [PROGRAM, *OPTIONS, f"--user-data-dir={directory / 'profile'}", "about:blank"], {**os.environ, "HOME": str(directory)},
            file_actions=[(os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT, 0o600), (os.POSIX_SPAWN_DUP2, 1, 2),
                          (os.POSIX_SPAWN_DUP2, high[0], 3), (os.POSIX_SPAWN_DUP2, high[1], 4)])
        for fd in (read, write, *high):
            os.close(fd)
        self.buffer, self.number, self.page = b"", 0, None

    def read_message(self, deadline):
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.answers], [], [], max(deadline - time.time(), 0))
            assert ready, "the browser does not answer"
            chunk = os.read(self.answers, 1 << 20)
            assert chunk, "the browser has ended"
            self.buffer += chunk
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def send(self, method, session=None, /, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params, **({"sessionId": session} if session else {})}
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.out, data):]
        return self.number

    def call(self, method, session=None, /, **params):
        number, deadline = self.send(method, session, **params), time.time() + SECONDS
        while True:
            message = self.read_message(deadline)
            if message.get("id") == number:
                if "error" in message:
                    raise Gone(message["error"]["message"])
                return message["result"]
            if self.page and "method" in message:
                self.page.notice(message["method"], message["params"])

    def open(self, **options):
        context = self.call("Target.createBrowserContext")["browserContextId"]
        self.page = Page(self, context, **options)
        return self.page

    def close(self):
        self.page = None
        try:
            self.call("Browser.close")
        except (AssertionError, OSError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.out)
        os.close(self.answers)


class Page:
    def __init__(self, browser, context, width=1100, height=900, dark=False):
        self.browser, self.context = browser, context
        self.errors = []
        target = browser.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        browser.page = self
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.resize(width, height)
        self.set_dark(dark)

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def notice(self, method, params):
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.errors.append(str([a.get("value", a.get("description")) for a in params["args"]]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            # A status that is an answer to what a test asked is no error of the page.
            if params["entry"]["source"] != "network":
                self.errors.append(f"{params['entry']['source']}: {params['entry']['text']}")

    def resize(self, width, height=900):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def set_dark(self, dark):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def goto(self, url):
        result = self.call("Page.navigate", url=url)
        assert "errorText" not in result, result
        self.wait("document.readyState === 'complete'")
        return self

    def eval(self, expression):
        """The value of an expression, also of one that is a promise."""
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise AssertionError(result["exceptionDetails"].get("exception", {}).get("description", expression))
        return result["result"].get("value")

    def wait(self, expression, seconds=SECONDS):
        """Waits until an expression is true, also over navigations."""
        deadline = time.time() + seconds
        while time.time() < deadline:
            try:
                value = self.eval(WAIT % (500, expression))
            except (Gone, AssertionError):
                value = None
                time.sleep(0.02)
            if value:
                return value
        raise AssertionError(f"{expression} does not become true; the page: {self.text()[:2000]}")

    def wait_for_text(self, text, selector="main"):
        return self.wait(f"document.querySelector({json.dumps(selector)})?.innerText.includes({json.dumps(text)})")

    def text(self, selector="body"):
        return self.eval(f"document.querySelector({json.dumps(selector)}).innerText")

    def click(self, selector):
        """As a mouse does it: nothing may lie above."""
        x, y = self.wait(f"""(() => {{
            const e = document.querySelector({json.dumps(selector)});
            if (!e) return null;
            e.scrollIntoView({{block: "center", behavior: "instant"}});
            const r = e.getClientRects()[0], x = r.x + r.width / 2, y = r.y + r.height / 2, top = document.elementFromPoint(x, y);
            return e.contains(top) || top?.contains(e) ? [x, y] : null;
        }})()""")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, selector, text):
        self.wait(f"!!document.querySelector({json.dumps(selector)})")
        self.eval(f"(e => (e.focus(), e.select()))(document.querySelector({json.dumps(selector)}))")
        self.call("Input.insertText", text=text)

    def press(self, key, code=None, number=0, text=None):
        for kind in ("keyDown", "keyUp"):
            extra = {"text": text} if text and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=code or key, windowsVirtualKeyCode=number, **extra)

    def choose_file(self, selector, *paths):
        node = self.call("Runtime.evaluate", expression=f"document.querySelector({json.dumps(selector)})")["result"]["objectId"]
        self.call("DOM.setFileInputFiles", objectId=node, files=[str(path) for path in paths])

    def drop(self, selector, path):
        x, y = self.eval(f"""(() => {{ const r = document.querySelector({json.dumps(selector)}).getBoundingClientRect();
                             return [r.x + r.width / 2, r.y + r.height / 2]; }})()""")
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data={"items": [], "files": [str(path)], "dragOperationsMask": 1})

    def screenshot(self, path):
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]))

    def accessible(self):
        """(role, name) of everything that can be operated."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        roles = ("button", "link", "textbox", "searchbox", "combobox", "checkbox", "DisclosureTriangle", "ComboBoxSelect", "listbox")
        return [(n["role"]["value"], n.get("name", {}).get("value", "")) for n in nodes
                if not n.get("ignored") and n["role"]["value"] in roles]
