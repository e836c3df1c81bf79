"""Layer maps through what people put around a model, and checkpoints that were saved from inside it."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

from ftlab.errors import ModelError
from ftlab.models.layer_map import layer_map
from ftlab.models.load import load_model, tiny_model
from ftlab.recipe import Recipe
from ftlab.techniques.llrd import param_groups
from ftlab.techniques.reinit import reinit_top_layers
from ftlab.trainer import make_optimizer
from tests.model_families import MAPPED, one_thread, recipe, save, tiny  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")


class Adapted(nn.Module):
    """A linear layer with low-rank matrices beside it, named as PEFT's LoRA names them (Hu et al. 2022)."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base_layer = base.requires_grad_(False)
        self.lora_A = nn.ModuleDict({"default": nn.Linear(base.in_features, 2, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(2, base.out_features, bias=False)})

    def forward(self, x):
        return self.base_layer(x) + self.lora_B["default"](self.lora_A["default"](x))


class PeftLike(nn.Module):
    """Two wrappers around a model, base_model.model, that pass on what is asked of them, as PeftModel does."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.base_model = nn.Module()
        self.base_model.model = model

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.base_model.model, name)


def wrappers():
    """{what it is: (wrapper, what the names begin with in it)}"""
    return {
        "torch.compile": (torch.compile, "_orig_mod."),
        "DataParallel": (nn.DataParallel, "module."),
        "AveragedModel": (AveragedModel, "module."),
        "PEFT": (PeftLike, "base_model.model."),
        "compiled PEFT": (lambda model: torch.compile(PeftLike(model)), "_orig_mod.base_model.model."),
    }


def test_a_wrapped_model_has_the_map_of_the_model_inside():
    failed = []
    for name, (wrap, prefix) in wrappers().items():
        for family in ("bert", "deberta-v2", "gpt2", "opt", "roberta"):
            plain, model = layer_map(tiny(family)), tiny(family)
            wrapped = wrap(model)
            found = layer_map(wrapped)
            same = {prefix + key: place for key, place in plain.place.items()} == found.place
            if not same or list(found.place) != [key for key, _ in wrapped.named_parameters()]:
                failed.append(f"{name} of {family}")
        model = tiny_model(recipe(head="mean"))
        if layer_map(wrap(model)).counts() != layer_map(model).counts():
            failed.append(f"{name} of a model with a head of ours")
    assert not failed


def test_a_wrapper_inside_the_model_changes_no_place():
    model = tiny("deberta-v2")  # two of its parameters have places of their own, by name
    expected = {name.replace("deberta.", "deberta._orig_mod.", 1): p for name, p in layer_map(model).place.items()}
    model.deberta = torch.compile(model.deberta)
    assert layer_map(model).place == expected


def test_rates_reach_the_layers_of_a_wrapped_model():
    for wrap, _ in wrappers().values():
        groups = param_groups(wrap(tiny("bert")), lr=1e-3, layer_decay=0.5)
        rates = {group["layer"]: group["lr"] for group in groups}
        assert rates == {"embeddings": 6.25e-5, "layer.0": 1.25e-4, "layer.1": 2.5e-4, "layer.2": 5e-4} | dict.fromkeys(
            ("layer.3", "head"), 1e-3
        )
        optimizer = make_optimizer(Recipe(layer_decay=0.5), wrap(tiny("bert")))
        assert len({group["lr"] for group in optimizer.param_groups}) == 5


def test_the_top_of_a_wrapped_model_is_re_initialised():
    for wrap, prefix in wrappers().values():
        wrapped = wrap(tiny("bert"))
        before = {name: p.detach().clone() for name, p in wrapped.named_parameters()}
        names = reinit_top_layers(wrapped, 1)
        changed = {name for name, p in wrapped.named_parameters() if not torch.equal(p, before[name])}
        assert changed == {name for name in names if name.endswith("weight") and "Norm" not in name}
        assert all(name.startswith((f"{prefix}bert.encoder.layer.3.", f"{prefix}bert.pooler.")) for name in names)


def test_adapters_have_the_rates_of_their_layers_and_are_not_re_initialised():
    model = tiny("bert").requires_grad_(False)
    for layer in model.bert.encoder.layer:
        layer.attention.self.query = Adapted(layer.attention.self.query)
    wrapped = PeftLike(model)
    rates = {g["layer"]: (g["lr"], len(g["params"])) for g in param_groups(wrapped, lr=1e-3, layer_decay=0.5)}
    assert rates == {f"layer.{i}": (1e-3 * 0.5 ** (3 - i), 2) for i in range(4)}
    with pytest.raises(ModelError, match="is frozen and would stay random; re-initialise before you .* add adapters"):
        reinit_top_layers(wrapped, 1)


@pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="peft is not installed")
def test_peft_itself():
    from peft import LoraConfig, PromptTuningConfig, TaskType, get_peft_model

    lora = LoraConfig(task_type=TaskType.SEQ_CLS, r=2, target_modules=["query", "value"])
    groups = param_groups(get_peft_model(tiny("bert"), lora), lr=1e-3, layer_decay=0.5)
    assert {g["layer"]: g["lr"] for g in groups} == {f"layer.{i}": 1e-3 * 0.5 ** (3 - i) for i in range(4)} | {
        "head": 1e-3
    }
    prompt = PromptTuningConfig(task_type=TaskType.SEQ_CLS, num_virtual_tokens=3)
    with pytest.raises(ModelError, match="parameters beside the BertForSequenceClassification inside it .prompt_enc"):
        layer_map(get_peft_model(tiny("bert"), prompt))


def test_a_map_that_would_be_wrong_is_refused():
    class Pair(nn.Module):
        """Two towers: which of them has the layers?"""

        def __init__(self):
            super().__init__()
            self.left, self.right = tiny("bert"), tiny("bert")

    class WithHead(nn.Module):
        def __init__(self):
            super().__init__()
            self.model, self.scale = tiny("bert"), nn.Parameter(torch.ones(1))

    with pytest.raises(
        ModelError, match=r"Pair has parameters beside the BertForSequ.* \(right\.bert\..*, 73 in all\)"
    ):
        layer_map(Pair())
    with pytest.raises(
        ModelError, match=r"WithHead has parameters beside .* \(scale, 1 in all\).*give the model inside"
    ):
        layer_map(WithHead())
    model = tiny("bert")
    model.bert.encoder.layer[2] = nn.Identity()
    with pytest.raises(ModelError, match="has no parameter in layer.2, so its names do not tell the layers apart"):
        layer_map(model)


def test_no_family_has_an_empty_layer():
    for family in MAPPED:
        counts = layer_map(tiny(family)).counts()
        assert all(counts[layer] for layer in list(counts)[1:-1]), family


@pytest.mark.parametrize("head", ["auto", "mean"])
@pytest.mark.parametrize(
    "prefix", ["_orig_mod.", "module.", "base_model.model.", "module._orig_mod.", "_orig_mod.bert."]
)
def test_the_remedy_for_weights_saved_from_a_wrapper_helps(tmp_path, prefix, head):
    file = save(tmp_path, "bert") / "model.safetensors"
    plain = load_file(file)
    if head == "auto":  # saved from the whole model, not from the backbone
        plain = {f"bert.{name}": value for name, value in plain.items()}
    save_file({prefix + name: value for name, value in plain.items()}, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="the names of its weights begin with") as caught:
        load_model(recipe(tmp_path, head=head))
    message = str(caught.value)
    remedy = message[message.index("safetensors.torch.") :].removeprefix("safetensors.torch.")
    exec(remedy, {"save_file": save_file, "load_file": load_file, "file": file})  # word for word
    model = load_model(recipe(tmp_path, head=head))
    expected = tiny("bert").bert.encoder.layer[3].output.dense.weight
    assert torch.equal(
        (model.bert if head == "auto" else model.backbone).encoder.layer[3].output.dense.weight, expected
    )
