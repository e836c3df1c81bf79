"""Heads of ftlab's own: what turns a Transformer's hidden states into one number, or one score a class.

The article's three (pooler, attention pooling, concatenation of the last four layers) and the masked mean, as
one small module each, and `HeadedModel`, which joins one of them to a bare backbone and saves both without
pickle. `head="auto"` needs none of this: there the hub's own ...ForSequenceClassification brings its head.
"""

from __future__ import annotations

import json
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

from ftlab.models.hub import quiet

HEAD_JSON = "ftlab_head.json"
HEAD_WEIGHTS = "ftlab_head.safetensors"


class _Head(nn.Module):
    """Pool the backbone's output to one vector a text (each head's `pool`), then dropout, then linear."""

    needs_hidden_states = False
    num_vectors = 1

    def __init__(self, width: int, num_labels: int, dropout: float, last_token: bool) -> None:
        super().__init__()
        self.last_token = last_token
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(self.num_vectors * width, num_labels)

    def forward(self, output, mask: Tensor) -> Tensor:
        return self.linear(self.dropout(self.pool(output, mask)))


class PoolerHead(_Head):
    """The backbone's own pooler: for BERT tanh(W h_first + b), (batch, H)."""

    def pool(self, output, mask: Tensor) -> Tensor:
        return output.pooler_output


class MeanHead(_Head):
    """The mean of the last hidden states over the real tokens, (batch, H)."""

    def pool(self, output, mask: Tensor) -> Tensor:
        weight = mask.unsqueeze(-1).to(output.last_hidden_state.dtype)
        return (output.last_hidden_state * weight).sum(1) / weight.sum(1)


class AttentionHead(_Head):
    """Attention pooling: sum over real tokens t of softmax(v . tanh(W h_t + b) + c) h_t, (batch, H).

    W is (512, H) and v (1, 512), as in the article.
    """

    def __init__(self, width: int, num_labels: int, dropout: float, last_token: bool) -> None:
        super().__init__(width, num_labels, dropout, last_token)
        self.attention = nn.Sequential(nn.Linear(width, 512), nn.Tanh(), nn.Linear(512, 1))

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

    def pool(self, output, mask: Tensor) -> Tensor:
        position = torch.arange(mask.shape[1], device=mask.device)
        order = position if self.last_token else -position
        # the real token that is first, or last, on whichever side the padding is
        index = order.expand_as(mask).masked_fill(mask == 0, -mask.shape[1]).argmax(1)
        rows = torch.arange(len(mask), device=mask.device)
        return torch.cat([hidden[rows, index] for hidden in output.hidden_states[-4:]], dim=-1)


HEADS = {"pooler": PoolerHead, "mean": MeanHead, "attention": AttentionHead, "concat4": Concat4Head}


def reads_left_to_right(config: PretrainedConfig) -> bool:
    """Tell whether only the last token sees the whole text: a family made for causal language modelling."""
    family = config.model_type
    return family in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and family not in MODEL_FOR_MASKED_LM_MAPPING_NAMES


class HeadedModel(nn.Module):
    """A bare `transformers` backbone with one of ftlab's heads.

    forward(input_ids (batch, tokens), attention_mask, ...) -> SequenceClassifierOutput with .logits (batch,
    config.num_labels); with `labels` also .loss: mean squared error for one output, else cross-entropy.
    Fresh head weights are normal(0, config.initializer_range) from torch's global random state, biases 0.
    """

    def __init__(self, backbone: PreTrainedModel, head: str, dropout: float) -> None:
        super().__init__()
        self.config, self.head_name, self.dropout = backbone.config, head, dropout
        self.backbone = backbone
        # OPT-350m's output is narrower than its layers
        width = getattr(self.config, "word_embed_proj_dim", self.config.hidden_size)
        self.head = HEADS[head](width, self.config.num_labels, dropout, reads_left_to_right(self.config))
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
