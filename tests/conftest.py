"""What holds for every test: no network, the real preset unless asked otherwise, fixed examples; the table of faults.

A test marked `fault("name")` counts as one try in that table, which is printed after the tests; one that tries more
often says how many times with the fixture `tries`.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest
from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"  # read once, when huggingface_hub is imported
os.environ.pop("FTLAB_PRESET", None)

# A slow machine is no failure, and what was green stays green until the code changes.
settings.register_profile("ftlab", deadline=None, derandomize=True)
settings.load_profile("ftlab")


@pytest.fixture(autouse=True)
def _fault(request, record_property):
    """Note the row of this test where the terminal summary finds it, with several processes too."""
    marker = request.node.get_closest_marker("fault")
    if marker is not None:
        record_property("fault", marker.args[0])


@pytest.fixture
def tries(record_property):
    """Call with the number of times that the test tried its fault."""
    return lambda times: record_property("tries", times)


@pytest.fixture
def bf16(monkeypatch):
    """Mixed precision, as accelerate reads it from the environment: once in a process, so its state is made anew."""
    from accelerate.state import AcceleratorState

    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def pytest_terminal_summary(terminalreporter):
    tried, survived = Counter(), Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            known = dict(getattr(report, "user_properties", ()))
            if "fault" in known and report.when == "call":
                tried[known["fault"]] += known.get("tries", 1)
                survived[known["fault"]] += known.get("tries", 1) * (outcome == "passed")
    if not tried:
        return
    terminalreporter.write_sep("-", "faults")
    rows = [("fault", "times tried", "times survived", "lost"), ("---", "--:", "--:", "---")]
    rows += [(n, tried[n], survived[n], "nothing" if tried[n] == survived[n] else "see above") for n in tried]
    for row in rows:
        terminalreporter.write_line("| " + " | ".join(map(str, row)) + " |")
