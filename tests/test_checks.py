"""Checks of numbers and names: what is allowed comes back as a plain value, the rest is refused by name."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftlab.checks import choice, interval, is_int, real, whole
from ftlab.errors import DataError, RecipeError

ANYTHING = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.lists(st.integers()))


def test_what_is_refused_is_named_with_what_is_allowed():
    inf, nan = math.inf, math.nan
    cases = [
        (lambda: whole("n", 0, 1), "n: 0 is out of range; allowed: 1 or more"),
        (lambda: whole("n", 9, 1, 8), "n: 9 is out of range; allowed: 1 to 8"),
        (lambda: whole("n", 2**31, 1), "n: 2147483648 is out of range; allowed: 1 to 2147483647"),
        (lambda: whole("n", 2.0, 1, 8), "n: 2.0 is not a whole number; allowed: 1 to 8"),
        (lambda: whole("n", True), "n: True is not a whole number; allowed: 0 or more"),
        (lambda: whole("n", None), "n: None is not a whole number; allowed: 0 or more"),
        (lambda: whole("n", "3", optional=True), "n: '3' is not a whole number; allowed: 0 or more or None"),
        (lambda: real("x", -1e-9), "x: -1e-09 is out of range; allowed: [0, inf)"),
        (lambda: real("x", 0, above=True), "x: 0 is out of range; allowed: (0, inf)"),
        (lambda: real("x", 1, 0, 1, below=True), "x: 1 is out of range; allowed: [0, 1)"),
        (lambda: real("x", 1.5, 0, 1, optional=True), "x: 1.5 is out of range; allowed: [0, 1] or None"),
        (lambda: real("x", nan, 0, 1), "x: nan is not a finite number; allowed: [0, 1]"),
        (lambda: real("x", inf), "x: inf is not a finite number; allowed: [0, inf)"),
        (lambda: real("x", 10**400), f"x: {10**400} is not a finite number; allowed: [0, inf)"),
        (lambda: real("x", "1"), "x: '1' is not a finite number; allowed: [0, inf)"),
        (lambda: real("x", False), "x: False is not a finite number; allowed: [0, inf)"),
        (lambda: choice("c", "lineer", ("linear", "cosine")),
         "c: 'lineer' is unknown; did you mean 'linear'? Known: linear, cosine"),
        (lambda: choice("c", None, ("linear",)), "c: None is unknown. Known: linear"),
    ]  # fmt: skip
    wrong = []
    for call, message in cases:
        try:
            wrong.append(f"{call()!r} was returned, expected: {message}")
        except RecipeError as error:
            wrong += [f"{error}, expected: {message}"] * (str(error) != message)
    assert not wrong, "\n".join(wrong)


@given(ANYTHING, st.integers(-5, 5), st.integers(0, 9), st.booleans())
def test_a_whole_number_is_returned_exactly_when_it_lies_in_the_range(value, low, size, optional):
    allowed = (value is None and optional) or (type(value) is int and low <= value <= low + size)
    try:
        found = whole("n", value, low, low + size, optional=optional)
    except RecipeError:
        assert not allowed
    else:
        assert allowed and found == value and type(found) in (int, type(None))


@given(ANYTHING, st.booleans(), st.booleans(), st.booleans())
def test_a_number_is_returned_exactly_when_it_lies_in_the_interval(value, above, below, optional):
    allowed = value is None and optional
    if type(value) in (int, float) and math.isfinite(value):
        allowed = (0 < value if above else 0 <= value) and (value < 1 if below else value <= 1)
    try:
        found = real("x", value, 0, 1, above=above, below=below, optional=optional)
    except RecipeError:
        assert not allowed
    else:
        assert allowed and found == value and type(found) in (float, type(None))


def test_numpy_numbers_become_plain_and_the_error_is_the_one_asked_for():
    assert type(whole("n", np.int64(3))) is int and type(real("x", np.float32(0.5))) is float
    assert is_int(np.int8(1)) and not is_int(np.bool_(True)) and not is_int(1.0)
    with pytest.raises(DataError, match="^k: 0 is out of range; allowed: 1 or more"):
        whole("k", 0, 1, error=DataError)


def test_intervals_are_written_with_their_ends():
    assert [interval(0, 1), interval(0), interval(0, 1, True, True)] == ["[0, 1]", "[0, inf)", "(0, 1)"]
