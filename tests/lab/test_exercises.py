"""Exercises: right answers pass, plausible wrong ones get a hint, answers of the wrong kind a typed error."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from ftlab import PAPER, ExerciseError, Recipe, clinic, exercises
from ftlab.lab.bench.rows import Row
from ftlab.lab.panels import CurePanel
from tests.fake_run import make_run

RUNS = clinic.load(Path(__file__).resolve().parents[2] / "data" / "results" / "clinic.jsonl")

QUIZ = {
    "accumulation steps": 8,
    "scaled rate": 4e-5,
    "lowest rate": 6e-6,
    "states": 2,
    "epoch by loss": 1,
    "epoch by accuracy": 2,
}


def overfitted(rise):
    """A log whose training loss falls to 0.05 while the validation loss turns at 0.4 and rises, as 10.3 wants it."""
    log = [{"step": step, "loss": max(0.05, 1 - step / 30)} for step in range(1, 61)]
    looks = [0.7, 0.4, 0.4 + rise, 0.4 + 2 * rise, 0.4 + 3 * rise]
    return log + [{"step": 12 * i, "eval_loss": loss} for i, loss in enumerate(looks, start=1)]


def by_group(groups, num_folds):
    """Deal whole groups out, the largest first, each to the smallest fold, as exercise 11.1 wants it."""
    names, counts = np.unique(groups, return_counts=True)
    folds, sizes = np.empty(len(groups), dtype=int), np.zeros(num_folds)
    for i in np.argsort(-counts):
        fold = sizes.argmin()
        folds[groups == names[i]] = fold
        sizes[fold] += counts[i]
    return folds


def clinic_bench(*kinds):
    """A bench of the clinic with recorded runs of these kinds in its table, as if they had been trained there."""
    bench = CurePanel("no warm-up")
    records = {"sick": "no warm-up", "slow": "plain SGD at 2e-5", "healthy": "healthy", "repaired": "healthy"}
    changes = {"sick": {}, "slow": {"lr": 2e-5}, "healthy": {"lr": 1e-4}, "repaired": {"data": "repaired"}}
    settings = {name: control.value for name, control in bench.controls.items()}
    for i, kind in enumerate(kinds, start=1):
        [kept] = [kept for kept in RUNS if kept.case == records[kind] and kept.seed == 0]
        row = Row(f"run {i}", kept.recipe, changes[kind], None, settings, clinic.passages(0), status="completed")
        row.history = kept.history
        bench.rows.append(row)
    return bench


def ended(recipe, score, averaged=None):
    """A run whose last evaluation, its best, has this score, and this one of its averaged weights."""
    run = make_run(recipe)
    run.history.evals[-1].update({"score": score} if averaged is None else {"score": score, "swa_score": averaged})
    return run


LOW = Recipe(epochs=3, lr=2e-5)
BERT = Recipe(epochs=3, optimizer="bertadam", lr=3e-5)


def two_classes(losses, score):
    """A run of two classes with these validation losses, whose best macro F1 is `score`."""
    run = make_run(Recipe(epochs=len(losses)), metric="macro_f1")
    for each, loss in zip(run.history.evals, losses, strict=True):
        each.update(loss=loss, score=score)
    return run


NEUTRAL, AVERAGING = Recipe(epochs=3), Recipe(epochs=3, swa_start=1)
HIGH = Recipe(epochs=3, lr=1e-3)
RIGHT = {
    "04.a": (ended(NEUTRAL, 0.2), ended(NEUTRAL.but(reinit_layers=5), 0.26)),
    "05.a": ended(AVERAGING, 0.2, 0.23),
    "01.1": 56,
    "01.2": lambda lengths: 1 - lengths.mean() / lengths.max(),
    "01.3": Recipe(lr=5e-5, schedule="cosine", epochs=5),
    "02.a": (ended(Recipe(epochs=3), 0.2), ended(Recipe(epochs=3, layer_decay=0.8), 0.27)),
    "02.1": Recipe(group_lrs=(0, 0, 2e-4)),
    "02.2": lambda groups: [
        {
            "params": [p for g in groups if (g["lr"], g["weight_decay"]) == key for p in g["params"]],
            "lr": key[0],
            "weight_decay": key[1],
        }
        for key in {(g["lr"], g["weight_decay"]) for g in groups}
    ],
    "02.3": Recipe(lr=0.75e-3, head_lr=1e-3, layer_decay=0.75),
    "03.a": (ended(HIGH, 0.2), ended(HIGH.but(warmup=0.2), 0.19)),
    "03.1": 5,
    "03.2": lambda step, total, warmup, decay: min(
        1.0, step / warmup if warmup else 1.0, (total - step) / decay if decay else 1.0
    ),
    "03.3": 3.162,
    "04.1": 5 * (4 * (768 * 768 + 768) + 2 * 768 * 3072 + 3072 + 768 + 4 * 768) + 768 * 768 + 768,
    "04.2": lambda before, after: [name for name in before if torch.equal(before[name], after[name])],
    "04.3": Recipe(reinit_layers=3),
    "05.1": lambda s, k: s * (k - 1) / 2,
    "05.2": lambda mean_all, k_all, mean_late, k_late: (k_all * mean_all - k_late * mean_late) / (k_all - k_late),
    "05.3": PAPER["llrd+warmup+swa"].but(swa_start=4, swa_lr=None),
    "06.1": 13,
    "06.2": lambda scores, patience: keep(scores, patience),
    "06.3": 10,
    "07.1": 116,
    "07.2": lambda p: holm(p),
    "07.3": lambda differences, test, train: corrected_interval(differences, test / train),
    "08.a": ended(LOW, 0.6),
    "08.b": two_classes([0.5, 0.3, 0.32], 0.9),
    "08.1": QUIZ,
    "08.2": lambda gradients, sizes: sum(n * g for n, g in zip(sizes, gradients, strict=True)) / sum(sizes),
    "08.3": Recipe(batch_size=8, gradient_accumulation_steps=8, lr=8e-4),
    "09.a": ([ended(BERT.but(optimizer="adamw"), 0.4)], ended(BERT, 0.41)),
    "09.1": 63,
    "09.2": lambda rate, step: rate * (1 - 0.999 ** (step + 1)) ** 0.5 / (1 - 0.9 ** (step + 1)),
    "09.3": Recipe(
        optimizer="bertadam",
        warmup=11,
        schedule="warmup_linear_decay_exp",
        schedule_args={"decay_rate": 0.25, "decay_steps": 54},
    ),
    "10.1": clinic_bench("sick", "slow", "healthy"),
    "10.2": lambda train, test: np.mean((test - np.mean(train)) ** 2),
    "10.3": overfitted(0.1),
    "11.1": by_group,
    "11.2": lambda groups, schedule, step: set_rates(groups, schedule.lr[step], schedule.layers),
    "11.3": Recipe(model="roberta-base", lr=2e-5, layer_decay=0.8**0.5),
}
WRONG = {
    "04.a": [
        (ended(NEUTRAL, 0.2), ended(NEUTRAL.but(reinit_layers=6), 0.3)),
        (ended(NEUTRAL, 0.2), ended(NEUTRAL.but(reinit_layers=5), 0.24)),
        (ended(NEUTRAL, 0.2), ended(NEUTRAL.but(reinit_layers=5, lr=1e-3), 0.3)),
        (ended(NEUTRAL, 0.2), ended(NEUTRAL, 0.3)),
        (ended(NEUTRAL.but(reinit_layers=1), 0.2), ended(NEUTRAL.but(reinit_layers=2), 0.3)),
        (ended(NEUTRAL, 0.2), make_run(NEUTRAL.but(reinit_layers=2), steps_per_epoch=4)),
    ],
    "05.a": [ended(NEUTRAL, 0.2), ended(AVERAGING, 0.2, 0.21), ended(AVERAGING, 0.23, 0.2)],
    "01.1": [216, 54, 14, -1],
    "01.2": [
        lambda lengths: lengths.mean() / lengths.max(),
        lambda lengths: 1 - lengths.mean() / 200,
        lambda lengths: 0.0,
        lambda lengths: float("nan"),
    ],
    "01.3": [
        Recipe(lr=5e-5, schedule="cosine"),
        Recipe(epochs=5, lr=5e-5),
        Recipe(epochs=5, schedule="cosine"),
    ],
    "02.a": [
        (ended(Recipe(epochs=3), 0.2), ended(Recipe(epochs=3, layer_decay=0.7), 0.3)),
        (ended(Recipe(epochs=3), 0.2), ended(Recipe(epochs=3, layer_decay=0.8), 0.25)),
        (ended(Recipe(epochs=3), 0.2), ended(Recipe(epochs=3, layer_decay=0.8, lr=1e-6), 0.3)),
        (ended(Recipe(epochs=3), 0.2), ended(Recipe(epochs=3), 0.3)),
        (ended(Recipe(epochs=3), 0.2), ended(Recipe(epochs=3, group_lrs=(1e-4, 1e-4)), 0.3)),
        (ended(Recipe(epochs=3, layer_decay=0.9), 0.2), ended(Recipe(epochs=3, layer_decay=0.8), 0.3)),
        (ended(Recipe(epochs=3), 0.2), make_run(Recipe(epochs=3, layer_decay=0.8), steps_per_epoch=4)),
    ],
    "02.1": [
        Recipe(),
        Recipe(layer_decay=0.0),
        Recipe(group_lrs=(0, 2e-4)),
        Recipe(group_lrs=(0, 0, 1e-4), head_lr=2e-4),
        Recipe(group_lrs=(0, 0, 2e-4), head_lr=1e-3),
    ],
    "02.2": [
        lambda groups: groups,
        lambda groups: [{**groups[0], "params": [p for g in groups for p in g["params"]]}],
        lambda groups: [
            {"params": [i], "lr": lr, "weight_decay": wd}
            for i, (lr, wd) in enumerate({(g["lr"], g["weight_decay"]) for g in groups})
        ],
    ],
    "02.3": [
        Recipe(lr=1e-3, layer_decay=0.75),
        Recipe(lr=0.75e-3, layer_decay=0.75),
        Recipe(lr=1e-3, head_lr=1e-3, layer_decay=0.75),
    ],
    "03.a": [
        (ended(HIGH, 0.27), ended(HIGH.but(warmup=0.2), 0.2)),
        (ended(HIGH, 0.2), ended(HIGH.but(warmup=0.2, lr=2e-3), 0.2)),
        (ended(HIGH, 0.2), ended(HIGH, 0.2)),
        (ended(HIGH.but(warmup=0.1), 0.2), ended(HIGH.but(warmup=0.2), 0.2)),
        (ended(HIGH.but(lr=2e-4), 0.2), ended(HIGH.but(lr=2e-4, warmup=0.2), 0.2)),
        (ended(HIGH, 0.2), make_run(HIGH.but(warmup=0.2), steps_per_epoch=4)),
    ],
    "03.1": [4, 4.2, 9, 14],
    "03.2": [
        lambda step, total, warmup, decay: step / warmup if step < warmup else 1.0,
        lambda step, total, warmup, decay: min(1.0, step / warmup, (total - step) / decay),
        lambda step, total, warmup, decay: min(1.0, (step + 1) / (warmup + 1), (total - step) / (decay + 1)),
    ],
    "03.3": [1, 0.1, 31.6],
    "04.1": [5, 5 * 7_087_872, 5 * 7_077_888 + 590_592, 36_030_000],
    "04.2": [
        lambda before, after: [name for name in before if not torch.equal(before[name], after[name])],
        lambda before, after: [name for name in before if torch.allclose(before[name], after[name])],
        lambda before, after: [name for name in before if before[name].sum() == after[name].sum()],
        lambda before, after: [name for name in before if before[name] is after[name]],
        lambda before, after: list(before),
        lambda before, after: [],
    ],
    "04.3": [
        Recipe(),
        Recipe(reinit_layers=2),
        Recipe(reinit_layers=4),
        Recipe(reinit_layers=9),
        Recipe(reinit_layers=3, lr=5e-5),
    ],
    "05.1": [lambda s, k: s * k / 2, lambda s, k: s * (k - 1), lambda s, k: s * (k / 3) ** 0.5, lambda s, k: s],
    "05.2": [
        lambda mean_all, k_all, mean_late, k_late: 2 * mean_all - mean_late,
        lambda mean_all, k_all, mean_late, k_late: mean_all - mean_late,
        lambda mean_all, k_all, mean_late, k_late: k_all * mean_all - k_late * mean_late,
    ],
    "05.3": [
        Recipe(swa_start=3.2),
        PAPER["llrd+warmup"],
        PAPER["llrd+warmup+swa"].but(swa_lr=None),
        PAPER["llrd+warmup+swa"].but(swa_start=4),
        PAPER["llrd+warmup+swa"].but(swa_start=4, swa_lr=None, warmup=0),
    ],
    "06.1": [14, 9, 5],
    "06.2": [
        lambda scores, patience: (int(np.argmin(scores)), len(scores)),
        lambda scores, patience: keep(scores, patience + 1),
        lambda scores, patience: keep(-scores, patience),
    ],
    "06.3": [9, 11, 1.5],
    "07.1": [113, 114, 117, 10, 1.5],
    "07.2": [
        lambda p: p,
        lambda p: np.minimum(1, len(p) * p),
        lambda p: np.sort(holm(p)),
        lambda p: np.minimum(1, p * (len(p) - np.argsort(np.argsort(p)))),  # not made to rise
    ],
    "07.3": [
        lambda differences, test, train: corrected_interval(differences, 0.0),
        lambda differences, test, train: corrected_interval(differences, train / max(1, test)),
        lambda differences, test, train: tuple(2 * np.array(corrected_interval(differences, test / train))),
    ],
    "08.a": [ended(LOW, 0.7), ended(LOW.but(lr=1e-4), 0.6), ended(LOW.but(layer_decay=0.9), 0.6)],
    "08.b": [two_classes([0.5, 0.3, 0.4], 0.9), two_classes([0.5, 0.3, 0.3], 0.7), two_classes([0.5], 0.9)],
    "08.1": [{}, {**QUIZ, "states": ...}, {**QUIZ, "epoch by loss": 2}, {**QUIZ, "scaled rate": 2e-5}],
    "08.2": [
        lambda gradients, sizes: np.mean(gradients, axis=0),
        lambda gradients, sizes: sum(gradients),
        lambda gradients, sizes: sum(n * g for n, g in zip(sizes, gradients, strict=True)),
    ],
    "08.3": [
        Recipe(batch_size=64, lr=8e-4),
        Recipe(batch_size=8, gradient_accumulation_steps=8),
        Recipe(batch_size=8, gradient_accumulation_steps=4, lr=8e-4),
        Recipe(batch_size=8, gradient_accumulation_steps=8, lr=8e-4, warmup=0.1),
    ],
    "09.a": [
        ([ended(BERT.but(optimizer="adamw"), 0.4)], ended(BERT, 0.43)),
        ([ended(BERT.but(optimizer="adamw"), 0.4)], ended(BERT.but(optimizer="adamw"), 0.4)),
        ([ended(BERT.but(optimizer="adamw", seed=1), 0.4)], ended(BERT, 0.4)),
        ([ended(BERT.but(optimizer="adamw"), 0.4)], ended(BERT.but(epochs=4), 0.4)),
        ([ended(BERT.but(optimizer="adamw"), 0.4)], make_run(BERT, steps_per_epoch=4)),
    ],
    "09.1": [62, 64, 287, 4.25],
    "09.2": [
        lambda rate, step: rate,
        lambda rate, step: rate * (1 - 0.9 ** (step + 1)) / (1 - 0.999 ** (step + 1)) ** 0.5,
        lambda rate, step: rate * (1 - 0.999**step) ** 0.5 / (1 - 0.9**step),
        lambda rate, step: rate * (1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1)),
    ],
    "09.3": [
        Recipe(),
        Recipe(optimizer="bertadam", warmup=0.1, schedule="warmup_exp_decay_exp"),
        Recipe(optimizer="bertadam", warmup=0.1, schedule="warmup_linear_decay_exp"),
        Recipe(
            optimizer="bertadam",
            warmup=0.1,
            schedule="warmup_linear_decay_exp",
            lr=1e-4,
            schedule_args={"decay_rate": 0.5, "decay_steps": 27},
        ),
        Recipe(
            optimizer="bertadam",
            schedule="warmup_linear_decay_exp",
            schedule_args={"decay_rate": 0.5, "decay_steps": 27},
        ),
    ],
    "10.1": [
        clinic_bench(),
        clinic_bench("sick"),
        clinic_bench("slow"),
        clinic_bench(*["slow"] * 3, "healthy"),
        clinic_bench("repaired"),
    ],
    "10.2": [
        lambda train, test: np.var(test),
        lambda train, test: np.mean((test - np.mean(train)) ** 2) ** 0.5,
        lambda train, test: np.mean((train - np.mean(train)) ** 2),
    ],
    "10.3": [[], overfitted(0.0), overfitted(0.1)[:4], overfitted(float("nan"))],
    "11.1": [
        lambda groups, num_folds: np.arange(len(groups)) % num_folds,
        lambda groups, num_folds: np.zeros(len(groups), dtype=int),
        lambda groups, num_folds: np.unique(groups, return_inverse=True)[1],
        lambda groups, num_folds: np.minimum(np.unique(groups, return_inverse=True)[1], num_folds - 1),
    ],
    "11.2": [
        lambda groups, schedule, step: None,
        lambda groups, schedule, step: [g.update(lr=schedule.lr[step].max()) for g in groups],
        lambda groups, schedule, step: set_rates(groups, schedule.lr[0], schedule.layers),
        lambda groups, schedule, step: set_rates(groups, schedule.lr[max(0, step - 1)], schedule.layers),
        lambda groups, schedule, step: set_rates(groups, schedule.lr[step], schedule.layers[::-1]),
        lambda groups, schedule, step: [
            g.update(lr=schedule.lr[step, i % len(schedule.layers)]) for i, g in enumerate(groups)
        ],
    ],
    "11.3": [
        Recipe(lr=2e-5, layer_decay=0.8**0.5),
        Recipe(model="roberta-base", layer_decay=0.8**0.5),
        Recipe(model="roberta-base", lr=2e-5, layer_decay=0.8),
        Recipe(model="roberta-base", lr=2e-5, layer_decay=0.64),
        Recipe(model="roberta-base", lr=2e-5, group_lrs=(1e-6, 2e-5)),
    ],
}
WRONG_KIND = {
    "04.a": make_run(NEUTRAL), "05.a": Recipe(swa_start=1),
    "01.1": "many", "01.2": 3, "01.3": "cosine", "02.a": make_run(), "02.1": "ninety", "02.2": 28, "02.3": 0.75,
    "04.1": "many", "04.2": 3, "04.3": 3, "06.1": "many", "06.2": 3, "06.3": "ten",
    "07.1": "few", "07.2": 0.05, "07.3": [[0.1]],
    "05.1": 13.5, "05.2": 284, "05.3": {"swa_start": 4},
    "03.a": (3, 4), "03.1": "few", "03.2": 0.5, "03.3": "large",
    "09.a": make_run(), "09.1": "long", "09.2": 2e-5, "09.3": "bertadam",
    "08.a": 0.5, "08.b": make_run(), "08.1": 8, "08.2": 3, "08.3": 8e-4,
    "10.1": 32, "10.2": 0.5, "10.3": {"step": 1},
    "11.1": 3, "11.2": 2e-5, "11.3": {"lr": 2e-5},
}  # fmt: skip


def keep(scores, patience):
    """The evaluation kept and how many were made, as exercise 06.2 wants them."""
    kept = 0
    for i in range(len(scores)):
        kept = i if scores[i] < scores[kept] else kept
        if i - kept >= patience:
            return kept, i + 1
    return kept, len(scores)


def set_rates(groups, rates, layers):
    """Gives every group the rate of its layer, as exercise 11.2 wants it."""
    for group in groups:
        group["lr"] = rates[layers.index(group["layer"])]


def holm(p):
    """Holm's correction, as exercise 07.2 wants it."""
    corrected, so_far = p.copy(), 0.0
    for rank, i in enumerate(np.argsort(p)):
        so_far = max(so_far, (len(p) - rank) * p[i])
        corrected[i] = min(1.0, so_far)
    return corrected


