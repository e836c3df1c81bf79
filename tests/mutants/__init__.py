"""Deliberate faults that a test must notice, put one after the other into a copy: `python -m tests.mutants`."""
