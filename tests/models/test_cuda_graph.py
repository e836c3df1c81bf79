"""Whole updates as CUDA graphs: the numbers of plain training, read late, and a way back to it.

Most tests run without a GPU: in place of recording an update, `recorded` lets it be done anew each time. All the rest
is what a GPU would meet: padded lengths, the table of texts, rates and rows in one copy, late reading, the guard.
"""

import inspect
import json
import threading
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import ftlab as ft
from ftlab import trainer
from ftlab.models import cuda_graph
from ftlab.models.cuda_graph import (
    READ_BACK,
    _Constants,
    _Updates,
    cuda_graphs,
    padded_lengths,
    padded_rows,
    reason_against,
)
from ftlab.trainer import prepare, training_loop

TEXTS = [f"The cat sat on the mat. {'It looked at the dog. ' * (i % 5)}Number {i}." for i in range(120)]
RECIPE = ft.Recipe(epochs=3, batch_size=4, lr=3e-3)
ALL = RECIPE.but(
    batch_size=5,
    gradient_accumulation_steps=2,
    layer_decay=0.9,
    warmup=3,
    reinit_layers=1,
    swa_start=1,
    eval_every=2,
)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "rows.jsonl"
    noise = np.random.default_rng(0).normal(0, 0.5, len(TEXTS))
    rows = [{"text": t, "target": len(t) / 50 - 1.5 + n} for t, n in zip(TEXTS, noise, strict=True)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return ft.load_data(path)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setenv("FTLAB_PRESET", "tiny")


@pytest.fixture
def recorded(tiny, monkeypatch):
    """Switch the updates on without a GPU; return the list of what would have been recorded: (sizes, length)."""
    shapes = []

    def capture(self, sizes, length):
        shapes.append((sizes, length))

        def replay():
            with self.rates_on_the_gpu(), self.constants:
                self.update(sizes, length)

        return replay

    monkeypatch.setattr(cuda_graph, "reason_against", lambda job: None)
    monkeypatch.setattr(_Updates, "capture", capture)
    return shapes


def fit(recipe, data, **arguments):
    return ft.fit(recipe, data, **{"live": False, **arguments})


def plain(recipe, data, **arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda_graph, "reason_against", lambda job: "a test wants plain training")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "training goes on without CUDA graphs")
            return fit(recipe, data, **arguments)


def same_to_rounding(run, wanted, rtol=1e-5):
    assert run.status == wanted.status and len(run.history) == len(wanted.history)
    np.testing.assert_allclose(run.history.loss, wanted.history.loss, rtol=rtol)
    np.testing.assert_allclose(run.history.grad_norm, wanted.history.grad_norm, rtol=10 * rtol)
    np.testing.assert_array_equal(run.history.lr, wanted.history.lr)
    assert [e["step"] for e in run.history.evals] == [e["step"] for e in wanted.history.evals]
    assert run.best_score == pytest.approx(wanted.best_score, rel=rtol)
    assert run.test_score == pytest.approx(wanted.test_score, rel=rtol)
    assert run.swa_score == (None if wanted.swa_score is None else pytest.approx(wanted.swa_score, rel=rtol))


# ----------------------------------------------------------------------------------------------------- padded lengths


@pytest.mark.parametrize("at_most", [1, 2, 4])
def test_padded_lengths_are_few_multiples_of_eight_and_long_enough(at_most):
    longest = np.random.default_rng(0).integers(60, 250, 100)
    lengths = padded_lengths(longest, 256, at_most)
    assert 1 <= len(lengths) <= at_most and lengths == sorted(set(lengths))
    assert all(length % 8 == 0 for length in lengths)
    assert longest.max() <= lengths[-1] <= 256
    served = np.searchsorted(lengths, longest)
    assert np.bincount(served, minlength=len(lengths)).min() >= len(longest) // (2 * at_most)


def test_no_length_is_above_what_the_model_takes():
    assert padded_lengths([70, 77, 77, 77], 77)[-1] == 77
    assert padded_lengths([13], 256) == [16]


def test_few_updates_record_few_graphs(recorded, data):
    fit(RECIPE.but(epochs=1), data)  # 12 updates
    assert len(recorded) == 1
    fit(RECIPE.but(epochs=3), data)  # 36 updates
    assert 2 <= len(recorded) - 1 <= 3


