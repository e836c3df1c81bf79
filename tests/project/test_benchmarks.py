"""The benchmark itself: pairs measured in turn, medians of ratios, what is kept of a stopped bench, work counted right.
Nothing here depends on how long anything takes.
"""

from __future__ import annotations

import copy
import gc
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertForSequenceClassification

import ftlab as ft
from ftlab.data.batches import evaluation_batches
from ftlab.evaluate import EVALUATION_BATCH
from ftlab.recipe import Recipe
from ftlab.trainer import prepare
from ftlab.tuning.memory import ARCHITECTURES, Architecture
from tests.benchmarks import gpu, growth
from tests.benchmarks.__main__ import report_text
from tests.benchmarks.measure import Options, Row, Sides, Skip, amount, brief, measure, run, table
from tests.benchmarks.rows import ROWS
from tests.benchmarks.training import (
    ArticleLoop,
    attention_work,
    groups_by_tensor,
    matrix_rate,
    matrix_work,
    sample,
    train,
    train_bare,
)

HERE = {
    "cpu": "abacus", "cores": 2, "threads": 1, "instructions": "beads", "memory_gb": 4, "system": "None", "gpu": None,
    "versions": {"torch": "2.9"},
}  # fmt: skip
OPTIONS = Options(pairs=3, steps=2)
ROOT = Path(__file__).resolve().parents[2]


def make_row(ours, theirs, calls=None, **settings):
    """Make a row whose sides return these numbers one after the other and write down that they were called."""
    calls = [] if calls is None else calls
    left = {"ours": iter(ours), "theirs": iter(theirs)}

    def side(name):
        calls.append(name)
        return next(left[name])

    sides = Sides(lambda: side("ours"), lambda: side("theirs"), lambda: "a note", lambda: calls.append("closed"))
    return Row("a", "walking", "running", settings.pop("unit", "s"), lambda options: sides, **settings)


@pytest.fixture(autouse=True)
def no_sweeping(monkeypatch):
    """Among all tests a garbage collection takes a second, and nothing here is timed."""
    monkeypatch.setattr(gc, "collect", lambda: 0)


# -------------------------------------------------------------------------------------------------------- measuring


def test_the_sides_take_turns_and_the_first_changes():
    calls = []
    measure(make_row([1.0] * 4, [2.0] * 4, calls), OPTIONS)
    assert calls == ["ours", "theirs", "ours", "theirs", "theirs", "ours", "ours", "theirs", "closed"]
    calls.clear()
    measure(make_row([1.0] * 3, [2.0] * 3, calls, warm_up=False), replace(OPTIONS, pairs=1))
    assert calls == ["ours", "theirs", "closed"]


def test_the_ratio_is_the_median_of_the_pairs_ratios():
    """A machine that is slow for one pair is slow for both of its sides: 10, 2 and 3 here, whatever the times."""
    found = measure(make_row([1.0, 5.0, 2.0], [10.0, 10.0, 6.0], warm_up=False, at_least=3), OPTIONS)
    assert found["ratios"] == [10.0, 2.0, 3.0] and found["ratio"] == 3.0 and found["met"] is True
    assert found["theirs"] / found["ours"] == 5.0, "the ratio of the medians is another number"
    assert found["pairs"] == [(1.0, 10.0), (5.0, 10.0), (2.0, 6.0)]
    assert found["note"] == "a note" and found["options"] == asdict(OPTIONS)


@pytest.mark.parametrize(
    ("unit", "wanted", "ratio", "met"),
    [
        ("s", {"at_least": 2}, 2.0, True),
        ("s", {"at_least": 2.1}, 2.0, False),
        ("s", {"at_most": 0.5}, 0.5, True),
        ("s", {}, 0.5, None),
        ("texts/s", {"at_least": 0.5}, 0.5, True),
        ("texts/s", {"at_most": 1.9}, 2.0, False),
        ("MiB", {"at_most": 1}, 0.5, True),
    ],
)
def test_more_of_a_rate_is_better_and_less_of_anything_else(unit, wanted, ratio, met):
    row = make_row([1.0], [2.0], unit=unit, **wanted)
    assert row.ratio(1.0, 2.0) == ratio and row.met(ratio) is met


def test_what_was_set_up_is_closed_when_a_side_fails():
    calls = []
    with pytest.raises(StopIteration):
        measure(make_row([], [1.0], calls), OPTIONS)
    assert calls == ["ours", "closed"]


# ---------------------------------------------------------------------------------------------- the file and the table


def kept(number):
    return lambda: {"options": asdict(OPTIONS), "number": number}


def never():
    raise AssertionError("this is measured already")


