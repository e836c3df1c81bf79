"""Tests of other splits of the same rows: resplit, blocks that share no row, small sets to play with."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ftlab.data.folds import deal
from ftlab.data.load import PLAY_VALIDATION_ROWS, Data, load_data
from ftlab.errors import DataError
from tests.data.test_load import assert_is_split, table

# Of the first edition: saved runs, cells and checkpoints name their data by these.
FINGERPRINTS = {
    (): "bc5d3254d4bab51ece618fd4e55ae7b47cf25f8c97f6a516b7925d68c43e8cc5",
    (("seed", 1),): "5d8a029b9206398237fe6026b3eab5c38c65d630e743d4dc9158224133c8f6b8",
    (("num_folds", 4),): "ca47c13840c94a279949259d3701ec524bbebefa4eac8dc43afea972bd843869",
    (("target", "level"),): "f268ecea00dc83b3cdc6afa6dbed06c3abba4e741f4291122a7dc7875e666cf2",
    (("target", "level"), ("task", "classification")): (
        "6d3bdff4593441ab41d87bfddad8e9d8a165c227aae0d4ca2b3470449f4eb90c"
    ),
    (("target", "genre"),): "26bcc3e707cbd4638331cb9596b6911b0c08b7029d13abe52d4a3c6fa7b67ab8",
}
FEW = "17b5ac27a455e6a766f3545d96e7732c9a768154ebc882e192738f35c6073e65"  # 50 rows of seed 3


@pytest.fixture(scope="module")
def passages():
    return load_data()


@pytest.mark.filterwarnings("ignore:.*standard deviation:UserWarning")
def test_fingerprints_are_the_first_editions(passages):
    found = {arguments: load_data("passages", **dict(arguments)).fingerprint for arguments in FINGERPRINTS}
    assert found == FINGERPRINTS
    assert passages.few_samples(50, 3).fingerprint == FEW


def classes(n: int = 300) -> Data:
    labels = np.random.default_rng(0).permutation(["a"] * (n // 2) + ["b"] * (n // 3) + ["c"] * (n - n // 2 - n // 3))
    return load_data(table(n).assign(target=labels))


# Other folds of the same rows


def test_resplit_is_load_data_with_another_seed(passages):
    again, loaded = passages.resplit(7), load_data("passages", seed=7)
    assert again.fingerprint == loaded.fingerprint != passages.fingerprint
    assert np.array_equal(again.folds, loaded.folds) and again.seed == 7 and again.texts is passages.texts
    assert passages.resplit(3377).fingerprint == passages.fingerprint
    assert_is_split(again)


def test_resplit_draws_a_sample_again(passages):
    few = passages.few_samples(100, 3).resplit(7)
    assert few.sample == (100, 3) and few.fingerprint == load_data("passages", seed=7).few_samples(100, 3).fingerprint
    play = passages.play(50).resplit(7)
    assert play.closed_test and play.fingerprint == load_data("passages", seed=7).play(50).fingerprint
    assert [len(rows) for rows in play.split(1)] == [50, PLAY_VALIDATION_ROWS, 144]


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, True, None])
def test_a_seed_out_of_range_is_refused(passages, seed):
    for again in (passages.resplit, lambda seed: passages.blocks(2, 100, seed=seed)):
        with pytest.raises(DataError, match="seed is .* whole number from 0 to 2"):
            again(seed)


# Blocks that share no row


@given(
    values=st.lists(st.integers(-5, 5), min_size=1, max_size=80),
    shares=st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(any),
    seed=st.integers(0, 1000),
)
@settings(max_examples=100, deadline=None)
def test_rows_are_dealt_in_exact_sizes_and_alike_in_target(values, shares, seed):
    n, targets = len(values), np.array(values, dtype=float)
    sizes = np.diff(np.round(np.cumsum([0, *shares]) / sum(shares) * n).astype(int))
    sets = deal(targets, sizes, seed)
    assert np.bincount(sets, minlength=len(sizes)).tolist() == sizes.tolist()
    assert np.array_equal(sets, deal(targets, sizes, seed))
    # Of the rows up to any target every set has its share, give or take what rounding costs each set.
    for value in set(values):
        up_to = targets <= value
        for i, size in enumerate(sizes):
            assert abs((up_to & (sets == i)).sum() - up_to.sum() * size / n) <= len(sizes)


def test_blocks_share_no_row_and_no_text(passages):
    frame = passages.frame.rename(columns={"excerpt": "text"})
    more = pd.concat([frame, frame.iloc[:40]], ignore_index=True)  # texts that occur twice
    data = load_data(more)
    blocks = data.blocks(4, 180)
    assert [len(block) for block in blocks] == [180] * 4
    ids = [id for block in blocks for id in block.frame["id"]]
    assert sorted(ids) == sorted(frame["id"]), "every text once"
    by_text = dict(zip(data.texts, zip(data.targets, data.standard_errors, strict=True), strict=True))
    for i, block in enumerate(blocks):
        assert (block.block, block.name, block.num_folds, block.num_duplicates) == (i, "DataFrame", 5, 0)
        assert block.texts == block.frame["text"].tolist() and list(block.frame.index) == list(range(180))
        assert [by_text[text] for text in block.texts] == [*zip(block.targets, block.standard_errors, strict=True)]
        assert_is_split(block)
    assert len({data.fingerprint, *(block.fingerprint for block in blocks)}) == 5
    assert "block 3: 180 texts" in repr(blocks[3])


def test_blocks_have_the_same_spread_of_targets(passages):
    for block in passages.blocks(6, 110):
        assert stats.ks_2samp(block.targets, passages.targets).statistic < 0.03
    for block in classes().blocks(3, 90):
        assert block.labels == ["a", "b", "c"]
        assert np.abs(np.bincount(block.targets) - [45, 30, 15]).max() <= 3
        assert_is_split(block)


def test_a_block_of_given_sizes_has_one_split(passages):
    [block, other] = passages.blocks(2, 340, sizes=(200, 60, 80))
    split = block.split(0)
    assert [len(rows) for rows in split] == [200, 60, 80]
    assert sorted(np.concatenate(split)) == list(range(340)) and "one split" in repr(block)
    for rows in split:
        assert (np.diff(rows) > 0).all() and stats.ks_2samp(block.targets[rows], block.targets).statistic < 0.05
    with pytest.raises(DataError, match="folds 0 to 0"):
        block.split(1)
    again = block.resplit(9)
    assert [len(rows) for rows in again.split(0)] == [200, 60, 80] and again.texts == block.texts
    assert len({block.fingerprint, again.fingerprint, other.fingerprint}) == 3
    assert [len(rows) for rows in block.few_samples(50).split(0)] == [50, 60, 80]
    assert [len(rows) for rows in block.play(50).split(0)] == [50, 60, 80]


def test_blocks_may_differ_in_size_and_depend_on_the_seed(passages):
    tune, confirm = passages.blocks(2, (240, 480))
    assert (len(tune), len(confirm)) == (240, 480) and not set(tune.texts) & set(confirm.texts)
    assert len(confirm.few_samples(200).split(4).train) == 200
    assert [b.fingerprint for b in passages.blocks(2, (240, 480))] == [tune.fingerprint, confirm.fingerprint]
    assert passages.blocks(2, (240, 480), seed=1)[0].texts != tune.texts


def test_the_blocks_of_a_sample_are_samples_and_a_closed_test_set_stays_closed(passages):
    for block in passages.play(50, 3).blocks(2, 200):
        assert block.closed_test and block.sample == (50, 3)
        assert [len(rows) for rows in block.split(0)] == [50, 40, 40]
    whole, few = passages.blocks(2, 200)[1], passages.few_samples(50, 3).blocks(2, 200)[1]
    assert not few.closed_test and few.texts == whole.texts
    assert few.fingerprint == whole.few_samples(50, 3).fingerprint != whole.fingerprint
    with pytest.raises(DataError, match="n: 50 is out of range; passages, block 0 has 1 to 24 training rows"):
        passages.play(50).blocks(2, 40)


def test_the_blocks_of_a_fixed_split_need_sizes(passages):
    [block, _] = passages.blocks(2, 100, sizes=(60, 20, 20))
    with pytest.raises(DataError, match="sizes: None .* one fixed split.*; give the numbers of training"):
        block.blocks(2, 40)
    assert [len(rows) for rows in block.blocks(2, 40, sizes=(20, 10, 10))[1].split(0)] == [20, 10, 10]


def test_the_plan_of_the_main_study_fits():
    """Ten blocks of 760 rows of 10,605, and one to tune on."""
    n = 10_605
    data = load_data(table(n))
    blocks = data.blocks(11, 760, sizes=(432, 128, 200))
    texts = [set(block.texts) for block in blocks]
    assert len(set.union(*texts)) == 11 * 760
    assert {tuple(map(len, block.split(0))) for block in blocks} == {(432, 128, 200)}


def test_bad_blocks_are_refused(passages):
    cases = {
        "none": ((0, 10), {}, "k: 0"),
        "half": ((1.5, 10), {}, "k: 1.5"),
        "no rows": ((2, 0), {}, "n: 0"),
        "n of another length": ((3, (10, 10)), {}, "n: .*or 3 such numbers"),
        "n a text": ((2, "20"), {}, "n: '20'"),
        "n none": ((2, None), {}, "n: None"),
        "too many": ((3, 300), {}, "passages: 3 blocks of n = 300 rows need 900 different texts, and there are 720"),
        "sizes of another sum": ((2, 100), {"sizes": (60, 20, 21)}, r"sizes: \(60, 20, 21\).*sum n = 100"),
        "sizes of two": ((2, 100), {"sizes": (80, 20)}, "sizes: .*training, validation and test"),
        "no test rows": ((2, 100), {"sizes": (80, 20, 0)}, "sizes: .*1 or more"),
        "no number": ((2, 100), {"sizes": 3}, "sizes: 3"),
        "too few for folds": ((2, 3), {}, "block 0: 3 rows: too few for 5 folds"),
    }
    wrong = []
    for case, (arguments, options, message) in cases.items():
        try:
            passages.blocks(*arguments, **options)
            wrong.append(f"{case}: not refused")
        except DataError as error:
            wrong += [] if pd.Series([str(error)]).str.contains(message)[0] else [f"{case}: {error}"]
    assert not wrong, "\n".join(wrong)


# Sets to play with


def test_play_is_few_samples_with_a_fixed_validation_and_a_closed_test_set(passages):
    for fold in range(5):
        few, play = passages.few_samples(50, 2).split(fold), passages.play(50, 2).split(fold)
        whole, other = passages.split(fold), passages.play(200).split(fold)
        assert np.array_equal(play.train, few.train) and np.array_equal(play.test, whole.test)
        assert len(play.validation) == PLAY_VALIDATION_ROWS == 64 and set(play.validation) < set(whole.validation)
        assert np.array_equal(play.validation, other.validation), "the same for every n and seed"
        assert (np.diff(play.validation) > 0).all()
    assert passages.play(50).closed_test and not passages.closed_test and not passages.few_samples(50).closed_test
    prints = [passages, passages.few_samples(50), passages.play(50), passages.play(50, 1), passages.play(51)]
    assert len({data.fingerprint for data in prints}) == 5


def test_play_takes_all_of_a_small_validation_set():
    data = load_data(table(60))
    assert np.array_equal(data.play(10).split(0).validation, data.split(0).validation)
    with pytest.raises(DataError, match="n: 37 .*1 to 36 training rows"):
        data.play(37)


def test_other_splits_share_what_was_tokenised(passages):
    for other in (passages.few_samples(50), passages.play(50), passages.resplit(1)):
        assert other._tokenised is passages._tokenised
    assert passages.blocks(2, 100)[0]._tokenised is not passages._tokenised
