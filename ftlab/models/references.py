"""What a score is compared with: the mean, surface features, character n-grams, a linear probe on the frozen model.

Fine-tuning is worth what it adds to these. A linear probe (Alain and Bengio 2017, "Understanding intermediate layers
using linear classifier probes") reads the frozen model's hidden states at every depth, and costs one forward pass a
text. The same linear models can start the head of a model that is then fine-tuned: linear probing, then fine-tuning
(Kumar et al. 2022, "Fine-tuning can distort pretrained features and underperform out-of-distribution").
"""

from __future__ import annotations

import hashlib
import re
import time
import warnings
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from scipy.sparse import issparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from torch import nn

from ftlab.data import Data
from ftlab.data.batches import Batches, evaluation_batches
from ftlab.errors import ModelError
from ftlab.evaluate import score_predictions
from ftlab.models.heads import final_inputs, final_linear
from ftlab.models.load import load_model, load_tokenizer, tiny_model
from ftlab.preset import is_tiny, shrink
from ftlab.recipe import Recipe

PENALTIES = np.logspace(-2, 5, 22)
"""Ridge penalties that the linear models choose among, by leave-one-out error on the training set."""
STRENGTHS = np.logspace(-5, 1, 7)
"""Inverse penalties of the logistic models, chosen by cross-validation within the training set."""
SMALLEST_SPREAD = 1e-3
"""A feature's standard deviation is not taken to be less than this share of the median one: one of MiniLM's dimensions
is constant but for 5e-33, and would be blown up to the size of the others."""
KEPT = 6
_states: OrderedDict[tuple, np.ndarray] = OrderedDict()


def references(
    data: Data, fold: int = 0, model: str = "minilm", *, max_length: int = 256, score_test: bool = True
) -> pd.DataFrame:
    """Fit the reference models on a fold's training set; one row a model, scores on its validation and test set.

    Index: "mean" (the training mean, or the most frequent class), "surface" (ridge, or logistic regression, on ten
    counts such as letters a word), "tfidf" (the same on TF-IDF weights of characters in groups of two to four that
    stand in two training texts or more; where there are none, the prediction of "mean"), "frozen" (the same on
    `frozen_states` of `model`). Columns: `validation` and `test` in the unit of `ftlab.Run`'s scores (root mean squared
    error, or macro F1), `seconds`. Nothing is chosen on validation or test. score_test: False leaves the test set
    closed, its column NaN. The hidden states are kept for the next call with the same texts.

    Raises DataError for a fold that is not there, ModelError as `load_model` does and for a model without hidden
    states.
    """
    split = data.split(fold)
    if is_tiny():
        split = shrink(Recipe(), split)[1]
    train, validation, test = split
    texts = np.array(data.texts, dtype=object)

    def constant() -> np.ndarray:
        return np.zeros((len(data), 1))

    def surface() -> np.ndarray:
        return np.array([surface_features(text) for text in data.texts])

    def characters() -> np.ndarray:
        weights = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), min_df=2, sublinear_tf=True)
        try:
            weights.fit(texts[train])
        except ValueError:  # no group of characters stands in two training texts
            return constant()
        return weights.transform(texts)

    def frozen() -> np.ndarray:
        return frozen_states(data, model, max_length)

    rows = {}
    for name, features in (("mean", constant), ("surface", surface), ("tfidf", characters), ("frozen", frozen)):
        began = time.perf_counter()
        inputs = features()
        weight, bias = fit_linear(inputs[train], data.targets[train], data.labels and len(data.labels))
        scores = {}
        for part, chosen in (("validation", validation), ("test", test)):
            logits = inputs[chosen] @ weight.T + bias
            predictions = logits[:, 0] if data.labels is None else logits.argmax(axis=1)
            scores[part] = score_predictions(data.task, predictions, data.targets[chosen], len(data.labels or [0]))
        if not score_test:
            scores["test"] = np.nan
        rows[name] = {**scores, "seconds": time.perf_counter() - began}
    return pd.DataFrame.from_dict(rows, orient="index")