def test_a_stopped_bench_goes_on_where_it_was(tmp_path):
    path = tmp_path / "results" / "bench.json"

    def stopped():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run({"a": kept(1), "b": stopped, "c": never}, OPTIONS, path, here=HERE, say=str)
    assert list(json.loads(path.read_text())[0]["rows"]) == ["a"] and len(list(path.parent.iterdir())) == 1
    reports = run({"a": never, "b": kept(2), "c": kept(3)}, OPTIONS, path, here=HERE, say=str)
    assert [row["number"] for row in reports[0]["rows"].values()] == [1, 2, 3]
    assert json.loads(path.read_text()) == reports
    run({"b": kept(5)}, OPTIONS, path, here=HERE, say=str, fresh=True)
    assert [row["number"] for row in json.loads(path.read_text())[0]["rows"].values()] == [1, 5, 3]


def test_other_options_and_other_versions_are_measured_anew(tmp_path):
    path = tmp_path / "bench.json"
    run({"a": kept(1), "b": kept(2)}, OPTIONS, path, here=HERE, say=str)
    (report,) = run({"a": kept(3)}, replace(OPTIONS, pairs=9), path, here=HERE, say=str)
    assert [row["number"] for row in report["rows"].values()] == [3, 2]
    said = []
    updated = {**HERE, "versions": {"torch": "2.10"}}
    (report,) = run({"a": kept(4)}, OPTIONS, path, here=updated, say=said.append)
    assert report["rows"]["a"]["number"] == 4 and list(report["rows"]) == ["a"]
    assert "other versions" in said[0]


def test_every_machine_has_a_report_of_its_own(tmp_path):
    path, other = tmp_path / "bench.json", {**HERE, "cores": 64}
    run({"a": kept(1)}, OPTIONS, path, here=HERE, say=str)
    reports = run({"b": kept(2)}, OPTIONS, path, here=other, say=str)
    assert [(report["machine"]["cores"], list(report["rows"])) for report in reports] == [(64, ["b"]), (2, ["a"])]
    reports = run({"a": never}, OPTIONS, path, here=HERE, say=str)
    assert [report["machine"]["cores"] for report in reports] == [2, 64]


def test_the_readme_has_each_row_from_the_newest_report_that_measured_it():
    row = measure(make_row([2.0] * 3, [1.6] * 3, warm_up=False), OPTIONS)
    xeon = {**HERE, "cpu": "Intel(R) Xeon(R) Processor", "instructions": "AVX512"}
    new = {"machine": xeon, "rows": {"a": row, "b": {"skipped": "no"}}}
    old = {"machine": HERE, "rows": {"a": {**row, "ratio": 99.0}, "b": row}}
    lines = brief([new, old], ["a", "b", "c"]).splitlines()
    assert lines[2:] == [
        f"| walking | running | 1.25 | stated |  | {cpu} |" for cpu in ("Intel Xeon, AVX512", "abacus, beads")
    ]
    text = report_text([new, old])
    places = ["## On 2 cores, Intel Xeon, AVX512\n", "## On 2 cores, abacus", "## On a GPU"]
    assert [text.index(place) for place in places] == sorted(text.index(place) for place in places)


def test_a_row_that_cannot_be_measured_does_not_keep_the_others_from_it(tmp_path):
    def missing():
        raise Skip("no such program")

    def broken():
        raise ValueError("by zero")

    path, said = tmp_path / "bench.json", []
    (report,) = run({"a": missing, "b": broken, "c": kept(1)}, OPTIONS, path, here=HERE, say=said.append)
    assert report["rows"]["a"] == {"skipped": "no such program"}
    assert report["rows"]["b"] == {"failed": "ValueError: by zero"} and "Traceback" in "".join(said)
    text = table(report, ["a", "b", "d"])
    assert "a: skipped: no such program" in text and "b: FAILED: ValueError: by zero" in text
    assert "d: skipped: not measured yet" in text
    (report,) = run({"a": kept(2), "b": kept(3)}, OPTIONS, path, here=HERE, say=str)  # tried again
    assert [report["rows"][name]["number"] for name in "ab"] == [2, 3]


def test_the_table():
    rows = {
        "a": measure(make_row([0.001, 0.002, 0.001], [0.5] * 3, warm_up=False, at_least=1000), OPTIONS),
        "b": measure(make_row([1500.0] * 3, [2000.0] * 3, unit="MiB", warm_up=False, at_most=1), OPTIONS),
        "c": measure(make_row([2.0] * 3, [1.6] * 3, warm_up=False), OPTIONS),
    }
    lines = table({"machine": HERE, "rows": rows}, rows).splitlines()
    assert lines[0] == "Machine: abacus, 2 cores, 1 threads, 4 GB, None. Versions: torch 2.9."
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert len({len(line) for line in lines if line.startswith("|")}) == 1, "the columns stand below each other"
    assert cells[2] == ["a", "walking", "running", "1 ms", "500 ms", "500", "250 to 500", "at least 1000", "not met"]
    assert cells[3][3:] == ["1,500 MiB", "2,000 MiB", "0.75", "0.75 to 0.75", "at most 1", "met"]
    assert cells[4][5:] == ["1.25", "1.25 to 1.25", "stated", ""]
    assert lines[-1] == "- c: a note"


