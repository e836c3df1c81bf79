"""The diagnosis of logs as people have them: what they lack, how they are written, and what is healthy all the same.

Each table is a dictionary of logs with the names that `diagnose` must give; a test names every log that it gets wrong.
"""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

import ftlab as ft
from ftlab.clinic.diagnosis import NOTHING_YET, diagnose
from ftlab.clinic.record import read_record

DRAWS = np.random.default_rng(0)
FALLING = [0.69 * math.exp(-i / 12) + 0.02 + 0.02 * x for i, x in enumerate(DRAWS.random(40))]  # one loss for 10 steps
NORMS = (2 + DRAWS.random(40)).tolist()
HEALTHY, TURNED = (0.40, 0.33, 0.30, 0.30), (0.45, 0.40, 0.62, 0.95)  # validation losses of four epochs of 100 steps


def losses(values, norms=None, *, every=10, epoch=100, lr=2e-5):
    """The entries that Trainer logs while it trains."""
    log = []
    for i, value in enumerate(values, start=1):
        entry = {"loss": value, "learning_rate": lr * (1 - i / len(values)), "epoch": i * every / epoch}
        log.append(entry | ({} if norms is None else {"grad_norm": norms[i - 1]}) | {"step": i * every})
    return log


def evaluations(values, key="eval_loss", *, epoch=100, **more):
    return [{key: v, "epoch": float(i), "step": epoch * i, **more} for i, v in enumerate(values, start=1)]


def state(*logs, **fields):
    log = sorted(sum(logs, []), key=lambda entry: entry["step"])
    return {"log_history": log, "max_steps": 400, "train_batch_size": 16, **fields}


def without(log, *keys):
    if isinstance(log, dict):
        return {**log, "log_history": without(log["log_history"], *keys)}
    return [{key: value for key, value in entry.items() if key not in keys} for entry in log]


def wrong(table):
    """Diagnose every log of a table; return those whose findings are not the ones that are told."""
    failed = []
    for name, (log, expected) in table.items():
        before = copy.deepcopy(log)
        found = diagnose(log).names
        if found != expected:
            failed.append(f"{name}: {found}, not {expected}")
        if repr(log) != repr(before):
            failed.append(f"{name}: the log was changed")
    return failed


GOOD, BAD = state(losses(FALLING, NORMS), evaluations(HEALTHY)), state(losses(FALLING, NORMS), evaluations(TURNED))
OVERFITTING, DIVERGED, BUG = ["overfitting"], ["diverged"], ["label noise or bug"]
PLATEAU = "plateau at the mean predictor"


def test_several_validation_sets_are_read_one_at_a_time():
    def sets(**values):
        return state(losses(FALLING, NORMS), *(evaluations(v, f"eval_{name}_loss") for name, v in values.items()))

    nan = (math.nan,) * 4
    parts = [{**entry, "eval_mlm_loss": 9 * entry["eval_loss"]} for entry in evaluations(HEALTHY)]
    dev = evaluations(HEALTHY, "eval_dev_loss")
    of_dev = [{**entry, "eval_dev_ce_loss": 9 * entry["eval_dev_loss"]} for entry in dev]
    apart = evaluations(TURNED, "eval_other_loss")
    table = {
        "both healthy": (sets(dev=HEALTHY, other=HEALTHY), []),
        "one of two turned": (sets(dev=HEALTHY, other=TURNED), OVERFITTING),
        "both turned": (sets(dev=TURNED, other=TURNED), OVERFITTING),
        "one is no number": (sets(dev=HEALTHY, other=nan), DIVERGED),
        "the only one has a name": (sets(dev=TURNED), OVERFITTING),
        "names with signs in them": (sets(**{"sts-dev/b 2": TURNED, "x_y": HEALTHY}), OVERFITTING),
        "one more, in entries of its own": (state(losses(FALLING, NORMS), evaluations(HEALTHY), apart), OVERFITTING),
        "a part of eval_loss is no set": (state(losses(FALLING, NORMS), parts), []),
        "nor is one of a named loss": (state(losses(FALLING, NORMS), of_dev), []),
        "one is evaluated once, the other often": (sets(dev=TURNED, other=HEALTHY[:1]), OVERFITTING),
    }  # fmt: skip
    assert not wrong(table), "\n".join(wrong(table))
    both = diagnose(sets(dev=TURNED, other=(0.45, 0.40, 0.60, 0.80)))
    assert "4 evaluations of dev and 4 evaluations of other" in repr(both) and len(both) == 1
    assert both[0].evidence[0] == "dev: validation loss 0.4 after step 200, 0.95 after 400"
    assert both[0].evidence[2] == "other: validation loss 0.4 after step 200, 0.8 after 400"
    assert "not read: eval_mlm_loss" in diagnose(state(losses(FALLING, NORMS), parts)).notes
    one_class = [{**e, "eval_dev_accuracy": 0.9, "eval_dev_f1": 0.0} for e in evaluations(HEALTHY, "eval_dev_loss")]
    assert diagnose(state(losses(FALLING, NORMS), one_class)).names == ["collapsed predictions"]