def corrected_interval(differences, overlap):
    """Student's interval with the variance times 1 / n + overlap, as exercise 07.3 wants it."""
    n = len(differences)
    half = stats.t.ppf(0.975, n - 1) * differences.std(ddof=1) * np.sqrt(1 / n + overlap)
    return differences.mean() - half, differences.mean() + half


def test_every_exercise_is_covered():
    assert set(RIGHT) == set(WRONG) == set(WRONG_KIND) == set(exercises.base.CHECKS)


@pytest.mark.parametrize("name", RIGHT)
def test_right_answers(name, capsys):
    assert exercises.check(name, RIGHT[name]) is True
    assert f"{name}: right." in capsys.readouterr().out


@pytest.mark.parametrize("name, answer", [(n, a) for n, answers in WRONG.items() for a in answers])
def test_wrong_answers_get_a_hint(name, answer, capsys):
    assert exercises.check(name, answer) is False
    assert f"{name}: not yet. " in capsys.readouterr().out


def test_tensors_with_equal_sums_are_not_equal_whatever_is_drawn():
    def equal_sums(before, after):
        return [name for name in before if before[name].sum() == after[name].sum()]

    state = torch.get_rng_state()
    for _ in range(200):
        assert exercises.check("04.2", equal_sums) is False
    assert torch.equal(torch.get_rng_state(), state)  # a reader's next cell draws what it would have drawn