def test_what_is_shown_was_measured():
    """`make bench` writes the report; the README has the same rows, in brief."""
    committed = ROOT / "data" / "results" / "bench.json"
    reports = json.loads(committed.read_text(encoding="utf-8"))
    assert committed.with_suffix(".md").read_text(encoding="utf-8") == report_text(reports)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"<!-- bench -->\n{brief(reports, ROWS)}\n<!-- /bench -->" in readme
    assert f"<!-- gpu -->\n{gpu.brief(gpu.load())}\n<!-- /gpu -->" in readme


def test_a_gpu_row_by_hand():
    made = {"graphs": [10.0, 900.0], "trainer": [1.0, 300.0], "bare": [1.0, 400.0], "bare graphs": [1.0, 1000.0]}
    result = {"data": "clear", "precision": "bf16", "texts/s whole, steady": made,
              "graphs/trainer steady": [2.0, 3.0, 4.5], "graphs/bare graphs steady": [0.9, 0.8]}  # fmt: skip
    text = gpu.brief({"device": {}, "minilm:clear:bf16": result})
    assert text.splitlines()[-1] == "| clear, bf16 | 900 | 300 | 400 | 1,000 | 3 | 0.85 |"


def test_amounts():
    assert [amount(0.25, "s"), amount(12.5, "s"), amount(0.25, "GFLOP/s")] == ["250 ms", "12.5 s", "0.25 GFLOP/s"]


