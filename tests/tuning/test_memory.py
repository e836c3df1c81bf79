"""Memory of a training step: the formulas against models that torch builds, and against real steps."""

from __future__ import annotations

import math
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from torch import nn

import ftlab as ft
from ftlab.errors import ModelError, RecipeError
from ftlab.recipe import Recipe
from ftlab.tuning.memory import ARCHITECTURES, FAMILIES, Architecture, estimate_memory, readable
from ftlab.tuning.peak_memory import peak_of_device, peak_of_process, restart_peak

OWN = partial(Recipe, head="auto")  # the formulas count the model's own head
SIZES = dict(hidden_size=48, num_hidden_layers=3, num_attention_heads=4, intermediate_size=112, vocab_size=100)
NO_DROPOUT = dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
CONFIGS = {
    "bert": transformers.BertConfig(**SIZES, **NO_DROPOUT, max_position_embeddings=128, use_cache=False),
    "roberta": transformers.RobertaConfig(
        **SIZES, **NO_DROPOUT, max_position_embeddings=130, type_vocab_size=1, use_cache=False
    ),
    "distilbert": transformers.DistilBertConfig(
        dim=48, n_layers=3, n_heads=4, hidden_dim=112, vocab_size=100, max_position_embeddings=128, dropout=0.0,
        attention_dropout=0.0, seq_classif_dropout=0.0,
    ),
}  # fmt: skip
PUBLISHED = {  # parameters with one output, as their ...ForSequenceClassification count them
    "minilm": 22_713_601,
    "distilbert-base-uncased": 66_954_241,
    "distilroberta-base": 82_119_169,
    "bert-base-cased": 108_311_041,
    "bert-base-uncased": 109_483_009,
    "google-bert/bert-base-uncased": 109_483_009,
    "camembert-base": 110_622_721,
    "roberta-base": 124_646_401,
    "FacebookAI/roberta-base": 124_646_401,
    "xlm-roberta-base": 278_044_417,
    "bert-large-uncased": 335_142_913,
    "roberta-large": 355_360_769,
    "FacebookAI/roberta-large": 355_360_769,
}


def family_of(name):
    return next(f for f in ("xlm-roberta", "camembert", "distilbert", "roberta", "bert") if f in name or f == "bert")


def build(config, outputs=1):
    config.num_labels = outputs
    torch.manual_seed(0)
    return transformers.AutoModelForSequenceClassification.from_config(config).train()


