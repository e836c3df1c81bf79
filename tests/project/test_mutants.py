"""Every deliberate fault of tests/mutants still fits the code, and its tests are there."""

from pathlib import Path

from tests.mutants.__main__ import mutated
from tests.mutants.table import MUTANTS

ROOT = Path(__file__).resolve().parents[2]


def test_every_fault_fits_the_code(case):
    assert len(MUTANTS) == len({mutant.name for mutant in MUTANTS}) >= 20
    for mutant in MUTANTS:
        with case(mutant.name):
            path, faulty = mutated(ROOT, mutant)
            compile(faulty, path, "exec")
            assert all((ROOT / test).is_file() for test in mutant.tests)
