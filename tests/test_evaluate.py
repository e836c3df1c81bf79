"""Scores over all examples, against formulas and counter-examples worked by hand."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ftlab.evaluate import predict_logits, scores


def test_rmse_is_over_all_examples_and_not_a_mean_of_batches():
    targets, predictions = np.array([0.0, 0.0, 0.0]), np.array([[3.0], [0.0], [0.0]])
    result = scores("regression", predictions, targets)
    assert result["score"] == pytest.approx(math.sqrt(9 / 3))  # batches of 2 and 1 would average 1.06
    assert result["loss"] == pytest.approx(3.0)


def test_classification_by_hand():
    logits = np.log(np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1]]))
    result = scores("classification", logits, np.array([0, 1, 1, 1]))
    assert result["accuracy"] == 0.75
    # class 0: precision 1/2, recall 1 -> 2/3; class 1: precision 1, recall 2/3 -> 4/5; class 2 never occurs -> 0
    assert result["score"] == pytest.approx((2 / 3 + 4 / 5 + 0) / 3)
    assert result["loss"] == pytest.approx(-np.log([0.8, 0.7, 0.3, 0.8]).mean())


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("task, width", [("regression", 1), ("classification", 2)])
def test_values_that_are_not_finite(bad, task, width):
    logits = np.zeros((3, width))
    logits[1, 0] = bad
    assert math.isnan(scores(task, logits, np.array([0, 1, 0]))["score"])


def test_prediction_leaves_the_model_in_its_mode_and_ignores_labels():
    class Doubler(torch.nn.Module):
        def forward(self, x):
            assert not self.training and not torch.is_grad_enabled()
            return SimpleNamespace(logits=2 * x)

    model = Doubler().train()

    def make_batch(rows):
        return {"x": torch.tensor(rows, dtype=torch.float32)[:, None], "labels": torch.zeros(len(rows))}

    logits = predict_logits(model, make_batch, [np.array([3, 1]), np.array([2])])
    assert logits.dtype == np.float64 and logits[:, 0].tolist() == [6, 2, 4]
    assert model.training