def test_a_smaller_batch_makes_few_more_shapes(recorded, data):
    fit(ALL.but(batch_size=5, gradient_accumulation_steps=3), data)  # 48 texts: 9 batches of 5 and one of 3
    kinds = {sizes for sizes, _ in recorded}
    assert kinds <= {(5, 5, 5), (5, 5, 3), (5,), (3,)} and len(recorded) == len(set(recorded))
    longest = max(length for _, length in recorded)
    assert all(length == longest for sizes, length in recorded if sizes != (5, 5, 5))


# ------------------------------------------------------------------------------------------------------------ the table


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_table_is_what_the_collator_makes(tiny, data, side):
    job = prepare(RECIPE, data)
    job.tokenizer.padding_side, usual = side, job.tokenizer.padding_side
    try:
        wanted = job.make_batch(np.arange(len(TEXTS)))
        table = padded_rows(job, wanted["input_ids"].shape[1])
        assert table.keys() == wanted.keys()
        for name, column in wanted.items():
            assert torch.equal(table[name].to(column.dtype), column), name
        assert table["labels"].dtype == wanted["labels"].dtype
        with_table = _Updates(job)
        rows = np.array([7, 3, 40])
        taken = job.make_batch(rows)
        with_table.release()
        wanted = job.make_batch(rows)
        for name in wanted:
            assert torch.equal(taken[name], wanted[name]) and taken[name].dtype == wanted[name].dtype
    finally:
        job.tokenizer.padding_side = usual


# ----------------------------------------------------------------------------------- the same numbers as plain training


@pytest.mark.parametrize(
    "recipe",
    [
        RECIPE,
        ALL,
        RECIPE.but(loss="rmse", batch_size=7),
        RECIPE.but(max_grad_norm=None, batch_size=48),
        RECIPE.but(head="mean"),
    ],
    ids=["default", "all techniques", "rmse and a smaller batch", "one batch an epoch", "mean head"],
)
def test_the_numbers_are_those_of_plain_training(recorded, data, recipe):
    run = fit(recipe, data)
    assert recorded
    same_to_rounding(run, plain(recipe, data))
    np.testing.assert_array_equal(run.history.lr, run.schedule.lr)


def test_classes(recorded, data):
    frame = data.frame.assign(label=np.where(data.targets > 0, "long", "short"))
    classes = ft.load_data(frame.drop(columns="target"), target="label")
    same_to_rounding(fit(RECIPE.but(batch_size=7), classes), plain(RECIPE.but(batch_size=7), classes))


def test_a_resumed_run_repeats_itself_bit_for_bit(recorded, data, tmp_path):
    whole = fit(ALL, data)
    stop = threading.Event()

    class Stop(ft.Callback):
        def on_evaluate(self, history):
            if len(history) >= 4:
                stop.set()

    first = fit(ALL, data, checkpoint_dir=tmp_path, callbacks=[Stop()], stop=stop)
    assert first.status == "interrupted" and len(first.history) == 4
    again = fit(ALL, data, checkpoint_dir=tmp_path, resume=True)
    np.testing.assert_array_equal(again.history.loss, whole.history.loss)
    np.testing.assert_array_equal(again.history.grad_norm, whole.history.grad_norm)
    assert (again.test_score, again.swa_score) == (whole.test_score, whole.swa_score)


def test_the_loop_shows_nothing_of_it():
    assert "graph" not in inspect.getsource(training_loop)


# --------------------------------------------------------------------------------------------------------- reading late


class Watch(ft.Callback):
    """Note how long the history is after each update, and at each evaluation; stop or fail after some of them."""

    def __init__(self, stop_at=None, fail_at=None):
        self.stop_at, self.fail_at, self.lengths, self.at_evaluations = stop_at, fail_at, [], []

    def on_train_begin(self, history, schedule, stop):
        self.stop = stop

    def on_step(self, history):
        self.lengths.append(len(history))
        if len(self.lengths) == self.stop_at:
            self.stop.set()
        if len(self.lengths) == self.fail_at:
            raise KeyboardInterrupt

    def on_evaluate(self, history):
        self.at_evaluations.append((len(history), len(self.lengths), history.evals[-1]["step"]))


def test_the_history_is_at_most_fifteen_updates_behind_and_complete_at_evaluations(recorded, data):
    watch = Watch()
    fit(RECIPE.but(batch_size=1, epochs=1), data, callbacks=[watch])
    behind = 1 + np.arange(48) - np.array(watch.lengths)
    assert behind.max() == READ_BACK - 1 and behind[-1] == 0
    assert watch.at_evaluations == [(48, 48, 48)]


