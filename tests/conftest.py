"""What holds for every test: no network, the real preset unless asked otherwise, fixed examples; the table of faults.

A test marked `fault("name")` counts as one try in that table, which is printed after the tests. One that goes through a
table of cases enters each with the fixture `case`: every case that fails is reported, and every case counts as a try.
One that tries more often in another way says how many times with the fixture `tries`.
"""

from __future__ import annotations

import gc
import os
from collections import Counter
from contextlib import contextmanager

import pytest
from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"  # read once, when huggingface_hub is imported
os.environ.pop("FTLAB_PRESET", None)

# A slow machine is no failure, and what was green stays green until the code changes.
settings.register_profile("ftlab", deadline=None, derandomize=True)
settings.load_profile("ftlab")


def pytest_collection_finish():
    """Keep what the imports have made, a million objects, out of the garbage collections of the tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _fault(request, record_property):
    """Note the row of this test where the terminal summary finds it, with several processes too."""
    marker = request.node.get_closest_marker("fault")
    if marker is not None:
        record_property("fault", marker.args[0])


@pytest.fixture
def tries(request):
    """Call with the number of times that the test tried its fault."""
    properties = request.node.user_properties

    def tries(times: int) -> None:
        properties[:] = [(name, value) for name, value in properties if name != "tries"] + [("tries", times)]

    return tries


@pytest.fixture
def case(subtests, tries, tmp_path):
    """Enter a case of a table by its name: a subtest in an empty working directory of its own, which is returned."""
    entered = 0

    @contextmanager
    def case(name):
        nonlocal entered
        entered += 1
        tries(entered)
        folder = tmp_path / str(entered)
        folder.mkdir()
        with subtests.test(str(name)), pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            yield folder

    return case


@pytest.fixture
def bf16(monkeypatch):
    """Mixed precision, as accelerate reads it from the environment: once in a process, so its state is made anew."""
    from accelerate.state import AcceleratorState

    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def pytest_terminal_summary(terminalreporter):
    tried, lost, cases = Counter(), Counter(), Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            known = dict(getattr(report, "user_properties", ()))
            if "fault" not in known or report.when != "call":
                continue
            if isinstance(report, pytest.SubtestReport):  # comes before the report of its test
                cases[report.nodeid] += outcome == "failed"
                continue
            tried[known["fault"]] += known.get("tries", 1)
            if outcome == "failed":
                lost[known["fault"]] += cases[report.nodeid] or known.get("tries", 1)
    if not tried:
        return
    terminalreporter.write_sep("-", "faults")
    rows = [("fault", "times tried", "times survived", "lost"), ("---", "--:", "--:", "---")]
    rows += [(n, tried[n], tried[n] - lost[n], "see above" if lost[n] else "nothing") for n in tried]
    for row in rows:
        terminalreporter.write_line("| " + " | ".join(map(str, row)) + " |")
