"""The pictures of batch size: what is drawn is what was measured, and the sentence says it."""

from __future__ import annotations

import numpy as np
import pytest

from ftlab.lab import plots
from ftlab.lab.layout import place
from ftlab.tuning.gradient_noise import GradientNoise
from ftlab.tuning.memory import estimate_memory, readable
from ftlab.tuning.memory_meter import MeasuredMemory
from tests.lab.pictures import charts_of, line_of, problems

NOISE = GradientNoise((1, 4, 16), (9.0, 3.0, 1.5), (8.2, 1.9, 0.5), 64, 1.125)  # signal 1, noise 8
LOST = GradientNoise((1, 4, 16), (8.0, 2.0, 0.5), (8.2, 1.9, 0.5), 64, 0.1)
FULL = estimate_memory("roberta-large", precision="bf16", swa=True)


def test_the_noise_is_drawn_beside_its_law_with_the_scale_where_both_meet():
    picture = plots.plot_gradient_noise({"start": NOISE})
    [chart] = charts_of(picture)
    assert chart.x.log and chart.y.log and chart.title == "start" and "noise scale 8 examples" in chart.note
    measured = line_of(chart, "measured")
    assert measured.x.tolist() == [1, 4, 16] and measured.y.tolist() == [8.2, 1.9, 0.5]
    law = line_of(chart, "tr(Σ) / B")
    np.testing.assert_allclose(law.x * law.y, 8.0)
    assert line_of(chart, "signal |G|²").y == pytest.approx([1, 1])
    meeting = chart.lines[-1]
    assert [meeting.x[0], meeting.y[0]] == pytest.approx([8.0, 1.0])
    assert "variance 8.2 at batch size 1, 0.5 at 16, noise scale 8 examples" in picture.sentence
    assert problems(place(picture.sheet)) == []


def test_a_noise_without_signal_and_several_measurements_can_be_drawn():
    picture = plots.plot_gradient_noise({"start": NOISE, "later": LOST})
    start, later = ([line.label for line in chart.lines] for chart in charts_of(picture))
    assert "signal |G|²" in start and later == ["tr(Σ) / B", "measured"]
    assert "later: " in picture.sentence and "noise scale beyond measure" in picture.sentence
    assert picture.png().startswith(b"\x89PNG")


def test_a_noise_scale_far_beyond_the_batches_leaves_the_picture_as_it_is():
    far = GradientNoise((1, 16), (1000.0, 63.4), (999.0, 62.4), 64, 16.5)
    assert 64 * 16 < far.b_simple < 1e5
    assert charts_of(plots.plot_gradient_noise({"far": far}))[0].x.high < 64


def test_every_setting_has_a_chart_and_every_part_of_the_memory_a_bar_with_its_size():
    small = estimate_memory("roberta-large", batch_size=2, checkpointing=True)
    picture = plots.plot_memory({"mixed": FULL, "small": small})
    for chart, title, memory in zip(charts_of(picture), ("mixed", "small"), (FULL, small), strict=True):
        assert chart.title == title and list(chart.y.names) == [*FULL.parts, "most at one moment"]
        sizes = {**memory.parts, "most at one moment": memory.peak}
        assert {chart.y.names[bar.row]: bar.value * 1e9 for bar in chart.bars} == pytest.approx(sizes)
        assert [bar.note for bar in chart.bars] == [readable(sizes[chart.y.names[bar.row]]) for bar in chart.bars]
    assert [mark.label for mark in picture.sheet.charts[0].marks] == ["8 GB GPU"]
    assert f"mixed: weights {readable(FULL.parts['weights'])}" in picture.sentence
    assert problems(place(picture.sheet)) == problems(place(picture.sheet, 600)) == []


def test_a_measurement_is_crossed_by_its_estimate():
    estimate = estimate_memory(batch_size=4)
    parts = {part: 2 * size for part, size in estimate.parts.items()}
    picture = plots.plot_memory(
        {"plain": MeasuredMemory(parts, 0, estimate.peak + 10**6, None, "cpu", 4, 256, estimate)}
    )
    [chart] = charts_of(picture)
    expected = {**estimate.parts, "most at one moment": estimate.peak}
    assert {chart.y.names[bar.row]: bar.stroke * 1e9 for bar in chart.bars} == pytest.approx(expected)
    assert (
        chart.bars[0].value == pytest.approx(2 * chart.bars[0].stroke) and chart.note == "measured; stroke: estimated"
    )
    assert problems(place(picture.sheet)) == []
    [plain] = charts_of(plots.plot_memory({"estimate": estimate}))
    assert not plain.note and all(np.isnan(bar.stroke) for bar in plain.bars)


def test_a_small_model_is_drawn_without_a_gpu_s_size():
    picture = plots.plot_memory({"MiniLM": estimate_memory()})
    assert not picture.sheet.charts[0].marks and picture.png()


def test_the_peak_by_batch_size_stands_beside_gpu_sizes_up_to_the_next():
    sizes = [1, 8, 16, 64]
    peaks = [estimate_memory("roberta-large", batch_size=n).peak for n in sizes]
    lines = plots.memory_lines(sizes, peaks)
    assert [line.label for line in lines] == ["this setting", "8 GB GPU", "16 GB GPU", "24 GB GPU", "80 GB GPU"]
    np.testing.assert_allclose(lines[0].y, np.array(peaks) / 1e9)
    assert len({line.dash for line in lines}) == 5
    assert [line.label for line in plots.memory_lines([1, 2], [3 * 10**9, 9 * 10**9])][1:] == ["8 GB GPU", "16 GB GPU"]
    assert len(plots.memory_lines([1, 2], [10**11, 2 * 10**11])) == 5
    sheet = plots.memory_sheet(FULL, sizes, peaks, 16, "RoBERTa-large", "Memory", "of a step")
    parts, growth = sheet.charts
    widths = [bar.value for bar in parts.bars]
    assert widths == pytest.approx([size / 1e9 for size in (*FULL.parts.values(), FULL.peak, FULL.best_checkpoint)])
    assert growth.lines[-1].x.tolist() == [16] and growth.lines[-1].y == pytest.approx([FULL.peak / 1e9])
    assert growth.y.low == 0 and [mark.label for mark in growth.marks] == ["batch 16"]
    assert sheet.sentence == plots.describe_memory(FULL, "RoBERTa-large")
    assert sheet.sentence.startswith("RoBERTa-large: weights 1.42 GB, ")