def test_every_row_that_was_promised_is_there():
    wanted = {name: row.at_least or row.at_most for name, row in ROWS.items()}
    assert wanted == {
        "trainer": 1.15, "trainer-clear": 1.15, "trainer-base": 1.3, "article": 5, "article-clear": 2.3,
        "machine": 0.75, "machine-clear": 0.75, "validation": 2.5, "few": 1.1, "swa": None, "frequent": None,
        "bf16": None, "memory": 1.0, "llrd": 3, "bertadam": 1, "preview": 1000, "import": 5, "live": 1.02,
        "bench": 1.02, "update": 50, "panel": 3.5,
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------- work and opponents

SIZES = Architecture(layers=3, width=16, heads=2, intermediate=40, vocabulary=100)


def test_the_work_is_what_torch_counts():
    """Layers and attention by the formulas, and the head, which the formulas leave out, on one token a text."""
    batch, length, width = 4, 10, SIZES.width
    config = BertConfig(
        vocab_size=100, hidden_size=width, num_hidden_layers=3, num_attention_heads=2, intermediate_size=40,
        num_labels=1, attn_implementation="eager",
    )  # fmt: skip
    assert Architecture.of(config) == SIZES
    model = BertForSequenceClassification(config)
    ids = torch.zeros((batch, length), dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids).logits.sum().backward()
    head = 6 * batch * (width**2 + width)
    expected = matrix_work(SIZES, batch * length) + attention_work(SIZES, batch, length) + head
    assert counter.get_total_flops() == expected


def test_the_machine_is_given_the_same_products():
    with FlopCounterMode(display=False) as counter:
        matrix_rate(SIZES, 12, torch.device("cpu"), repeats=2)
    assert counter.get_total_flops() == 2 * matrix_work(SIZES, 12)


def test_the_articles_loop_is_as_described(monkeypatch):
    monkeypatch.setenv("FTLAB_PRESET", "tiny")
    job = prepare(Recipe(head="auto", epochs=1, dropout=None), ft.load_data("passages"))
    loop = ArticleLoop(job)
    shapes = {tuple(ids.shape) for ids, _, _ in loop.training}
    assert shapes == {(16, 250)} and len(loop.training.dataset) == len(job.split.train)
    assert {module.p for module in job.bare_model.modules() if isinstance(module, torch.nn.Dropout)} == {0.1}
    groups = groups_by_tensor(job.bare_model)
    held = [parameter for group in groups for parameter in group["params"]]
    assert [len(group["params"]) for group in groups] == [1] * len(list(job.bare_model.parameters()))
    assert {id(parameter) for parameter in held} == {id(parameter) for parameter in job.bare_model.parameters()}
    assert {group["lr"] for group in groups} == {1e-6, 1.75e-6, 3.5e-6, 3.6e-6}
    before = held[-1].detach().clone()
    assert loop.train() > 0 and not torch.equal(held[-1], before)
    # The mean of the batches' roots; here one batch holds all 24 texts, so it is the root over all.
    padded = loop.validate()
    rows = job.split.validation
    errors = job.predict(job.bare_model, rows)[:, 0] - job.data.targets[rows]
    assert padded == pytest.approx(float(np.sqrt((errors**2).mean())), rel=1e-4)


def test_the_bare_loop_does_all_the_work_of_a_run(monkeypatch):
    """At a constant rate it ends with the weights of `fit` itself; two batches make an update."""
    monkeypatch.setenv("FTLAB_PRESET", "tiny")
    recipe = Recipe(schedule="constant", warmup=0, epochs=2, batch_size=4, gradient_accumulation_steps=2, eval_every=1)
    data = ft.load_data("passages")
    job, run = prepare(recipe, data), prepare(recipe, data)
    before = copy.deepcopy(job.bare_model.state_dict())
    modes = []
    job.bare_model.register_forward_pre_hook(lambda model, _: modes.append(model.training))
    assert train_bare(job) > 0
    train(run, evaluate=True)
    after = run.bare_model.state_dict()
    for name, weights in job.bare_model.state_dict().items():
        torch.testing.assert_close(weights, after[name], rtol=1e-4, atol=1e-7)
    assert any(not torch.equal(weights, before[name]) for name, weights in after.items())
    batches = evaluation_batches(job.batches.lengths[job.split.validation], EVALUATION_BATCH["cpu"])
    assert modes.count(False) == job.schedule.total_steps * len(batches) > 0


def test_a_corpus_that_is_not_here_is_a_reason_to_skip(monkeypatch):
    monkeypatch.delenv("FTLAB_DATA", raising=False)
    with pytest.raises(Skip, match="FTLAB_DATA"):
        sample("clear", OPTIONS)
    data = sample("passages", OPTIONS)
    assert len(data.split(0).train) == 32 and sample("passages", OPTIONS).fingerprint == data.fingerprint


# -------------------------------------------------------------------------------------------------- how cost grows


def test_the_fit_finds_the_constants_it_was_made_with():
    points = [(replace(SIZES, layers=layers), b, n) for b in (1, 8) for n in (16, 300) for layers in (1, 6)]
    rows = np.array([growth.features(*point) for point in points])
    constants = np.array([0.01, 3.0, 7.0])
    np.testing.assert_allclose(growth.fit(rows, rows @ constants), constants, rtol=1e-9)
    assert growth.fit(rows, rows @ np.array([0.05, 3.0, -0.1])).min() >= 0


def test_steps_on_paper():
    """By hand: one layer of width 2 and middle width 3 has 28 weights, so 10 tokens take 1,680 operations."""
    small = Architecture(1, 2, 1, 3, 5)
    gpu = growth.Device("slow", tflops=1e-9, used=0.5, fixed=2.0, link=1e-9)  # 1,000 FLOP/s, 500 of them reached; 1 B/s
    attention = 12 * 2 * 5**2 * 2
    assert gpu.step(small, 2, 5) == pytest.approx(2.0 + (1680 + attention) / 500)
    sent = 2 * 7 / 8 * 4 * small.parameters
    assert gpu.shared_step(small, 8, 5, 8) == pytest.approx(gpu.step(small, 1, 5) + sent)
    text = " ".join(growth.paper_estimate())
    assert "2,833 texts" in text and "1,605 updates" in text and "Assumed" in text


def test_the_growth_has_a_sentence_and_a_picture():
    constants = [0.02, 0.01, 0.03]
    points = []
    for batch, length, layers in growth.POINTS:
        sizes = replace(ARCHITECTURES["minilm"], layers=layers)
        seconds = float(np.dot(constants, growth.features(sizes, batch, length)))
        place = {"batch": batch, "length": length, "layers": layers}
        points.append({**place, "seconds": seconds, "formula": 1.1 * seconds})
    study = [{"workers": w, "runs": r, "seconds": 30.0 * r / w} for w, r in growth.STUDY]
    found = {"architecture": asdict(ARCHITECTURES["minilm"]), "points": points, "constants": constants, "study": study}
    text = growth.describe(found)
    assert "fixed 20 ms, r = 100 GFLOP/s, s = 33 GFLOP/s; off by 10% in the median, 10% at most" in text
    assert "A study of 4 runs, 2 workers sharing the cores: 60 s." in text
    assert "any rate" in growth.describe({**found, "constants": [0.02, 0.01, 0.0]})
    picture = growth.picture(found)
    batches, lengths, layers, runs = picture.axes
    assert sorted(batches.lines[1].get_xdata()) == [2, 4, 8, 16, 32] and len(layers.lines[1].get_xdata()) == 5
    formula = np.interp(8, batches.lines[0].get_xdata(), batches.lines[0].get_ydata())
    assert formula == pytest.approx(points[0]["seconds"], rel=1e-3)
    assert (
        len({line.get_color() for line in runs.lines}) == len({workers for workers, _ in growth.STUDY})
        and "fixed 20 ms" in picture.sentence
    )
