"""The diagnosis: right on every broken run, silent on every healthy one at every step, and records of all kinds."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ftlab as ft
from ftlab import clinic
from ftlab.clinic.diagnosis import ILLNESSES, NOTHING_YET, SEVERITY, Finding, Findings, chance_loss, diagnose
from ftlab.errors import CheckpointError, RecipeError
from ftlab.history import History
from ftlab.recipe import Recipe
from ftlab.schedules import preview

RESULTS = Path(__file__).resolve().parents[2] / "data" / "results"
RUNS = clinic.load(RESULTS / "clinic.jsonl")
BROKEN = [kept for kept in RUNS if kept.illness]


def make_history(loss, norm=None, looks=(), *, recipe=None, steps_per_epoch=12, total_steps=None, classes=False):
    """A history of these losses, norms and looks (step, loss) or (step, loss, score, accuracy)."""
    recipe = recipe or Recipe(epochs=-(-max(1, len(loss)) // steps_per_epoch))
    schedule = preview(recipe, steps_per_epoch)
    history = History(
        schedule.layers,
        metric="macro_f1" if classes else "rmse",
        steps_per_epoch=steps_per_epoch,
        total_steps=total_steps or max(len(loss), 1),
    )
    for i, value in enumerate(loss):
        rates = schedule.lr[min(i, len(schedule.lr) - 1)].tolist()
        history.append(loss=value, grad_norm=2.0 if norm is None else norm[i], lr=rates, seconds=float(i))
    for step, value, *scores in looks:
        score, accuracy = scores or (math.sqrt(value) if value >= 0 else value, None)
        look = {"step": step, "epoch": step / steps_per_epoch, "score": score, "loss": value, "seconds": 0.1}
        history.evals.append(look | {"best": False} | ({"accuracy": accuracy} if classes else {}))
    return history


def prefix(history, steps):
    """The history as it was after so many steps."""
    values = history.to_dict()
    values["rows"] = values["rows"][:steps]
    values["evals"] = [look for look in values["evals"] if look["step"] <= steps]
    return History.from_dict(values)


def falling(steps=36, end=0.1):
    """A healthy training loss from 1 down to `end`, with a little movement."""
    return [end + (1 - end) * math.exp(-6 * i / steps) * (1 + 0.2 * math.sin(3 * i)) for i in range(steps)]


STUDY = clinic.load_study(RESULTS / "techniques.jsonl")
KEPT_HEALTHY = [kept for kept in RUNS if kept.illness is None]
HEALTHY = [(f"{p.case}, seed {p.seed}", p) for p in [*RUNS, *STUDY] if p.illness is None]


# ------------------------------------------------------------------------------------------------------ real runs


def test_every_case_was_run_with_three_seeds():
    wanted = [(name, seed) for name in clinic.CASES for seed in range(3)]
    assert sorted((p.case, p.seed) for p in BROKEN) == sorted(wanted)


@pytest.mark.parametrize("kept", BROKEN, ids=lambda p: f"{p.case}, seed {p.seed}")
def test_right_on_every_broken_run(kept):
    found = diagnose(kept)
    assert found.names[0] == kept.illness
    assert all(finding.evidence and finding.remedies for finding in found)
    assert re.search(r"\d", " ".join(found[0].evidence))


def test_there_are_at_least_thirty_healthy_runs():
    assert len(HEALTHY) >= 30


@pytest.mark.parametrize("run", [run for _, run in HEALTHY], ids=[name for name, _ in HEALTHY])
def test_silent_on_every_healthy_run(run):
    assert diagnose(run).names == []
    assert diagnose(run.history, run.recipe).names == [] and diagnose(run.history).names == []


@pytest.mark.parametrize("run", [run for _, run in HEALTHY[::3]], ids=[name for name, _ in HEALTHY[::3]])
def test_silent_on_a_healthy_run_while_it_goes_on(run):
    for steps in range(3, len(run.history)):
        assert diagnose(prefix(run.history, steps), run.recipe).names == [], steps


@pytest.mark.parametrize(
    "kept", [p for p in RUNS if p.history.metric == "rmse"][::2], ids=lambda p: f"{p.case}, seed {p.seed}"
)
@pytest.mark.parametrize("unit", [0.01, 30.0])
def test_the_unit_of_the_target_does_not_matter(kept, unit):
    power = 1 if kept.recipe.loss == "rmse" else 2
    values = kept.history.to_dict()
    values["rows"] = [[row[0] * unit**power, row[1] * unit**power, *row[2:]] for row in values["rows"]]
    values["evals"] = [e | {"loss": e["loss"] * unit**2, "score": e["score"] * unit} for e in values["evals"]]
    scaled = SimpleNamespace(
        history=History.from_dict(values),
        recipe=kept.recipe,
        status=kept.status,
        targets=kept.targets * unit,
        predictions=kept.predictions * unit,
    )
    assert diagnose(scaled).names == diagnose(kept).names
    assert chance_loss(scaled) == pytest.approx(chance_loss(kept) * unit**2)


# ------------------------------------------------------------------------------------------------- rule after rule


def test_a_number_that_is_none():
    for loss, norm in ((math.nan, 1.0), (math.inf, 1.0), (0.4, math.nan), (0.4, math.inf)):
        found = diagnose(make_history([*falling(20), loss], [2.0] * 20 + [norm]))
        assert found.names[0] == "diverged"
        assert found[0].evidence[0].startswith("step 20: ") and "nan" in str(found[0]) or "inf" in str(found[0])
    early = diagnose(make_history([math.nan]))
    assert early.names == ["diverged"] and "first batches" in early[0].remedies[0]
    look = diagnose(make_history(falling(), looks=[(12, 0.5), (24, math.nan)]))
    assert look.names == ["diverged"] and "after step 24" in look[0].evidence[0]


def test_a_loss_that_blows_up_and_one_that_jumps_once():
    up = [*falling(12), *np.linspace(1, 30, 24)]
    assert diagnose(make_history(up)).names[0] == "diverged"
    once = falling()
    once[20] = 8.0  # one bad batch
    assert diagnose(make_history(once, looks=[(12, 0.5), (24, 0.3), (36, 0.2)])).names == []


def test_exploding_gradients():
    norm = [2.0] * 36
    norm[17] = 90.0
    history = make_history(falling(), norm, [(12, 0.5), (24, 0.3), (36, 0.2)])
    found = diagnose(history)
    assert found.names == ["exploding gradients"] and "step 17: gradient norm 90" in found[0].evidence[0]
    assert "clip" in found[0].remedies[0]
    clipped = diagnose(history, Recipe(warmup=0.1))
    assert "clipped to 1" in clipped[0].evidence[1] and not any("warm-up" in text for text in clipped[0].remedies)
    assert "clip" in diagnose(history, Recipe(max_grad_norm=None))[0].remedies[0]


def test_a_long_gradient_that_was_clipped_beside_those_of_what_is_known_by_heart_is_no_illness():
    """The kept runs that overfit: beside a median norm of 0.02 one of 37 stands out, but clipped it did no harm."""
    for kept in (kept for kept in BROKEN if kept.case == "too many epochs"):
        norm = kept.history.grad_norm
        assert norm.max() > 25 * np.median(norm) and norm.max() > 10 * norm[0]
        assert diagnose(kept).names == ["overfitting"]
        assert "exploding gradients" in diagnose(kept.history, kept.recipe.but(max_grad_norm=None))


def test_chance_may_be_told_where_the_record_does_not_hold_it():
    """A plateau is seen in a bare history once the level is known; without it the first, noisy losses are the level."""
    stuck = [kept for kept in BROKEN if kept.case in ("no warm-up", "batch of one")]
    told = [diagnose(kept.history, chance=chance_loss(kept)).names[:1] == [kept.illness] for kept in stuck]
    untold = [diagnose(kept.history).names[:1] == [kept.illness] for kept in stuck]
    assert all(told) and sum(untold) < len(untold)
    for kept in KEPT_HEALTHY:
        assert diagnose(kept.history, kept.recipe, chance=chance_loss(kept)).names == [], kept.case
    log = [{"step": i + 1, "loss": 0.9} for i in range(20)] + [{"step": s, "eval_loss": 0.9} for s in (10, 20)]
    assert "0.9 the mean predictor's" in str(diagnose(log, chance=0.9)[0])
    for wrong in (0.0, -1, math.nan, True, "high"):
        with pytest.raises(RecipeError, match="chance: "):
            diagnose(log, chance=wrong)


def test_overfitting_as_in_a_published_run():
    """Three epochs of BERT on Rotten Tomatoes, as a tutorial reported them: validation gets worse from the start."""
    losses, looks = (0.4202, 0.2248, 0.1231), (0.3361, 0.4237, 0.5818)
    log = []
    for epoch, loss in enumerate(losses):
        shape = np.array([1.6, 1.3, 1.1, 1, 0.9, 0.85, 0.85, 0.8, 0.8, 0.8]) if epoch == 0 else np.ones(10)
        for i, factor in enumerate(shape, start=1):
            log.append({"step": 534 * epoch + 53 * i, "epoch": epoch + i / 10, "loss": loss * factor, "grad_norm": 3.0})
    log += [{"step": 534 * i, "epoch": i, "eval_loss": loss, "eval_accuracy": 0.86} for i, loss in enumerate(looks, 1)]
    found = diagnose(log)
    assert found.names == ["overfitting"]
    assert "0.3361 after step 534, 0.5818 after 1602" in found[0].evidence[0]


def test_a_validation_loss_that_turns_a_little_is_no_illness():
    for late in ((0.33, 0.34), (0.6, 0.31), (0.31, 0.6)):
        looks = [(9, 0.5), (18, 0.3), *zip((27, 36), late, strict=True)]
        assert diagnose(make_history(falling(), looks=looks)).names == [], late
    looks = [(9, 0.5), (18, 0.3), (27, 0.45), (36, 0.6)]
    assert diagnose(make_history(falling(), looks=looks)).names == ["overfitting"]


def test_one_class_alone_is_seen_from_the_scores():
    for classes, accuracy in ((2, 0.92), (3, 0.5), (7, 0.3), (2, 1.0)):
        f1 = 2 * accuracy / (1 + accuracy) / classes
        looks = [(12, 0.3, f1, accuracy), (24, 0.2, f1, accuracy)]
        found = diagnose(make_history(falling(24), looks=looks, classes=True))
        assert found.names == ["collapsed predictions"]
        assert f"one class of {classes}" in found[0].evidence[0]
    learned = [(12, 0.3, f1, accuracy), (24, 0.2, 0.81, 0.85)]
    assert diagnose(make_history(falling(24), looks=learned, classes=True)).names == []
    perfect = [(12, 0.3, 0.9, 0.9), (24, 0.2, 1.0, 1.0)]
    assert diagnose(make_history(falling(24), looks=perfect, classes=True)).names == []


def test_a_binary_f1_of_zero_is_one_class_alone():
    log = [{"step": i, "loss": loss} for i, loss in enumerate(falling(24), 1)]
    looks = [{"step": 12 * i, "eval_loss": 0.2, "eval_f1": 0.0, "eval_accuracy": 0.9} for i in (1, 2)]
    assert diagnose(log + looks).names == ["collapsed predictions"]
    assert diagnose(log + [look | {"eval_f1": 0.7} for look in looks]).names == []


def test_knowledge_adds_findings():
    [kept] = [p for p in RUNS if p.case == "padding attended to" and p.seed == 0]
    assert diagnose(kept.history, kept.recipe).names == []  # the curves do not show it
    assert "stretched by" in diagnose(kept)[0].evidence[1]
    [frozen] = [p for p in RUNS if p.case == "frozen backbone" and p.seed == 0]
    assert any("7 of 8 layers have rate 0" in text for text in diagnose(frozen)[0].evidence)
    [sgd] = [p for p in RUNS if p.case == "plain SGD at 2e-5" and p.seed == 0]
    gain = float((sgd.history.lr.max(axis=1) * sgd.history.grad_norm**2).sum())
    assert any(f"{gain:.2g}"[:4] in text for text in diagnose(sgd)[0].evidence)
    assert "SGD" in diagnose(sgd)[0].remedies[0] and "SGD" not in str(diagnose(sgd.history))


def test_the_yardstick():
    targets = np.array([0.0, 1.0, 5.0, 2.0])
    run = SimpleNamespace(history=make_history(falling()), targets=targets, predictions=targets)
    assert chance_loss(run) == pytest.approx(targets.var())
    classes = np.array([0, 0, 0, 1, 2, 2])
    run = SimpleNamespace(history=make_history(falling(), classes=True), targets=classes, predictions=classes)
    shares = np.array([3, 1, 2]) / 6
    assert chance_loss(run) == pytest.approx(-(shares * np.log(shares)).sum())
    assert chance_loss(make_history([4.0] * 8 + [0.1] * 40)) == pytest.approx(4.0)
    assert chance_loss(make_history([1.0, 9.0, *[50.0] * 40])) == 1.0  # before the first update
    assert math.isnan(chance_loss(make_history([])))
    # A first batch of few, easy texts: validation says that chance cannot lie so low.
    easy = [0.12, 0.58, 0.75, 0.84, 1.16, 0.37, 1.18, 0.5, 0.45, 0.28, *[0.25] * 18]
    easy = make_history(easy, looks=[(7, 0.9), (14, 0.4), (21, 0.3), (28, 0.25)], steps_per_epoch=7)
    assert chance_loss(easy) > 0.5 and "diverged" not in diagnose(easy)


def test_the_articles_loss_is_a_root():
    square = diagnose(make_history([v**2 for v in falling()], looks=[(36, 0.02)]))
    root = diagnose(make_history(falling(), looks=[(36, 0.02)]), Recipe(loss="rmse"))
    assert square.names == root.names == []
    recipe = Recipe(loss="rmse", epochs=3)
    assert chance_loss(make_history([2.0] * 36, recipe=recipe), recipe) == pytest.approx(4.0)


# -------------------------------------------------------------------------------------------- too little to judge


@pytest.mark.parametrize("steps", [0, 1, 2])
@pytest.mark.parametrize("looks", [0, 1])
def test_nothing_to_see_yet(steps, looks):
    found = diagnose(make_history([1.0] * steps, looks=[(steps, 0.9)] * looks))
    assert found.names == [NOTHING_YET] and found[0].severity == 0
    assert f"{steps} of {max(steps, 1)} steps" in repr(found) and "train for an epoch" in repr(found)
    log = [{"step": i, "loss": 1.0} for i in range(steps)]
    assert diagnose({"log_history": log}).names == [NOTHING_YET]


def test_a_run_that_has_not_come_halfway_is_not_judged_by_what_it_reached():
    flat = [1 + 0.3 * math.sin(2 * i) for i in range(40)]
    looks = [(10 * i, 0.98 + 0.001 * i) for i in range(1, 5)]
    assert diagnose(make_history(flat, looks=looks, total_steps=100)).names == []
    assert diagnose(make_history(flat, looks=looks, total_steps=60)).names == ["too slow"]
    assert diagnose(make_history([*flat, math.nan], looks=looks, total_steps=100)).names == ["diverged"]


# -------------------------------------------------------------------------------------------------- other records


def trainer_log(history):
    """What transformers' Trainer would have logged of a history, every third step."""
    between = 3
    rows = range(between - 1, len(history), between)
    log = [
        {
            "step": i + 1,
            "epoch": (i + 1) / history.steps_per_epoch,
            "loss": float(history.loss[i + 1 - between : i + 1].mean()),
            "grad_norm": float(history.grad_norm[i]),
            "learning_rate": float(history.lr[i].max()),
        }
        for i in rows
    ]
    log += [{"step": e["step"], "epoch": e["epoch"], "eval_loss": e["loss"], "eval_runtime": 1} for e in history.evals]
    log.sort(key=lambda entry: entry["step"])
    return log + [{"step": len(history), "epoch": 3.0, "train_runtime": 9.0, "train_loss": 0.5, "total_flos": 0.0}]


