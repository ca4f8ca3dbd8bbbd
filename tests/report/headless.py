"""A page in headless Chromium (QtWebEngine, from PyPI: `pip install -e '.[browser]'`), in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DRIVER = """
import json, sys
from PySide6.QtCore import QTimer, QUrl
from PySide6.QtWebEngineCore import QWebEnginePage, QWebEngineUrlRequestInterceptor
from PySide6.QtWebEngineWidgets import QWebEngineView
from PySide6.QtWidgets import QApplication

path, width, height, picture = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
script = sys.stdin.read()
seen = {"console": [], "requests": []}

class Page(QWebEnginePage):
    def javaScriptConsoleMessage(self, level, message, line, source):
        seen["console"].append(message)

class Requests(QWebEngineUrlRequestInterceptor):
    def interceptRequest(self, request):
        seen["requests"].append(request.requestUrl().toString())

def found(value):
    seen["found"] = json.loads(value)
    if picture:
        view.grab().save(picture)
    print(json.dumps(seen))
    app.quit()

app = QApplication(["headless"])
view, requests = QWebEngineView(), Requests()
page = Page(view)
page.setUrlRequestInterceptor(requests)
view.setPage(page)
view.resize(width, height)
view.show()
page.loadFinished.connect(lambda _: QTimer.singleShot(300, lambda: page.runJavaScript(script, found)))
view.load(QUrl.fromLocalFile(path))
app.exec()
"""


def look(
    page: Path, width: int, script: str, *, height: int = 600, dark: bool = False, picture: Path | None = None
) -> dict[str, Any]:
    """Open a page and run a script in it.

    Args:
        script: an expression whose value is a string of JSON.
        picture: where a PNG of what is seen goes.

    Returns:
        found: the script's value; console: messages; requests: every address that was asked for.
    """
    pytest.importorskip("PySide6.QtWebEngineWidgets", reason="no headless Chromium: pip install -e '.[browser]'")
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    environment = os.environ | {
        "QT_QPA_PLATFORM": "offscreen",
        "QTWEBENGINE_DISABLE_SANDBOX": "1",
        "QTWEBENGINE_CHROMIUM_FLAGS": f"--disable-gpu --disable-background-networking {scheme}",
    }
    command = [sys.executable, "-c", DRIVER, str(page.resolve()), str(width), str(height), str(picture or "")]
    done = subprocess.run(command, input=script, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