def saved_for_backward(model, batch_size, length, padded=True, precision="fp32"):
    """Count what autograd puts by, each piece of memory once, without the model's own and the 16-bit weights."""
    ids = torch.randint(5, 100, (batch_size, length), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    if padded:
        mask[0, length // 2 :] = 0
    own = {t.data_ptr() for t in [*model.parameters(), *model.buffers()]}
    seen = {}  # the tensors are kept, so that no address is used twice

    def pack(tensor):
        if tensor.untyped_storage().data_ptr() not in own:
            seen.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    mixed = torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else nullcontext()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), mixed:
        model(input_ids=ids, attention_mask=mask).logits.float().square().mean()
    return sum(tensor.untyped_storage().nbytes() for tensor in seen.values())


# ------------------------------------------------------------------------------------------------- by formula


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_parameters_of_well_known_models_are_those_that_torch_counts(name):
    sizes = ARCHITECTURES[name]
    config = transformers.CONFIG_MAPPING[family_of(name)](num_labels=1)
    for field, value in zip(
        FAMILIES[config.model_type],
        (sizes.layers, sizes.width, sizes.heads, sizes.intermediate, sizes.vocabulary, sizes.positions, sizes.types),
        strict=True,
    ):
        if field:
            setattr(config, field, value)
    with torch.device("meta"):  # shapes alone: a large model costs nothing
        model = transformers.AutoModelForSequenceClassification.from_config(config)
    count = sum(p.numel() for p in model.parameters())
    assert sizes.parameters == count == PUBLISHED[name]
    assert Architecture.of(config) == sizes
    in_blocks = sum(p.numel() for n, p in model.named_parameters() if ".layer.0." in n)
    assert sizes.layer_parameters == in_blocks
    assert sizes.embedding_parameters == sum(p.numel() for n, p in model.named_parameters() if ".embeddings." in n)


def test_minilm_is_the_model_that_is_loaded():
    model = ft.load_model(OWN())
    assert estimate_memory("minilm").parts["weights"] == sum(p.numel() * p.element_size() for p in model.parameters())
    assert Architecture.of(model.config) == ARCHITECTURES["minilm"]


@pytest.mark.parametrize("outputs", [1, 5])
@pytest.mark.parametrize("family", CONFIGS)
def test_weights_gradients_and_states_are_exact(family, outputs):
    model = build(CONFIGS[family], outputs)
    expected = sum(p.numel() * 4 for p in model.parameters())
    for optimizer, states in (("adamw", 2), ("bertadam", 2), ("sgd", 0)):
        parts = estimate_memory(model.config, optimizer=optimizer, swa=True).parts
        assert parts["weights"] == parts["gradients"] == parts["averaged copy"] == expected
        assert parts.get("optimizer states", 0) == states * expected
    halved = estimate_memory(model.config, precision="pure bf16", swa=True)
    assert halved.parts["weights"] == expected // 2 and halved.best_checkpoint == expected // 2


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("precision", ["fp32", "bf16", "pure bf16"])
def test_activations_are_what_autograd_saves(family, precision):
    """All but the tables' indices (at most two numbers of 8 bytes a token) and the head's few numbers a text."""
    model = build(CONFIGS[family])
    if precision == "pure bf16":
        model = model.to(torch.bfloat16)
    for batch_size in (1, 3, 16):
        for length in (4, 20, 128):
            for padded in (True, False):
                saved = saved_for_backward(model, batch_size, length, padded, precision)
                estimate = estimate_memory(
                    model.config, batch_size=batch_size, length=length, precision=precision, padded=padded
                )
                expected = estimate.parts["activations"] + estimate.parts.get("16-bit weights", 0)
                slack = 16 * batch_size * length + 5 * 48 * batch_size
                assert abs(expected - saved) <= slack, (batch_size, length, padded, saved, expected)


def test_activations_agree_with_korthikanti_et_al():
    """At 2 bytes a number 34 s b h bytes a layer, less two dropout masks of one byte, attention scores aside."""
    b, s, h = 8, 128, 768
    sizes = {"heads": 0, "intermediate": 4 * h, "vocabulary": 100, "width": h}
    two, one = (
        estimate_memory(
            Architecture(layers=n, **sizes), batch_size=b, length=s, precision="pure bf16", padded=False
        ).parts["activations"]
        for n in (2, 1)
    )
    statistics = 8 * s * b  # of the two norms, which the paper neglects
    assert two - one - statistics == 32 * s * b * h


def test_batch_and_length_move_activations_alone():
    small, large = estimate_memory(batch_size=4), estimate_memory(batch_size=8)
    assert {part for part in small.parts if small.parts[part] != large.parts[part]} == {"activations"}
    assert large.parts["activations"] == 2 * small.parts["activations"]
    longer = estimate_memory(batch_size=4, length=512)
    assert longer.parts["activations"] > 2 * small.parts["activations"], "the mask grows with the square"
    kept = estimate_memory(batch_size=4, checkpointing=True)
    assert kept.parts["activations"] < small.parts["activations"] / 6 and kept.peak < small.peak


def test_accumulation_is_the_way_out():
    model = "roberta-large"
    big = estimate_memory(model, batch_size=64)
    small = estimate_memory(model, batch_size=4, accumulate=True)
    assert small.peak < big.peak / 3 and big.fits == 80 and small.fits == 8
    once = estimate_memory(model, batch_size=4)
    assert small.parts == once.parts and small.peak > once.peak, "earlier gradients wait through the forward pass"
    assert estimate_memory(model, batch_size=512, length=512).fits is None


def test_sizes_are_written_with_their_unit():
    written = [readable(n) for n in (0, 999, 1000, 12_400, 999_499, 999_600, 203e6, 1.294e9, 99.94e9, 250e9)]
    assert written == ["0 B", "999 B", "1 kB", "12 kB", "999 kB", "1 MB", "203 MB", "1.29 GB", "99.94 GB", "250 GB"]


@pytest.mark.parametrize(
    ("values", "error", "parts"),
    [
        ({"model": "gpt-9"}, ModelError, ["'gpt-9'", "roberta-base", "AutoConfig"]),
        ({"model": transformers.DebertaV2Config()}, ModelError, ["'deberta-v2'", "distilbert"]),
        ({"model": SimpleNamespace()}, ModelError, ["'SimpleNamespace'"]),
        ({"batch_size": 0}, RecipeError, ["batch_size", "0", "1 or more"]),
        ({"batch_size": 2.0}, RecipeError, ["batch_size", "2.0"]),
        ({"length": True}, RecipeError, ["length", "True"]),
        ({"optimizer": "lion"}, RecipeError, ["optimizer", "'lion'", "adamw"]),
        ({"precision": "int8"}, RecipeError, ["precision", "'int8'", "pure bf16"]),
    ],
)
def test_what_cannot_be_worked_out_is_refused(values, error, parts):
    with pytest.raises(error) as caught:
        estimate_memory(**values)
    assert all(part in str(caught.value) for part in parts), str(caught.value)


# -------------------------------------------------------------------------------------------------- measured


@pytest.fixture(scope="module")
def data():
    return ft.load_data("passages")


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setenv("FTLAB_PRESET", "tiny")


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA's allocator rounds the sizes of small tensors up")
@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        (OWN(), {}),
        (OWN(batch_size=2), {}),
        (OWN(max_length=16), {"checkpointing": True}),
        (OWN(), {"checkpointing": True}),
        (OWN(), {"precision": "bf16"}),
        (OWN(), {"precision": "fp16"}),
        (OWN(), {"precision": "bf16", "checkpointing": True}),
        (OWN(), {"precision": "pure bf16"}),
        (OWN(swa_start=1), {}),
        (OWN(optimizer="sgd"), {}),
        (OWN(optimizer="bertadam", batch_size=1), {}),
        (OWN(batch_size=4, gradient_accumulation_steps=4), {}),
        (OWN(batch_size=16, gradient_accumulation_steps=2), {"checkpointing": True}),
        # so many texts that activations decide
        (OWN(batch_size=48, optimizer="sgd"), {}),
        (OWN(batch_size=48, optimizer="sgd"), {"checkpointing": True}),
        (OWN(batch_size=48, optimizer="sgd"), {"precision": "bf16"}),
        (OWN(batch_size=48, optimizer="sgd"), {"precision": "pure bf16"}),
    ],
)
def test_a_real_step_holds_what_the_formulas_say(tiny, data, recipe, options, monkeypatch):
    """The estimate's peak within 2 % of the measured one, its activations within 3 % of what the forward pass left."""
    monkeypatch.setattr("ftlab.techniques.bertadam._PIECE", math.inf)  # as on a GPU, a group at a time
    measured = ft.measure_memory(recipe, data, **options)
    estimate = measured.estimate
    assert set(measured.parts) == set(estimate.parts), "the same parts have the same names"
    for part in set(measured.parts) - {"activations", "16-bit weights"}:
        assert estimate.parts[part] == pytest.approx(measured.parts[part], rel=2e-4), part  # Adam also counts steps
    for part in ("activations", "16-bit weights"):
        assert estimate.parts.get(part, 0) == pytest.approx(measured.parts.get(part, 0), rel=0.03), part
    activations = estimate.parts["activations"] + estimate.parts.get("16-bit weights", 0)
    assert estimate.peak == pytest.approx(measured.peak, rel=0.02)
    assert measured.batch_size == recipe.batch_size and measured.length == min(recipe.max_length, 48)
    if not options.get("checkpointing"):
        assert activations == pytest.approx(measured.saved, rel=0.01)
    else:
        assert measured.peak < ft.measure_memory(recipe, data, precision=options.get("precision", "fp32")).peak * 1.01


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU BertAdam updates a group at a time")
def test_on_a_cpu_bertadam_holds_no_copy_of_a_group(tiny, data, monkeypatch):
    recipe = OWN(optimizer="bertadam", batch_size=1)
    cut = ft.measure_memory(recipe, data)
    monkeypatch.setattr("ftlab.techniques.bertadam._PIECE", math.inf)
    assert cut.peak < 0.95 * ft.measure_memory(recipe, data).peak
    assert cut.peak < cut.estimate.peak


