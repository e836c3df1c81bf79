"""Heads of ftlab's own: what turns a Transformer's hidden states into one number, or one score a class.

The article's three (pooler, attention pooling, concatenation of the last four layers), the masked mean and a learned
mix of all depths, as one small module each, and `HeadedModel`, which joins one of them to a bare backbone and saves
both without pickle. `head="auto"` needs none of this: there the hub's own ...ForSequenceClassification brings its head.
Every head ends in one linear layer, which `final_linear` finds and whose inputs `final_inputs` gives.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from ftlab.errors import ModelError
from ftlab.models.hub import quiet

HEAD_JSON = "ftlab_head.json"
HEAD_WEIGHTS = "ftlab_head.safetensors"


class _Head(nn.Module):
    """Pool the backbone's output to one vector a text (each head's `pool`), then dropout, then linear.

    like: the states that it pools of a text, for their number and width.
    """

    needs_hidden_states = False
    num_vectors = 1

    def __init__(self, config: PretrainedConfig, like: Sequence[Tensor], dropout: float) -> None:
        super().__init__()
        self.last_token = reads_left_to_right(config)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(self.num_vectors * like[0].shape[-1], config.num_labels)

    @staticmethod
    def states(output) -> Sequence[Tensor]:
        """Return what is pooled of a backbone's output: tensors (batch, tokens, H)."""
        return [output.last_hidden_state]

    def forward(self, output, mask: Tensor) -> Tensor:
        return self.linear(self.dropout(self.pool(output, mask)))


class PoolerHead(_Head):
    """The backbone's own pooler: for BERT tanh(W h_first + b), (batch, H)."""

    @staticmethod
    def states(output) -> Sequence[Tensor]:
        return [output.pooler_output]

    def pool(self, output, mask: Tensor) -> Tensor:
        return output.pooler_output


class MeanHead(_Head):
    """The mean of the last hidden states over the real tokens, (batch, H)."""

    def pool(self, output, mask: Tensor) -> Tensor:
        return _mean(output.last_hidden_state, mask)


class MixHead(_Head):
    """A learned mix of all depths: scale * sum over d of softmax(weights)_d mean_d, (batch, H).

    mean_d is the mean over the real tokens of the hidden states at depth d, from the embeddings' output (0) to the
    last layer's (L). It begins as their plain mean: L + 1 weights of 0, a scale of 1 (Peters et al. 2018).
    """

    needs_hidden_states = True

    def __init__(self, config: PretrainedConfig, like: Sequence[Tensor], dropout: float) -> None:
        super().__init__(config, like, dropout)
        self.weights = nn.Parameter(torch.zeros(len(like)))
        self.scale = nn.Parameter(torch.ones(1))

    @staticmethod
    def states(output) -> Sequence[Tensor]:
        return output.hidden_states

    def pool(self, output, mask: Tensor) -> Tensor:
        means = torch.stack([_mean(hidden, mask) for hidden in self.states(output)])
        return self.scale * torch.einsum("d,dbh->bh", self.weights.softmax(0).to(means.dtype), means)


class AttentionHead(_Head):
    """Attention pooling: sum over real tokens t of softmax(v . tanh(W h_t + b) + c) h_t, (batch, H).

    W is (512, H) and v (1, 512), as in the article.
    """

    def __init__(self, config: PretrainedConfig, like: Sequence[Tensor], dropout: float) -> None:
        super().__init__(config, like, dropout)
        self.attention = nn.Sequential(nn.Linear(like[0].shape[-1], 512), nn.Tanh(), nn.Linear(512, 1))

    def pool(self, output, mask: Tensor) -> Tensor:
        hidden = output.last_hidden_state
        scores = self.attention(hidden).squeeze(-1)
        weights = scores.masked_fill(mask == 0, torch.finfo(scores.dtype).min).softmax(-1)
        return (weights.unsqueeze(-1) * hidden).sum(1)


class Concat4Head(_Head):
    """One token of each of the last four layers side by side, (batch, 4 H).

    The token is the first, which sees the whole text in an encoder; in a decoder only the last real one does.
    """

    needs_hidden_states = True
    num_vectors = 4

    @staticmethod
    def states(output) -> Sequence[Tensor]:
        return output.hidden_states[-4:]

    def pool(self, output, mask: Tensor) -> Tensor:
        position = torch.arange(mask.shape[1], device=mask.device)
        order = position if self.last_token else -position
        # the real token that is first, or last, on whichever side the padding is
        index = order.expand_as(mask).masked_fill(mask == 0, -mask.shape[1]).argmax(1)
        rows = torch.arange(len(mask), device=mask.device)
        return torch.cat([hidden[rows, index] for hidden in self.states(output)], dim=-1)


HEADS = {
    "pooler": PoolerHead,
    "mean": MeanHead,
    "attention": AttentionHead,
    "concat4": Concat4Head,
    "mix": MixHead,
}


def _mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """Average hidden states (batch, tokens, H) over the real tokens, (batch, H)."""
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weight).sum(1) / weight.sum(1)