def fit_linear(
    inputs: np.ndarray, targets: np.ndarray, num_classes: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Fit a penalised linear model to inputs (n, d): (weight (k, d), bias (k,)) with k logits a row.

    Ridge regression for values (k = 1), multinomial logistic regression for `num_classes` classes (k of them). Inputs
    are standardised for the fit, with a floor under their spread, and weight and bias are for the inputs as they came;
    a sparse matrix is taken as it is. The penalty is chosen within the rows given.
    """
    k = 1 if num_classes is None else num_classes
    if issparse(inputs):
        center, scale = np.zeros(inputs.shape[1]), np.ones(inputs.shape[1])
        standard = inputs
    else:
        inputs = np.asarray(inputs, dtype=np.float64)
        center, spread = inputs.mean(axis=0), inputs.std(axis=0)
        scale = np.maximum(spread, max(SMALLEST_SPREAD * float(np.median(spread)), 1e-12))
        standard = (inputs - center) / scale
    if num_classes is None:
        if not standard.any() if not issparse(standard) else standard.nnz == 0:
            return np.zeros((1, standard.shape[1])), np.array([targets.mean()])
        ridge = RidgeCV(PENALTIES).fit(standard, targets)
        coefficients, intercept = ridge.coef_[None], np.atleast_1d(ridge.intercept_)
    else:
        present, counts = np.unique(targets, return_counts=True)
        coefficients, intercept = np.zeros((k, standard.shape[1])), np.full(k, -1e3)
        intercept[present] = np.log(counts / counts.sum())
        folds = min(3, counts.min())
        if len(present) > 1 and folds > 1 and (issparse(standard) or standard.any()):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", (ConvergenceWarning, FutureWarning))
                found = LogisticRegressionCV(Cs=STRENGTHS, cv=folds, scoring="neg_log_loss", max_iter=1000).fit(
                    standard, targets
                )
            two = len(present) == 2  # scikit-learn gives one logit then, of the second class against the first
            coefficients[present] = np.concatenate([-found.coef_, found.coef_]) / 2 if two else found.coef_
            intercept[present] = np.append(-found.intercept_, found.intercept_) / 2 if two else found.intercept_
    weight = coefficients / scale
    return weight, intercept - weight @ center


def surface_features(text: str) -> list[float]:
    """Count ten things on a text's surface, such as readability formulas use (Flesch 1948): no meaning is read."""
    words = re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", text) or ["-"]
    sentences = max(1, len(re.findall(r"[.!?]+(?:\s|$)", text)))
    letters = sum(map(len, words))
    syllables = sum(max(1, len(re.findall(r"[aeiouy]+", word.lower()))) for word in words)
    return [
        float(len(words)),
        float(sentences),
        len(words) / sentences,
        letters / len(words),
        sum(len(word) > 6 for word in words) / len(words),
        syllables / len(words),
        len({word.lower() for word in words}) / len(words),
        sum(not char.isalnum() and not char.isspace() for char in text) / len(words),
        sum(char.isupper() for char in text) / len(words),
        sum(char.isdigit() for char in text) / len(words),
    ]


def frozen_states(data: Data, model: str = "minilm", max_length: int = 256) -> np.ndarray:
    """Return what the frozen model makes of each text: (texts, (L + 1) H) float32.

    The hidden states at every depth, from the embeddings' output to the last layer's, each averaged over the real
    tokens and laid side by side. Kept in memory for the next call with the same texts (the last six sets of them).
    Raises ModelError for a model that gives no hidden states.
    """
    digest = hashlib.sha256("\0".join(data.texts).encode()).hexdigest()
    key = (digest, model, max_length, is_tiny())
    if key not in _states:
        while len(_states) >= KEPT:
            _states.popitem(last=False)
        _states[key] = _frozen_states(data, model, max_length)
    _states.move_to_end(key)
    return _states[key]


def _frozen_states(data: Data, name: str, max_length: int) -> np.ndarray:
    recipe = Recipe(model=name, head="mean", max_length=max_length)
    if is_tiny():
        recipe, model, tokenizer = recipe.but(max_length=48), tiny_model(recipe), load_tokenizer("minilm")
    else:
        model, tokenizer = load_model(recipe), load_tokenizer(name)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batches = Batches(data.tokenise(tokenizer, recipe.max_length), np.arange(len(data)), tokenizer, device=device)
    backbone = model.to(device).eval().backbone
    parts = evaluation_batches(batches.lengths, 64)
    outputs = []
    with torch.inference_mode():
        for rows in parts:
            batch = batches.make(rows)
            batch.pop("labels")
            hidden = getattr(backbone(**batch, output_hidden_states=True), "hidden_states", None)
            if not hidden:
                raise ModelError(f"model {name!r}: it gives no hidden states, so a probe has nothing to read")
            weight = batch["attention_mask"].unsqueeze(-1).to(hidden[0].dtype)
            means = [(states * weight).sum(1) / weight.sum(1) for states in hidden]
            outputs.append(torch.cat(means, dim=1).float().cpu().numpy())
    return np.concatenate(outputs)[np.argsort(np.concatenate(parts))]


def start_from_probe(
    model: nn.Module, batches: Batches, rows: np.ndarray, targets: np.ndarray, num_classes: int | None = None
) -> None:
    """Set the final linear layer to the probe's solution on its own inputs, of the model as it is (Kumar et al. 2022).

    rows: numbers of the training rows. targets (n,): theirs, values or class ids. Raises ModelError if the model ends
    in no linear layer.
    """
    linear = final_linear(model)
    was_training = model.training
    model.eval()
    parts = evaluation_batches(batches.lengths[rows], 64)
    inputs = torch.cat([final_inputs(model, batches.make(rows[part])) for part in parts]).float().cpu().numpy()
    model.train(was_training)
    weight, bias = fit_linear(inputs[np.argsort(np.concatenate(parts))], targets, num_classes)
    with torch.no_grad():
        linear.weight.copy_(torch.as_tensor(weight))
        if linear.bias is not None:
            linear.bias.copy_(torch.as_tensor(bias))


def probe_scores(states: np.ndarray, data: Data, folds: Sequence[int]) -> np.ndarray:
    """Score a probe on given states (texts, d), such as one depth's, on the test set of each fold: (folds,)."""
    scores = []
    for fold in folds:
        train, _, test = data.split(fold)
        weight, bias = fit_linear(states[train], data.targets[train], data.labels and len(data.labels))
        logits = states[test] @ weight.T + bias
        predictions = logits[:, 0] if data.labels is None else logits.argmax(axis=1)
        scores.append(score_predictions(data.task, predictions, data.targets[test], logits.shape[1]))
    return np.array(scores)
