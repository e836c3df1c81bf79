"""How fast ftlab is, always against something else measured in turn with it: `python -m tests.benchmarks`."""