@pytest.mark.parametrize("stop_at", [1, 5, 12])
def test_stop_ends_the_run_after_the_update_in_progress(recorded, data, stop_at):
    run = fit(RECIPE, data, callbacks=[Watch(stop_at=stop_at)])
    assert run.status == "interrupted" and len(run.history) == stop_at
    np.testing.assert_array_equal(run.history.lr, run.schedule.lr[:stop_at])


def test_an_interrupt_keeps_every_update_done(recorded, data):
    run = fit(RECIPE, data, callbacks=[Watch(fail_at=5)])
    assert run.status == "interrupted" and len(run.history) == 5


@pytest.fixture
def broken(data):
    """The data with a target whose squared error is infinite in 32 bits, and a fold that trains on it."""
    row = int(data.split(0).train[20])
    frame = data.frame.copy()
    frame.loc[frame.index[row], "target"] = 1e25
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        changed = ft.load_data(frame)
    fold = next(fold for fold in range(5) if (np.abs(changed.targets[changed.split(fold).train[:48]]) > 1e20).any())
    return changed, fold


def test_after_a_loss_that_is_not_finite_nothing_is_changed_any_more(recorded, broken):
    data, fold = broken
    recipe = RECIPE.but(batch_size=2, epochs=1)
    run, wanted = fit(recipe, data, fold=fold), plain(recipe, data, fold=fold)
    assert run.status == wanted.status == "diverged"
    assert len(run.history) == len(wanted.history) < 24
    assert run.history.loss[-1] == wanted.history.loss[-1] == np.inf
    for a, b in zip(run.final_model.parameters(), wanted.final_model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_stopped_and_diverged_is_diverged(recorded, broken):
    data, fold = broken
    recipe = RECIPE.but(batch_size=2, epochs=1)
    steps = len(plain(recipe, data, fold=fold).history)
    assert steps % READ_BACK  # not read back by chance
    run = fit(recipe, data, fold=fold, callbacks=[Watch(stop_at=steps)])
    assert run.status == "diverged" and len(run.history) == steps


# --------------------------------------------------------------------------------------------- the switch, the way back


def job_on(
    device="cuda", processes=1, scaler=None, optimizer="adamw", columns=("input_ids", "length", "label"), rows=9
):
    class Rows(list):
        column_names = columns

    return SimpleNamespace(
        accelerator=SimpleNamespace(device=torch.device(device), num_processes=processes, scaler=scaler),
        recipe=ft.Recipe(optimizer=optimizer),
        rows=Rows(range(rows)),
        batches=SimpleNamespace(lengths=np.array([250])),
    )


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"device": "cpu"}, "the device is cpu"),
        ({"processes": 2}, "several processes"),
        ({"scaler": object()}, "fp16"),
        ({"optimizer": "sgd"}, "optimizer='sgd'"),
        ({"optimizer": "bertadam"}, "optimizer='bertadam'"),
        ({"columns": ("input_ids", "bbox", "length", "label")}, "bbox"),
        ({"rows": 10**6}, "GB on the GPU"),
    ],
)
def test_the_reasons_against(changes, said):
    assert said in reason_against(job_on(**changes))


def test_no_reason_and_the_switch(monkeypatch):
    assert reason_against(job_on()) is None
    monkeypatch.setenv("FTLAB_CUDA_GRAPHS", "0")
    assert reason_against(job_on()) == "FTLAB_CUDA_GRAPHS=0"


def test_on_a_cpu_nothing_is_changed_and_nothing_is_said(tiny, data):
    job = prepare(RECIPE, data)
    before = dict(vars(job))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with cuda_graphs(job):
            assert vars(job) == before


def test_a_job_has_its_own_parts_again_afterwards(recorded, data):
    job = prepare(RECIPE, data)
    names = {"forward_and_backward", "record"}
    with cuda_graphs(job):
        assert names <= vars(job).keys() and "make" in vars(job.batches)
        assert training_loop(job, job.recipe) == "completed"
    assert not names & vars(job).keys() and "make" not in vars(job.batches)
    assert not {"step", "zero_grad"} & vars(job.optimizer).keys()
    assert all(isinstance(group["lr"], float) and not group["capturable"] for group in job.optimizer.param_groups)
    assert not hasattr(job.optimizer.optimizer, "found_inf")