def test_a_trainer_state_in_all_its_forms(tmp_path):
    [kept] = [p for p in RUNS if p.case == "plain SGD at 2e-5" and p.seed == 1]
    state = {"log_history": trainer_log(kept.history), "max_steps": 36, "global_step": 36, "train_batch_size": 8}
    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps(state), encoding="utf-8")
    trainer = SimpleNamespace(state=SimpleNamespace(**state))
    for record in (state, path, str(path), tmp_path, state["log_history"], trainer, trainer.state):
        found = diagnose(record)
        assert found.names == ["too slow"], record
    assert "12 losses up to step 36 of 36 and 6 evaluations" in repr(diagnose(path))


def test_the_state_that_transformers_really_writes(tmp_path):
    import torch
    from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, num_labels=1
    )
    rows = [{"input_ids": torch.randint(5, 50, (6,)), "labels": torch.randn(())} for _ in range(32)]
    arguments = TrainingArguments(
        tmp_path / "out", per_device_train_batch_size=4, num_train_epochs=3, learning_rate=1e-8, logging_steps=1,
        eval_strategy="epoch", save_strategy="epoch", report_to="none", use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    trainer = Trainer(BertForSequenceClassification(config), arguments, train_dataset=rows, eval_dataset=rows)
    trainer.train()
    written = sorted((tmp_path / "out").glob("checkpoint-*/trainer_state.json"))
    assert len(written) == 3
    assert diagnose(trainer).names == diagnose(trainer.state.log_history).names == ["too slow"]
    last = diagnose(max(written, key=lambda path: path.stat().st_mtime).parent)
    assert last.names == ["too slow"] and "24 losses up to step 24 of 24 and 3 evaluations" in repr(last)
    logged = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert chance_loss(trainer) == pytest.approx(np.mean(logged[:8]))


def test_a_log_with_gaps_and_repeats():
    log = trainer_log(make_history(falling(), looks=[(12, 0.5), (24, 0.3), (36, 0.2)]))
    assert diagnose(log).names == []
    again = log + [entry for entry in log if entry["step"] > 20]  # resumed from a checkpoint: logged twice
    assert repr(diagnose(again)) == repr(diagnose(log))
    less = ("grad_norm", "learning_rate")
    without = [{key: value for key, value in entry.items() if key not in less} for entry in log]
    assert diagnose(without).names == []
    # Trainer logs a finite loss where one was not a number; the gradient's norm tells.
    spoilt = [entry | {"grad_norm": math.nan} if entry["step"] >= 21 else entry for entry in log]
    assert diagnose(spoilt).names == ["diverged"]


def test_a_history_file(tmp_path):
    history = make_history(falling(), looks=[(36, 0.2)])
    history.to_json(tmp_path / "history.json")
    assert repr(diagnose(tmp_path / "history.json")) == repr(diagnose(history))


@pytest.mark.parametrize("record", [None, 3, "no/such/file.json", [], {}, [1, 2], {"log_history": 3}, object()])
def test_what_is_no_record(record):
    if record in ([], [1, 2]):
        assert diagnose(record).names == [NOTHING_YET]  # a log without an entry
        return
    with pytest.raises(CheckpointError, match="record: |no/such/file"):
        diagnose(record)


def test_damaged_files_and_wrong_recipes(tmp_path):
    path = tmp_path / "trainer_state.json"
    path.write_text("{half", encoding="utf-8")
    for record in (path, tmp_path):
        with pytest.raises(CheckpointError, match="trainer_state.json: cannot be read as JSON"):
            diagnose(record)
    odd = [{"step": 1, "epoch": "one", "loss": 1.0}, {"step": None, "loss": 2.0}, {"step": "3"}]
    assert diagnose({"log_history": odd, "max_steps": "many", "train_batch_size": "8"}).names == [NOTHING_YET]
    with pytest.raises(CheckpointError, match="loss: the log holds something that is not a number"):
        diagnose([{"step": 1, "loss": "low"}])
    with pytest.raises(RecipeError, match="recipe: dict is not a Recipe"):
        diagnose(make_history(falling()), {"lr": 1})


# ----------------------------------------------------------------------------------------------- what comes back


def test_findings_are_a_sequence_the_most_severe_first():
    given_ = [Finding(name, SEVERITY[name], ("1",), ("do",)) for name in reversed(ILLNESSES)]
    findings = Findings(given_, "a record")
    assert findings.names == list(ILLNESSES) and len(findings) == 9
    assert "overfitting" in findings and findings[0] in findings and "flu" not in findings
    assert [f.severity for f in findings] == sorted((f.severity for f in findings), reverse=True)
    assert str(findings[0]) == "diverged: 1"
    assert not Findings([], "x") and repr(Findings([], "3 steps")) == "Nothing found in 3 steps."


@pytest.mark.parametrize("kept", BROKEN[::3], ids=lambda p: p.case)
def test_the_table_is_readable(kept):
    found = diagnose(kept)
    lines = repr(found).splitlines()
    assert max(map(len, lines)) <= 120
    text = " ".join(repr(found).split())
    assert lines[0].startswith(f"{len(found)} finding") and "36" in lines[0] or kept.case != "frozen backbone"
    for finding in found:
        assert finding.name.split()[0] in text
        order = [text.index(f"{i}. {remedy.split()[0]}") for i, remedy in enumerate(finding.remedies, start=1)]
        assert len(order) == len(finding.remedies)


def test_the_public_name_works_whatever_was_imported_first():
    for first in ("", "import ftlab.clinic.diagnosis; ", "from ftlab.clinic.diagnosis import Findings; "):
        program = f"import ftlab as ft; {first}print(ft.diagnose([]).names)"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
        assert done.stdout.strip() == f"[{NOTHING_YET!r}]", done.stderr
    assert ft.diagnose(BROKEN[0]).names == diagnose(BROKEN[0]).names


NUMBERS = st.one_of(st.floats(0, 1e3), st.sampled_from([0.0, math.nan, math.inf, 1e308, 1e-300]))


@given(
    st.lists(st.tuples(NUMBERS, NUMBERS), max_size=30),
    st.lists(NUMBERS, max_size=4),
    st.sampled_from([None, Recipe(), Recipe(batch_size=1, optimizer="sgd", lr=0.0), Recipe(loss="rmse")]),
    st.booleans(),
)
def test_any_record_has_a_diagnosis(rows, looks, recipe, classes):
    history = make_history(
        [loss for loss, _ in rows],
        [norm for _, norm in rows],
        [(i + 1, loss, 0.4, 0.5) for i, loss in enumerate(looks[: len(rows)])],
        classes=classes,
    )
    with np.errstate(all="ignore"):
        found = diagnose(history, recipe)
    assert set(found.names) <= {*ILLNESSES, NOTHING_YET}
    assert repr(found)
    lost = rows and not all(map(math.isfinite, rows[-1]))  # not finite, and not again
    assert not lost or found.names[0] == "diverged"