def _states_of_a_text(backbone: PreTrainedModel, head: str) -> Sequence[Tensor]:
    """Compute the states that a head pools, of one text of eight tokens: their width is not always config.hidden_size.

    Raises ModelError if the head cannot use them: Funnel's upper layers have fewer tokens, OPT-350m's output is
    narrower than its layers, Reformer's hidden states carry no gradient.
    """
    family, was_training = backbone.config.model_type, backbone.training
    text = torch.ones(2, 1, 8, dtype=torch.long, device=next(backbone.parameters()).device)
    with torch.enable_grad():
        output = backbone.eval()(
            input_ids=text[0],
            attention_mask=text[1],
            output_hidden_states=HEADS[head].needs_hidden_states,
            return_dict=True,
        )
    backbone.train(was_training)
    states = HEADS[head].states(output)
    if len({state.shape for state in states}) > 1 or (states[0].ndim == 3 and states[0].shape[1] != text.shape[2]):
        raise ModelError(
            f"head {head!r}: the hidden states of {family} differ in width or in number of tokens; use another head"
        )
    if any(p.requires_grad for p in backbone.parameters()) and not all(state.requires_grad for state in states):
        raise ModelError(f"head {head!r}: no gradient passes through the hidden states of {family}; use another head")
    return states


def reads_left_to_right(config: PretrainedConfig) -> bool:
    """Tell whether only the last token sees the whole text: a family made for causal language modelling."""
    family = config.model_type
    return family in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and family not in MODEL_FOR_MASKED_LM_MAPPING_NAMES


class HeadedModel(nn.Module):
    """A bare `transformers` backbone with one of ftlab's heads.

    forward(input_ids (batch, tokens), attention_mask, ...) -> SequenceClassifierOutput with .logits (batch,
    config.num_labels); with `labels` also .loss: mean squared error for one output, else cross-entropy.
    New head weights are normal(0, config.initializer_range) from torch's global random state, biases 0.
    """

    def __init__(self, backbone: PreTrainedModel, head: str, dropout: float) -> None:
        super().__init__()
        self.config, self.head_name, self.dropout = backbone.config, head, dropout
        self.backbone = backbone
        self.head = HEADS[head](self.config, _states_of_a_text(backbone, head), dropout)
        for module in self.head.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=getattr(self.config, "initializer_range", 0.02))
                nn.init.zeros_(module.bias)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, labels: Tensor | None = None, **inputs
    ) -> SequenceClassifierOutput:
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        output = self.backbone(
            input_ids=input_ids,
            attention_mask=mask,
            output_hidden_states=self.head.needs_hidden_states,
            return_dict=True,
            **inputs,
        )
        logits = self.head(output, mask)
        loss = None
        if labels is not None and self.config.num_labels == 1:
            loss = nn.functional.mse_loss(logits.squeeze(-1), labels.to(logits.dtype))
        elif labels is not None:
            loss = nn.functional.cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the backbone as the hub does, so that AutoModel reads it, and the head beside it."""
        folder = Path(folder)
        with quiet():
            self.backbone.save_pretrained(folder)
        save_file(self.head.state_dict(), folder / HEAD_WEIGHTS)
        description = {"head": self.head_name, "dropout": self.dropout}
        (folder / HEAD_JSON).write_text(json.dumps(description) + "\n", encoding="utf-8")

    def load_head(self, folder: str | Path) -> None:
        """Take the head's weights from a folder that `save_pretrained` wrote."""
        self.head.load_state_dict(load_file(Path(folder) / HEAD_WEIGHTS))


# ------------------------------------------------------------------------------ the layer that makes the logits
def final_linear(model: nn.Module) -> nn.Linear:
    """Find the linear layer that makes the logits: config.num_labels outputs, for every head, "auto" too.

    In a hub's own ...ForSequenceClassification it is the last nn.Linear above the backbone with one output a label.
    Raises ModelError where there is none.
    """
    if isinstance(model, HeadedModel):
        return model.head.linear
    backbone = getattr(model, getattr(model, "base_model_prefix", ""), None)
    below = set() if backbone is None else set(backbone.modules())
    above = [module for module in model.modules() if module not in below and isinstance(module, nn.Linear)]
    fitting = [module for module in above if module.out_features == model.config.num_labels]
    if not fitting:
        raise ModelError(f"head: {type(model).__name__} ends in no linear layer with one output a label")
    return fitting[-1]


def final_inputs(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """Compute the vector of each text that the final linear layer turns into its logits, (batch, inputs).

    Some models apply the layer to every token and return the logits of one (decoders), or a mean of all (EuroBERT).
    The gradient of the logits by the layer's output says how much each token counts, and the vector is that weighted
    sum of its inputs. No gradient of the model itself is computed. Raises ModelError if the layer does not turn the
    vectors into the logits.
    """
    linear = final_linear(model)
    seen: dict[str, Tensor] = {}

    def watch(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        torch.set_grad_enabled(True)  # until the end of the block below, which restores the former state
        seen.update(inputs=inputs[0].detach(), output=output.detach().requires_grad_())
        return seen["output"]

    handle = linear.register_forward_hook(watch)
    try:
        with torch.no_grad():
            logits = model(**{key: value for key, value in batch.items() if key != "labels"}).logits
    finally:
        handle.remove()
    if logits.requires_grad:
        [gradient] = torch.autograd.grad(logits[:, 0].sum(), seen["output"])
        counts = gradient[..., 0].reshape(len(logits), -1)  # (batch, tokens), or (batch, 1)
        vectors = torch.einsum("bt,bth->bh", counts, seen["inputs"].reshape(*counts.shape, -1))
        with torch.no_grad():
            if torch.allclose(linear(vectors), logits, rtol=1e-4, atol=1e-5):
                return vectors
    raise ModelError(f"head: the logits of {type(model).__name__} are not the output of its last linear layer")
