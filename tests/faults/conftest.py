"""The table of faults: what was tried, how often, how often it was survived. Printed after the tests of this folder.

A test marked `fault("name")` counts as one try; one that tries more says how many with the fixture `tries`.
"""

from __future__ import annotations

from collections import Counter

import pytest


def pytest_configure(config):
    for line in (
        "fault(name): the row of the table of faults that this test belongs to",
        "slow: takes half a minute or more",
        "soak: repeats for FTLAB_SOAK seconds",
    ):
        config.addinivalue_line("markers", line)


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
