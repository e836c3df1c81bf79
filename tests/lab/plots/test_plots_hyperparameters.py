"""The pictures of batch size: what is drawn is what was measured, and the sentence says it."""

from __future__ import annotations

import numpy as np
import pytest

from ftlab.lab import plots
from ftlab.lab.plots.hyperparameters import PART_LOOKS
from ftlab.tuning.gradient_noise import GradientNoise
from ftlab.tuning.memory import estimate_memory, readable

NOISE = GradientNoise((1, 4, 16), (9.0, 3.0, 1.5), (8.2, 1.9, 0.5), 64, 1.125)  # signal 1, noise 8
LOST = GradientNoise((1, 4, 16), (8.0, 2.0, 0.5), (8.2, 1.9, 0.5), 64, 0.1)
FULL = estimate_memory("roberta-large", precision="bf16", swa=True)


def line(axes, label):
    [found] = [line for line in axes.lines if line.get_label() == label]
    return found


def test_the_noise_is_drawn_beside_its_law_with_the_scale_where_both_meet():
    picture = plots.plot_gradient_noise({"start": NOISE})
    [axes] = picture.axes
    assert axes.get_xscale() == axes.get_yscale() == "log"
    x, y = line(axes, "start: measured").get_data()
    assert x.tolist() == [1, 4, 16] and y.tolist() == [8.2, 1.9, 0.5]
    x, y = line(axes, "its law, tr(Σ) / B").get_data()
    np.testing.assert_allclose(x * y, 8.0)
    assert line(axes, "its signal |G|²; noise scale 8 examples").get_ydata() == pytest.approx([1, 1])
    meeting = axes.lines[-1].get_data()
    assert [float(v[0]) for v in meeting] == pytest.approx([8.0, 1.0])
    assert "variance 8.2 at batch size 1, 0.5 at 16, noise scale 8 examples" in picture.sentence


def test_a_noise_without_signal_and_several_measurements_can_be_drawn():
    picture = plots.plot_gradient_noise({"start": NOISE, "later": LOST})
    labels = [line.get_label() for line in picture.axes[0].lines]
    assert "later: measured" in labels and sum(label.startswith("its signal") for label in labels) == 1
    assert "later: " in picture.sentence and "noise scale beyond measure" in picture.sentence
    assert picture.png().startswith(b"\x89PNG")


def test_a_noise_scale_far_beyond_the_batches_leaves_the_picture_as_it_is():
    far = GradientNoise((1, 16), (1000.0, 63.4), (999.0, 62.4), 64, 16.5)
    assert 64 * 16 < far.b_simple < 1e5
    [axes] = plots.plot_gradient_noise({"far": far}).axes
    assert axes.get_xlim()[1] < 64


def test_parts_stand_one_after_the_other_and_add_up():
    small = estimate_memory("roberta-large", batch_size=2, checkpointing=True)
    picture = plots.plot_memory({"mixed": FULL, "small": small})
    [axes] = picture.axes
    bars = {bars.get_label(): bars.patches for bars in axes.containers}
    assert set(bars) == set(FULL.parts) == set(PART_LOOKS)
    for row, memory in enumerate((FULL, small)):
        end = 0.0
        for part in PART_LOOKS:
            assert bars[part][row].get_x() == pytest.approx(end)
            assert bars[part][row].get_width() == pytest.approx(memory.parts.get(part, 0) / 1e9)
            end += bars[part][row].get_width()
        assert end == pytest.approx(memory.total / 1e9)
    assert line(axes, "most at one moment").get_xdata() == pytest.approx([FULL.peak / 1e9] * 2)
    words = {text.get_text().strip() for text in axes.texts}
    assert {"8 GB GPU", f"at most {readable(FULL.peak)}", f"at most {readable(small.peak)}"} == words
    assert f"mixed: weights {readable(FULL.parts['weights'])}" in picture.sentence
    looks = [(bars[part][0].get_facecolor(), bars[part][0].get_hatch()) for part in PART_LOOKS]
    assert len(set(looks)) == len(looks)


def test_a_small_model_is_drawn_without_a_gpu_s_size():
    picture = plots.plot_memory({"MiniLM": estimate_memory()})
    assert not [text for text in picture.axes[0].texts if "GPU" in text.get_text()] and picture.png()


def test_the_peak_by_batch_size_stands_beside_gpu_sizes_up_to_the_next():
    sizes = [1, 8, 16, 64]
    peaks = [estimate_memory("roberta-large", batch_size=n).peak for n in sizes]
    lines = plots.memory_lines(sizes, peaks)
    assert [line.label for line in lines] == ["this setting", "8 GB GPU", "16 GB GPU", "24 GB GPU", "80 GB GPU"]
    np.testing.assert_allclose(lines[0].y, np.array(peaks) / 1e9)
    assert len({line.dash for line in lines}) == 5
    assert [line.label for line in plots.memory_lines([1, 2], [3 * 10**9, 9 * 10**9])][1:] == ["8 GB GPU", "16 GB GPU"]
    assert len(plots.memory_lines([1, 2], [10**11, 2 * 10**11])) == 5
    picture = plots.plot_memory_setting(FULL, sizes, peaks, 16, "RoBERTa-large")
    left, right = picture.axes
    widths = [bar.get_width() for bar in left.patches]
    assert widths == pytest.approx([size / 1e9 for size in (*FULL.parts.values(), FULL.peak, FULL.best_checkpoint)])
    assert right.lines[-1].get_xdata().tolist() == [16] and right.get_ylim()[0] == 0
    assert picture.sentence == plots.describe_memory(FULL, "RoBERTa-large") and picture.png()
    assert picture.sentence.startswith("RoBERTa-large: weights 1.42 GB, ")
