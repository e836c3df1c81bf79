"""Histories: columns, round trips that keep every bit, damaged files."""

import json

import numpy as np
import pytest

from ftlab.errors import CheckpointError
from ftlab.history import History


@pytest.fixture
def history():
    history = History(["embeddings", "layer.0", "head"], steps_per_epoch=3, total_steps=6, swa_step=3)
    generator = np.random.default_rng(0)
    for step in range(5):
        loss, norm = generator.random(2).tolist()
        history.append(loss=loss, grad_norm=norm, lr=generator.random(3).tolist(), seconds=0.1 * step)
    history.evals.append({"step": 3, "epoch": 1.0, "score": 0.7, "loss": 0.49, "seconds": 0.1, "best": True})
    history.evals.append(
        {
            "step": 5,
            "epoch": 5 / 3,
            "score": 0.8,
            "loss": 0.64,
            "seconds": 0.1,
            "best": False,
            "swa_score": 0.6,
        }
    )
    return history


def test_columns(history):
    assert len(history) == 5
    assert history.loss.shape == history.grad_norm.shape == history.seconds.shape == (5,)
    assert history.lr.shape == (5, 3)
    generator = np.random.default_rng(0)
    assert history.loss[0] == generator.random(2)[0]
    assert history.lr[0].tolist() == generator.random(3).tolist()
    assert history.best["step"] == 3
    assert not history.higher_is_better


def test_an_empty_history_has_empty_columns(tmp_path):
    empty = History(["embeddings", "head"], steps_per_epoch=1, total_steps=1)
    assert empty.loss.shape == (0,) and empty.lr.shape == (0, 2) and empty.best is None
    assert len(empty.to_frame()) == 0
    empty.to_parquet(tmp_path / "h.parquet")
    assert History.from_parquet(tmp_path / "h.parquet") == empty == History.from_json(empty.to_json())


def test_a_column_is_the_readers_own_and_a_history_grows_beyond_any_room():
    """Columns read earlier stay as they were, and writing into one changes no history."""
    history = History(["embeddings", "head"], steps_per_epoch=1000, total_steps=1000)
    earlier = []
    for step in range(1000):
        history.append(loss=step, grad_norm=2.0 * step, lr=[step + 0.25, step + 0.5], seconds=0.5 * step)
        if step in (62, 63, 64, 500):
            earlier.append((history.loss, history.lr))
    assert [len(loss) for loss, _ in earlier] == [63, 64, 65, 501]
    for loss, lr in earlier:
        assert loss.tolist() == list(range(len(loss))) and lr[:, 1].tolist() == [step + 0.5 for step in loss]
        loss[:], lr[:] = -1, -1
    assert history.loss.tolist() == list(range(1000)) and history.lr[999].tolist() == [999.25, 999.5]
    assert history.grad_norm[-1] == 1998.0 and history.seconds[-1] == 499.5
    assert all(column.flags.c_contiguous for column in (history.loss, history.lr))
    assert History.from_json(history.to_json()) == history


def test_a_row_with_another_number_of_rates_is_refused():
    history = History(["embeddings", "head"], steps_per_epoch=1, total_steps=1)
    with pytest.raises(ValueError):
        history.append(loss=1.0, grad_norm=1.0, lr=[0.1, 0.2, 0.3], seconds=0.0)
    assert len(history) == 0


def test_to_frame_places_each_evaluation_in_the_row_it_followed(history):
    frame = history.to_frame()
    assert frame["step"].tolist() == [0, 1, 2, 3, 4]
    assert frame["lr.layer.0"].tolist() == history.lr[:, 1].tolist()
    assert frame["validation_score"].dropna().to_dict() == {2: 0.7, 4: 0.8}
    assert frame["validation_swa_score"].dropna().to_dict() == {4: 0.6}


def test_round_trips_keep_every_bit(history, tmp_path):
    history.append(loss=float("nan"), grad_norm=float("inf"), lr=[0.1, 0.2, 0.3], seconds=1.0)
    history.to_json(tmp_path / "h.json")
    history.to_parquet(tmp_path / "h.parquet")
    for back in (
        History.from_json(history.to_json()),
        History.from_json(tmp_path / "h.json"),
        History.from_json(str(tmp_path / "h.json")),
        History.from_parquet(tmp_path / "h.parquet"),
    ):
        assert back == history
        np.testing.assert_array_equal(back.seconds, history.seconds)
        assert back.evals == history.evals


def test_equality_ignores_wall_time_and_nothing_else(history):
    values = json.loads(history.to_json())
    values["rows"][0][2] += 1.0
    values["evals"][0]["seconds"] = 9.0
    assert History.from_dict(values) == history
    values["rows"][0][0] = np.nextafter(values["rows"][0][0], 1.0)
    assert History.from_dict(values) != history


@pytest.mark.parametrize("text", ["", "{", "{}", '{"layers": 3}', "[]", "no such file.json"])
def test_damaged_json(text):
    with pytest.raises(CheckpointError, match="history"):
        History.from_json(text)


def test_rows_of_the_wrong_width(history):
    values = history.to_dict()
    values["rows"][1] = values["rows"][1][:-1]
    with pytest.raises(CheckpointError, match="damaged"):
        History.from_dict(values)


def test_damaged_parquet(history, tmp_path):
    path = tmp_path / "h.parquet"
    path.write_bytes(b"PAR1 no PAR1")
    with pytest.raises(CheckpointError, match="h.parquet"):
        History.from_parquet(path)
    history.to_frame().to_parquet(path)  # a Parquet file, but nobody's history
    with pytest.raises(CheckpointError, match="h.parquet"):
        History.from_parquet(path)