@pytest.mark.parametrize("answer", [None, ...])
def test_no_answer_yet(answer, capsys):
    assert exercises.check("01.1", answer) is None
    assert "no answer yet" in capsys.readouterr().out


@pytest.mark.parametrize("name", WRONG_KIND)
def test_answers_of_the_wrong_kind(name):
    with pytest.raises(ExerciseError, match=f"^{name}: wants"):
        exercises.check(name, WRONG_KIND[name])


def test_a_function_that_returns_no_array_is_of_the_wrong_kind():
    with pytest.raises(ExerciseError, match="05.2: wants a function that returns an array"):
        exercises.check("05.2", lambda mean_all, k_all, mean_late, k_late: "the mean")


def test_unknown_exercises():
    with pytest.raises(ExerciseError, match="'99.1' is unknown; there are 01.1"):
        exercises.check("99.1", 1)


def test_a_function_that_returns_no_pair_is_of_the_wrong_kind():
    with pytest.raises(ExerciseError, match="06.2: wants a function that returns two whole numbers"):
        exercises.check("06.2", lambda scores, patience: None)


@pytest.mark.parametrize("answer", [{"colour": 1}, {"states": "two"}])
def test_a_quiz_names_its_keys_and_wants_numbers(answer):
    with pytest.raises(ExerciseError, match="08.1: wants (the keys accumulation steps, .*'colour'|a number, got str)"):
        exercises.check("08.1", answer)


def test_a_quiz_counts_what_is_right_so_far(capsys):
    assert exercises.check("08.1", {**QUIZ, "states": ..., "lowest rate": None}) is False
    assert "4 of 6 are right; still open: lowest rate, states." in capsys.readouterr().out


def test_a_function_that_returns_no_gradient_is_of_the_wrong_kind():
    with pytest.raises(ExerciseError, match="08.2: wants a function that returns one gradient"):
        exercises.check("08.2", lambda gradients, sizes: "their mean")


def test_a_function_that_returns_no_interval_is_of_the_wrong_kind():
    with pytest.raises(ExerciseError, match="07.3: wants a function that returns two numbers"):
        exercises.check("07.3", lambda differences, test, train: 0.1)


def test_a_function_that_returns_too_few_numbers_is_of_the_wrong_kind():
    with pytest.raises(ExerciseError, match="07.2: wants a function that returns as many numbers as it was given"):
        exercises.check("07.2", lambda p: p[:0])
