"""A covering array: few settings in which every two values of two factors meet (Kuhn, Kacker and Lei, 2013)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import Any


def pairwise(factors: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """Yield settings {factor: value} until each pair of values has occurred; greedy, the same ones each time."""
    levels = {name: [(name, i) for i in range(len(values))] for name, values in factors.items()}
    pairs = (frozenset(pair) for a, b in combinations(levels.values(), 2) for pair in product(a, b))
    left = dict.fromkeys(pairs)  # a set that keeps its order
    while left:
        row = dict(next(iter(left)))
        for name in levels:
            if name not in row:
                new = {level: sum(frozenset((level, other)) in left for other in row.items()) for level in levels[name]}
                row[name] = max(new, key=new.get)[1]
        for pair in combinations(row.items(), 2):
            left.pop(frozenset(pair), None)
        yield {name: factors[name][row[name]] for name in factors}