def test_what_trainer_logs_for_a_dictionary_of_validation_sets(tmp_path):
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, num_labels=1
    )
    rows = [{"input_ids": torch.randint(5, 50, (6,)), "labels": torch.randn(())} for _ in range(32)]
    arguments = TrainingArguments(
        tmp_path, per_device_train_batch_size=4, num_train_epochs=3, learning_rate=1e-8, logging_steps=4,
        eval_strategy="epoch", save_strategy="no", report_to="none", use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    sets = {"dev": rows[:16], "test": rows[16:]}
    trainer = Trainer(BertForSequenceClassification(config), arguments, train_dataset=rows, eval_dataset=sets)
    trainer.train()
    assert "eval_dev_loss" in trainer.state.log_history[2]
    records = read_record(trainer, None)
    assert [record.dataset for record in records] == ["dev", "test"]
    assert all(len(record.validation) == 3 and record.examples == 32 for record in records)
    assert "6 losses up to step 24 of 24 and 3 evaluations of dev and 3 evaluations of test" in repr(diagnose(trainer))


def test_entries_without_a_step():
    printed = [{k: f"{v:.4g}" for k, v in entry.items() if k != "step"} for entry in BAD["log_history"]]  # as text
    table = {
        "none has a step": (without(BAD, "step"), OVERFITTING),
        "nor an epoch": (without(BAD, "step", "epoch"), OVERFITTING),
        "a list": (without(BAD["log_history"], "step"), OVERFITTING),
        "a list without epochs": (without(BAD["log_history"], "step", "epoch"), OVERFITTING),
        "as Trainer prints it": (printed, OVERFITTING),
        "only the evaluations": (
            {**BAD, "log_history": [without([e], "step")[0] if "eval_loss" in e else e for e in BAD["log_history"]]},
            OVERFITTING,
        ),
        "the losses first": (without(losses(FALLING, NORMS) + evaluations(TURNED), "step"), OVERFITTING),
        "the losses first, and no epoch": (
            without(losses(FALLING, NORMS) + evaluations(TURNED), "step", "epoch"), OVERFITTING,
        ),
        "the evaluations alone": (without(evaluations(TURNED), "step", "epoch"), OVERFITTING),
        "healthy": (without(GOOD, "step"), []),
        "healthy, a list": (without(GOOD["log_history"], "step", "epoch"), []),
        "healthy, two losses an epoch": (
            without(losses([0.6, 0.4, 0.3, 0.2, 0.15, 0.1], every=50) + evaluations((0.4, 0.38, 0.4)), "step"), [],
        ),
        "steps as text": ([{**entry, "step": str(entry["step"])} for entry in BAD["log_history"]], OVERFITTING),
        "columns of a table, empty where nothing is": (
            [{"loss": None, "eval_loss": None, "grad_norm": None, **entry} for entry in BAD["log_history"]],
            OVERFITTING,
        ),
    }  # fmt: skip
    assert not wrong(table), "\n".join(wrong(table))
    assert "after step 200" in str(diagnose(without(BAD, "step"))[0])
    by_epoch = {**BAD, "log_history": without(BAD["log_history"], "step"), "num_train_epochs": 4}
    assert diagnose(by_epoch).notes[0] == "44 entries without a step: placed by their epoch"
    assert "the losses are counted" in diagnose(without(BAD, "step")).notes[0]


def test_fewer_losses_than_steps():
    def every(steps, values, **fields):
        each = steps // 10
        means = np.array(FALLING).reshape(-1, each).mean(axis=1).tolist()
        return state(losses(means, [2.0] * len(means), every=steps), evaluations(values), **fields)

    table = {}
    for steps in (20, 50, 100, 200, 400):
        table[f"healthy, a loss for {steps} steps"] = every(steps, HEALTHY), []
        table[f"turned, a loss for {steps} steps"] = every(steps, TURNED), OVERFITTING
    published = losses([0.4202, 0.2248, 0.1231], [3.0] * 3, every=534, epoch=534)  # a tutorial's, a loss for each epoch
    table |= {
        "as published": (
            state(published, evaluations((0.3361, 0.4237, 0.5818), epoch=534), max_steps=1602), OVERFITTING,
        ),
        "no loss at all": (evaluations(TURNED), OVERFITTING),
        "converged, a loss for each epoch": (
            state(losses([0.24, 0.23, 0.22], every=500, epoch=500), evaluations((0.25, 0.25, 0.25), epoch=500)), [],
        ),
        "not even two losses an epoch, and not few examples": (
            state(
                losses([0.6, 0.5, 0.45, 0.4, 0.3, 0.25, 0.2, 0.18, 0.15, 0.13, 0.12, 0.1], every=500, epoch=900),
                evaluations((0.42, 0.41, 0.43, 0.44, 0.45, 0.46), epoch=900), max_steps=6000, train_batch_size=None,
            ), [],
        ),
        "two losses": (state(losses([0.6, 0.5], every=100), evaluations(HEALTHY[:1])), [NOTHING_YET]),
    }  # fmt: skip
    assert not wrong(table), "\n".join(wrong(table))
    slow, never = [0.95 + 0.01 * x for x in np.cos(np.arange(12))], (0.95, 0.951, 0.949, 0.95, 0.951, 0.95)
    found = diagnose(state(losses(slow, [1.0] * 12, every=50), evaluations(never), max_steps=600))
    assert found.names == ["too slow"] and "updates in all" not in str(found[0]), "600 updates are not 12"
    assert "2 losses up to step 200 of 400 and 1 evaluation" in str(diagnose(table["two losses"][0])[0])
    notes = diagnose(every(100, HEALTHY)).notes
    assert any("the level at which it began is not known" in note for note in notes)


def test_losses_of_exactly_zero():
    learned = [round(0.69 * math.exp(-i / 3), 4) for i in range(40)]  # rounded, as logs were written for years
    assert learned[-1] == 0
    table = {
        "from the start": (state(losses([0.0] * 40)), BUG),
        "with a norm of 0": (state(losses([0.0] * 40, [0.0] * 40), evaluations(HEALTHY)), BUG),
        "with a validation loss that is no number": (state(losses([0.0] * 40), evaluations([math.nan] * 4)), BUG),
        "with a norm that is no number": (state(losses([0.0] * 40, [math.nan] * 40)), DIVERGED),
        "from step 110 on": (state(losses([*FALLING[:10], *[0.0] * 30])), DIVERGED),
        "for a while": (state(losses([*FALLING[:10], *[0.0] * 10, *FALLING[20:]]), evaluations(HEALTHY)), DIVERGED),
        "a loss for each epoch": (state(losses([0.5, 0.0, 0.0, 0.0], every=100), evaluations(HEALTHY)), DIVERGED),
        "of the validation set": (state(losses(FALLING, NORMS), evaluations([0.0] * 4)), BUG),
        "once": (state(losses([*FALLING[:10], 0.0, *FALLING[11:]], NORMS), evaluations(HEALTHY)), []),
        "learned, and rounded": (state(losses(learned, NORMS), evaluations(HEALTHY)), []),
    }
    assert not wrong(table), "\n".join(wrong(table))
    found = diagnose(table["from step 110 on"][0])
    assert "30 of 40 losses, from step 110 on, are exactly 0; before it was 0.3" in found[0].evidence[0]
    assert "-100" in diagnose(table["with a norm of 0"][0])[0].remedies[0]


@pytest.mark.parametrize("factor", [2, 4, 8, 16, 64, 1 / 4, 1 / 8, 1 / 16])
def test_training_losses_that_are_summed_or_divided(factor):
    """Over accumulated batches, for instance; the validation losses are not, so the two may not be compared as such."""
    scaled = [factor * value for value in FALLING]
    flat = [factor * (0.95 + 0.1 * x) for x in np.cos(3.0 * np.arange(40))]
    never = evaluations((0.96, 0.97, 0.95, 0.96))
    table = {
        "healthy": (state(losses(scaled, NORMS), evaluations(HEALTHY)), []),
        "turned": (state(losses(scaled, NORMS), evaluations(TURNED)), OVERFITTING),
        "learns nothing": (state(losses(flat, NORMS), never), ["too slow"]),
    }
    if factor < 3:  # twice may be dropout's; less, and never better: rather the validation set is fed wrongly
        del table["learns nothing"]
    assert not wrong(table), "\n".join(wrong(table))
    notes = [note for note in diagnose(table["healthy"][0]).notes if "times as large" in note]
    assert bool(notes) == (not 1 / 5 < factor < 3)
    if factor == 8:
        times = float(notes[0].split("about ")[1].split(" ")[0])
        assert notes[0].startswith("the training losses are about") and times == pytest.approx(8, rel=0.35)


@pytest.mark.parametrize("no_number", [math.inf, math.nan])
def test_an_update_that_float16_skips(no_number):
    def spoilt(*at, values=NORMS):
        return [no_number if i in at else value for i, value in enumerate(values)]

    fine = evaluations(HEALTHY)
    some = [(0,), (0, 1, 2), (17,), (0, 20), (38,)]
    table = {f"the norms of entries {at}": (state(losses(FALLING, spoilt(*at)), fine), []) for at in some}
    table |= {
        "the first loss": (state(losses(spoilt(0, values=FALLING), NORMS), fine), []),
        "the first evaluation": (state(losses(FALLING, NORMS), evaluations((no_number, *HEALTHY[1:]))), []),
        "all norms from the middle on": (state(losses(FALLING, spoilt(*range(20, 40))), fine), DIVERGED),
        "all norms": (state(losses(FALLING, spoilt(*range(40))), fine), DIVERGED),
        "the last norm": (state(losses(FALLING, spoilt(39)), fine), DIVERGED),
        "all losses from the middle on": (state(losses(spoilt(*range(20, 40), values=FALLING), NORMS), fine), DIVERGED),
        "the last evaluation": (state(losses(FALLING, NORMS), evaluations((*HEALTHY[:3], no_number))), DIVERGED),
    }
    assert not wrong(table), "\n".join(wrong(table))
    assert "diverged" in diagnose(state(losses(FALLING[::-1], spoilt(9)), evaluations(HEALTHY[::-1]))), "it rises"
    notes = diagnose(state(losses(FALLING, spoilt(0, 20)), fine)).notes
    assert any(note.startswith("2 of 40 losses or gradients were no finite number") for note in notes)
    step = diagnose(state(losses(FALLING, [no_number, *NORMS[1:20], 500.0, *NORMS[21:]]), fine))
    assert "step 210: gradient norm 500" in str(step[0]), "the step is the right one behind a norm that is none"


def test_a_classifier_that_never_leaves_equal_odds():
    table = {}
    for classes in (2, 3, 4, 6, 10):
        odds, off = math.log(classes), DRAWS.uniform(-0.01, 0.01, 40)
        flat = (odds * (1 + off)).tolist()
        known = evaluations((odds * np.array([1.001, 0.999, 1, 1.002])).tolist(), eval_accuracy=1 / classes)
        table[f"{classes} classes"] = state(losses(flat, NORMS), known)
        table[f"{classes} classes, a high rate"] = state(losses(flat, NORMS, lr=5e-3), known)
        table[f"{classes} classes, noisy"] = state(losses((odds * (1 + 5 * off)).tolist(), NORMS), known)
        table[f"{classes} classes, a loss for each epoch"] = state(losses(flat[:4], NORMS, every=100), known)
        if classes <= 6:
            table[f"{classes} classes, no evaluation"] = state(losses(flat, NORMS))
            table[f"{classes} classes, no accuracy"] = state(losses(flat, NORMS), without(known, "eval_accuracy"))
    failed = [f"{name}: {diagnose(log).names}" for name, log in table.items() if diagnose(log).names != [PLATEAU]]
    assert not failed, "\n".join(failed)
    found = diagnose(table["3 classes"])
    assert "ln 3 = 1.099 is what equal odds for 3 classes cost" in found[0].evidence[0]
    slow = diagnose(state(losses([0.69 + 0.001 * x for x in DRAWS.random(40)], NORMS, lr=1e-7)))
    assert slow[0].remedies[0] == "a higher learning rate (it was 9.75e-8)"
    constant = [e | {"eval_macro_f1": 0.3333} for e in evaluations([0.693] * 4, eval_accuracy=0.5)]  # to four decimals
    assert diagnose(state(losses([0.693] * 40), constant)).names == [PLATEAU, "collapsed predictions"]
    language = [1.1 + 0.4 * math.exp(-i / 3) + 0.1 * x for i, x in enumerate(DRAWS.uniform(-1, 1, 40))]
    assert diagnose(state(losses(language, NORMS), evaluations((1.12, 1.10, 1.09, 1.09)))).names == []
    assert diagnose(state(losses([0.6931] * 40), max_steps=2000)).names == [], "a fifth of the run is no verdict"


def test_a_first_evaluation_that_comes_late_does_not_show_that_nothing_was_learned():
    """Two classes, 0.45 after the first epoch and rising: overfitting, not labels that are noise."""
    falling = [0.69 * math.exp(-i / 15) + 0.05 for i in range(90)]
    log = state(losses(falling, epoch=300), evaluations((0.45, 0.60, 0.75), epoch=300), max_steps=900)
    assert diagnose(log).names == OVERFITTING


def test_examples_are_counted_from_the_summary_where_gradients_are_accumulated():
    """Batches of one, 32 of them an update: 30 updates an epoch are 960 examples and not 30."""
    log = losses(FALLING[:18] + [0.02] * 12, NORMS, every=1, epoch=30) + losses([0.02] * 30, NORMS, every=1, epoch=30)
    log = [entry | {"step": i, "epoch": i / 30} for i, entry in enumerate(log, start=1)]
    log += evaluations((0.69, 0.70), epoch=30)
    assert diagnose(state(log, max_steps=60, train_batch_size=1)).names == ["too few examples"], "all that is known"
    summary = [{"step": 60, "epoch": 2.0, "train_runtime": 96.0, "train_samples_per_second": 20.0, "train_loss": 0.1}]
    accumulated = state(log, summary, max_steps=60, train_batch_size=1)
    [record] = read_record(accumulated, None)
    assert (record.examples, record.batch) == (960, 32)
    assert diagnose(accumulated).names == BUG


def test_nothing_found_is_said_of_what_was_read():
    names = {"loss": "train/loss", "eval_loss": "eval/loss", "step": "_step"}
    wandb = [{names.get(key, key): value for key, value in entry.items()} for entry in BAD["log_history"]]
    table = {
        "no evaluation": (state(losses(FALLING, NORMS)), "without an evaluation", "no validation loss"),
        "no norm": (state(losses(FALLING), evaluations(HEALTHY)), "4 evaluations", "no gradient norm"),
        "no targets": (GOOD, "4 evaluations", "no targets and predictions"),
        "a score alone": (
            state(losses(FALLING, NORMS), evaluations([0.8] * 4, "eval_sts-dev_spearman", eval_runtime=1.0)),
            "without an evaluation", "not read: eval_sts-dev_spearman",
        ),
        "other names": (wandb, "no loss", "not read: train/loss, eval/loss"),
        "not halfway": (state(losses(FALLING, NORMS), max_steps=4000), "of 4000", "10% of the run have passed"),
    }  # fmt: skip
    failed = []
    for name, (log, headline, note) in table.items():
        found = diagnose(log)
        said = repr(found).splitlines()
        told = headline in said[0] and any(note in n for n in found.notes)
        if not told or set(found.names) - {NOTHING_YET}:
            failed.append(f"{name}: {said}")
        if not all(any(n[:60] in line for line in said) for n in found.notes) or max(map(len, said)) > 120:
            failed.append(f"{name}: the notes are not printed, or too wide")
    assert not failed, "\n".join(failed)


def test_a_whole_run_is_covered(monkeypatch):
    """A run knows its targets, predictions, norms and evaluations, so there is nothing to add."""
    monkeypatch.setenv("FTLAB_PRESET", "tiny")
    run = ft.fit(ft.Recipe(epochs=2, batch_size=8, max_length=16), ft.load_data("passages"), live=False)
    assert diagnose(run).notes == ()
    history = json.loads(run.history.to_json())
    [note] = diagnose(history).notes
    assert note == "no targets and predictions: whether the predictions collapse or shrink is open"
