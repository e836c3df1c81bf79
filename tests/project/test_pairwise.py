"""The covering array with which the tests combine settings covers what it says, in few rows."""

from itertools import combinations

from tests.pairwise import pairwise


def test_every_two_values_of_two_factors_meet_in_few_rows():
    factors = {"a": "xyz", "b": "xyz", **{f"switch {i}": (False, True) for i in range(10)}}
    rows = list(pairwise(factors))
    for first, second in combinations(factors, 2):
        met = {(row[first], row[second]) for row in rows}
        assert met == {(a, b) for a in factors[first] for b in factors[second]}, (first, second)
    assert 9 <= len(rows) <= 15, "9 are needed for the two of three values; all settings would be 9,216"
    assert rows == list(pairwise(factors)), "the same rows each time"
