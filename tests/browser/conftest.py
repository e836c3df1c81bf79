"""A real JupyterLab and a real Chromium for the tests here; each test is skipped, with the reason, where one
is missing.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import nbformat
import pytest

import ftlab

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SETTINGS = {
    "apputils-extension/themes": {"theme": "JupyterLab Light"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "docmanager-extension/plugin": {"autosave": False},
    "notebook-extension/tracker": {"windowingMode": "none"},  # every cell is in the page, also those out of sight
}


class Lab:
    """A JupyterLab server on this machine, and the folder whose notebooks it opens."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self.token = secrets.token_hex(16)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        for name, values in SETTINGS.items():
            file = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values))
        (folder / "notebooks").mkdir()
        environment = {
            **os.environ,
            **variables,
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
            "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
            "PYTHONPATH": str(Path(ftlab.__file__).parents[1]),
        }
        command = [
            sys.executable,
            "-m",
            "jupyterlab",
            "--no-browser",
            "--ip=127.0.0.1",
            f"--port={self.port}",
        ]
        command += [f"--IdentityProvider.token={self.token}", f"--ServerApp.root_dir={folder / 'notebooks'}"]
        command += [f"--{app}.expose_app_in_browser=True" for app in ("LabApp", "JupyterNotebookApp")]
        command += ["--allow-root"]
        self.log = (folder / "server.log").open("w")
        self.process = subprocess.Popen(command, env=environment, stdout=self.log, stderr=subprocess.STDOUT)

    def wait(self) -> None:
        """Wait until the server answers."""
        for _ in range(300):
            if self.process.poll() is not None:
                break
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api?token={self.token}", timeout=5).close()
                return
            except OSError:
                time.sleep(0.2)
        raise RuntimeError(f"JupyterLab did not start:\n{(self.folder / 'server.log').read_text()[-3000:]}")

    def close(self) -> None:
        """End this server; its kernels end with it."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def end_kernels(self) -> None:
        """End what runs on this server: a notebook that has trained holds a gigabyte."""
        address, headers = f"http://127.0.0.1:{self.port}/api/kernels", {"Authorization": f"token {self.token}"}
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers)) as answer:
            kernels = json.load(answer)
        for kernel in kernels:
            request = urllib.request.Request(f"{address}/{kernel['id']}", headers=headers, method="DELETE")
            urllib.request.urlopen(request).close()

    def write(self, name: str, *cells: str) -> Path:
        """Write a notebook of code cells."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
        notebook.metadata["kernelspec"] = {
            "name": "python3",
            "display_name": "Python 3",
            "language": "python",
        }
        path = self.folder / "notebooks" / name
        nbformat.write(notebook, path)
        return path

    def open(self, page, name: str, at: str = "doc/tree") -> None:
        """Open a notebook in the page, in JupyterLab or (`at="notebooks"`) in Notebook 7, and wait for its kernel."""
        page.goto(f"http://127.0.0.1:{self.port}/{at}/{name}?token={self.token}&reset")
        page.wait_for_function("window.jupyterapp && window.jupyterapp.shell.currentWidget", timeout=60_000)
        idle = "window.jupyterapp.shell.currentWidget.sessionContext?.session?.kernel?.status === 'idle'"
        page.wait_for_function(idle, timeout=60_000)

    def execute(self, page, command: str) -> None:
        """Give JupyterLab a command and do not wait for its end."""
        page.evaluate("command => { window.jupyterapp.commands.execute(command) }", command)

    def wait_idle(self, page, timeout: int = 300_000) -> None:
        """Wait until no cell is running or waiting."""
        prompts = "[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]"
        done = prompts + ".every(prompt => /^\\[\\d+\\]:$/.test(prompt.textContent))"
        page.wait_for_function(done, timeout=timeout)


@pytest.fixture(scope="session")
def chromium():
    """Start Chromium, the system's or playwright's own."""
    if find_spec("playwright") is None:
        pytest.skip("playwright is missing: pip install playwright")
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        try:
            browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        except Error as error:
            pytest.skip(f"Chromium is missing: playwright install chromium ({str(error).splitlines()[0]})")
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def labs():
    """Hold the servers that were started, and end them."""
    started = []
    yield started
    for server in started:
        server.close()


@pytest.fixture(scope="session")
def make_lab(chromium, labs, tmp_path_factory):
    """Return a function that starts JupyterLab on a free port of the loopback interface, with more variables set."""
    if find_spec("jupyterlab") is None:
        pytest.skip("jupyterlab is missing: pip install 'ftlab[lab]'")

    def make(**variables: str) -> Lab:
        labs.append(Lab(tmp_path_factory.mktemp("lab"), **variables))
        labs[-1].wait()
        return labs[-1]

    return make


@pytest.fixture(scope="session")
def lab(make_lab):
    """Start the JupyterLab that most tests share."""
    return make_lab()


@pytest.fixture
def page(chromium, labs):
    """Open an empty page, 1280 pixels wide; with it go the kernels that it started."""
    page = chromium.new_page(viewport={"width": 1280, "height": 1000})
    yield page
    page.close()
    for server in labs:
        server.end_kernels()