def test_the_default_head_is_within_a_hundredth_of_the_models_own():
    own, default = (sum(p.numel() for p in ft.load_model(recipe).parameters()) for recipe in (OWN(), Recipe()))
    assert default == pytest.approx(own, rel=0.01) and default < own


def test_measuring_leaves_no_trace(tiny, data):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first, second = (ft.measure_memory(Recipe(batch_size=2), data) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert (first.parts, first.peak, first.saved) == (second.parts, second.peak, second.saved)
    assert first.peak_rss is None or first.peak_rss > first.peak
    assert first.device == "cpu" or torch.cuda.is_available()


def test_the_peak_of_the_process_is_measured_anew():
    if not restart_peak():
        pytest.skip("the system does not measure a process's peak anew")
    before = peak_of_process()
    array = np.ones(2**23)  # 64 MiB, written to
    assert peak_of_process() - before == pytest.approx(array.nbytes, rel=0.1)
    del array
    assert peak_of_process() - before > 60 * 2**20, "the peak stays"
    restart_peak()
    assert peak_of_process() - before < 20 * 2**20
    assert (peak_of_device() is None) == (not torch.cuda.is_available())


def test_the_meter_counts_what_is_held_and_releases_it():
    from ftlab.tuning.memory_meter import _TensorMeter

    given = torch.ones(1000)
    with _TensorMeter(fixed=500) as meter:
        a = given * 2  # 4,000 bytes
        view = a[:10]
        a.add_(1)
        given.add_(1)
        assert meter.now() == 4500
        del a
        assert meter.now() == 4500, "its view holds it"
        b = torch.zeros(250)
        del view, b
        assert (meter.now(), meter.peak()) == (500, 5500)
        meter.restart()
        assert meter.peak() == 500
    c = nn.Linear(3, 3)  # outside nothing is counted
    assert meter.now() == 500 and c is not None


def test_a_family_without_formulas_is_measured_all_the_same(monkeypatch, data, tmp_path):
    from tests import model_families

    folder = model_families.save(tmp_path / "electra", "electra")
    measured = ft.measure_memory(Recipe(model=str(folder), batch_size=2, max_length=16), data)
    assert measured.estimate is None and measured.peak > 2 * measured.parts["weights"]


def test_an_unknown_precision_is_refused(data):
    with pytest.raises(RecipeError, match="precision: 'int4'"):
        ft.measure_memory(Recipe(), data, precision="int4")