@pytest.mark.parametrize("good", [0, 1])
def test_a_model_that_cannot_be_recorded_is_trained_as_it_is_and_one_line_says_why(recorded, data, monkeypatch, good):
    works = _Updates.capture

    def capture(self, sizes, length):
        if len(self.graphs) == good:
            raise RuntimeError("operation not permitted when stream is capturing\nand much more")
        return works(self, sizes, length)

    monkeypatch.setattr(_Updates, "capture", capture)
    with pytest.warns(UserWarning, match="without CUDA graphs.*HeadedModel.*RuntimeError: operation not perm") as said:
        run = fit(RECIPE, data)
    assert len(said) == 1 and "much more" not in str(said[0].message)
    same_to_rounding(run, plain(RECIPE, data))


def test_constants_reach_a_graph_without_a_copy():
    mode = _Constants()
    with mode:
        first = torch.arange(6).reshape(2, 3).to("meta")
        again = torch.arange(6).reshape(2, 3).to("meta")
        other = torch.arange(6).to("meta")
        cast = torch.arange(3).to(torch.float32)
        number = torch.tensor(2.5, device="meta", dtype=torch.float64)
    assert again is first and other is not first and len(mode.kept) == 2
    assert cast.device.type == "cpu" and torch.equal(cast, torch.tensor([0.0, 1.0, 2.0]))
    assert (number.shape, number.dtype, number.device.type) == ((), torch.float64, "meta")


# ----------------------------------------------------------------------------------------------------------- with a GPU


@pytest.fixture(scope="module")
def passages():
    return ft.load_data("passages")


def exactly_recorded(run_of):
    """Run; fail on any warning about CUDA graphs."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "training goes on without CUDA graphs")
        return run_of()


REAL = ft.Recipe(epochs=1)
TECHNIQUES = REAL.but(
    batch_size=10,
    gradient_accumulation_steps=2,
    layer_decay=0.9,
    warmup=3,
    reinit_layers=2,
    swa_start=0.5,
    eval_every=7,
)


@needs_gpu
@pytest.mark.parametrize("recipe", [REAL, TECHNIQUES, REAL.but(dropout=0.1)], ids=["default", "all", "dropout"])
def test_graphs_train_as_plain_training_does(passages, recipe):
    run = exactly_recorded(lambda: fit(recipe, passages))
    same_to_rounding(run, plain(recipe, passages), rtol=2e-3)  # rounding grows from update to update
    again = fit(recipe, passages)
    np.testing.assert_array_equal(again.history.loss, run.history.loss)


@needs_gpu
def test_bf16_graphs_train_as_plain_training_does(passages, bf16):
    same_to_rounding(exactly_recorded(lambda: fit(REAL, passages)), plain(REAL, passages), rtol=5e-2)


@needs_gpu
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_graphs_resume_bit_for_bit(passages, tmp_path, dropout):
    recipe = TECHNIQUES.but(dropout=dropout)
    whole = exactly_recorded(lambda: fit(recipe, passages))
    fit(recipe, passages, checkpoint_dir=tmp_path, callbacks=[Watch(stop_at=9)])
    again = fit(recipe, passages, checkpoint_dir=tmp_path, resume=True)
    np.testing.assert_array_equal(again.history.loss, whole.history.loss)
    assert (again.test_score, again.swa_score) == (whole.test_score, whole.swa_score)


@needs_gpu
def test_graphs_stop_and_diverge_as_plain_training_does(tiny, broken, passages):
    data, fold = broken
    recipe = RECIPE.but(batch_size=2, epochs=1)
    run, wanted = exactly_recorded(lambda: fit(recipe, data, fold=fold)), plain(recipe, data, fold=fold)
    assert run.status == wanted.status == "diverged" and len(run.history) == len(wanted.history)
    for a, b in zip(run.final_model.parameters(), wanted.final_model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)
    run = exactly_recorded(lambda: fit(RECIPE, passages, callbacks=[Watch(stop_at=5)]))
    assert run.status == "interrupted" and len(run.history) == 5


@needs_gpu
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_a_model_that_asks_the_gpu_for_a_number_is_trained_as_it_is(tiny, data, monkeypatch, dropout):
    load = trainer.tiny_model

    def curious(recipe, **arguments):
        model = load(recipe, **arguments)
        forward = model.forward

        def asking(*inputs, **named):
            output = forward(*inputs, **named)
            float(output.logits.sum())
            return output

        model.forward = asking
        return model

    monkeypatch.setattr(trainer, "tiny_model", curious)
    recipe = RECIPE.but(dropout=dropout)
    with pytest.warns(UserWarning, match="without CUDA graphs") as said:
        run = fit(recipe, data)
    assert len(said) == 1
    same_to_rounding(run, plain(recipe, data), rtol=1e-4)
