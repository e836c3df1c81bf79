"""A model card for a finished run: what it is, what it was trained on, its honest score, its limits.

Form: Mitchell et al. 2019, "Model cards for model reporting"; the metadata at its top is for the Hugging Face hub.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from ftlab.data import Data
from ftlab.errors import DataError, ModelError
from ftlab.run import Run

ON_THE_HUB = {
    "minilm": "sentence-transformers/all-MiniLM-L6-v2",
    "mpnet": "sentence-transformers/all-mpnet-base-v2",
}
"""Ids of the models that ftlab knows by a short name of its own."""
METRIC_WORDS = {"rmse": "RMSE (lower is better)", "macro_f1": "macro F1 (higher is better)"}


def model_card(
    run: Run, data: Data, *, name: str, intended: str, not_for: str, license: str | None = None, language: str = "en"
) -> ModelCard:
    """Write the card of a finished run; `card.save(folder / "README.md")` puts it beside the model.

    name: of the model on the hub. intended, not_for: what it may and may not be used for, in sentences of yours.
    license: an identifier such as "apache-2.0"; language: such as "en". The score in the metadata is the test set's,
    of the weights that `run.save_pretrained` writes.

    Raises ModelError for a run without a test score, DataError for an empty sentence or the data of another run, a
    sample or other folds of the same rows too.
    """
    for field, text in {"name": name, "intended": intended, "not_for": not_for}.items():
        if not isinstance(text, str) or not text.strip():
            raise DataError(f"{field}: {text!r} is not a text; a card that leaves it out misleads its reader")
    if (data.name, data.task, data.labels) != (run.data_name, run.task, run.labels):
        raise DataError(f"data: the run was trained on {run.data_name!r} ({run.task}), this is {data!r}")
    if run.data_fingerprint not in (None, data.fingerprint):
        raise DataError(f"data: the run was trained on another sample or other folds of {data.name!r}; give the data "
                        "that `fit` had")  # fmt: skip
    averaged = run.swa_model is not None
    test = run.swa_score if averaged else run.test_score
    if test is None:
        raise ModelError(f"run: it is {run.status} and has no test score to report; a card needs a finished run")
    recipe, metric = run.recipe, run.history.metric
    base = ON_THE_HUB.get(recipe.model, recipe.model)
    gives = "a number" if run.labels is None else f"one of {len(run.labels)} classes ({', '.join(run.labels)})"
    weights = "the averaged weights (SWA)" if averaged else "the checkpoint that was best on the validation set"
    sizes = ", ".join(f"{name} {len(rows)}" for name, rows in data.split(run.fold)._asdict().items())
    metadata = ModelCardData(
        model_name=name,
        language=language,
        license=license,
        base_model=base if _is_hub_id(base) else None,
        library_name="transformers",
        pipeline_tag="text-classification",
        tags=["ftlab", run.task],
        eval_results=[
            EvalResult(
                task_type="text-classification",
                dataset_type=data.name,
                dataset_name=data.name,
                dataset_split=f"test set of fold {run.fold}",
                metric_type=metric,
                metric_value=round(float(test), 4),
            )
        ],
    )
    scores = {"test (evaluated once)": test}
    if not averaged:
        scores["validation (selected on, so it flatters)"] = run.best_score
    rows = "\n".join(f"| {which} | {score:.4f} |" for which, score in scores.items())
    return ModelCard(f"""---
{metadata.to_yaml()}
---

# {name}

Gives a text {gives}. Fine-tuned from `{base}` with ftlab: {weights}.

## Use

{intended.strip()}

```python
{_use(run, name)}
```

**Not for.** {not_for.strip()}

## Data

`{data.name}`: {len(data)} texts. Fold {run.fold} of {data.num_folds}, dealt out with seed {data.seed}: {sizes}.
Rows with the same text share a fold ({data.num_duplicates} repeat an earlier one). Texts are cut at
{recipe.max_length} tokens.

## Score

| set | {METRIC_WORDS[metric]} |
|---|---|
{rows}

One run on one fold with one seed: another fold or seed moves these numbers. Status of the run: {run.status} after
{len(run.history)} of {run.history.total_steps} steps.

## Recipe

```json
{json.dumps(recipe.to_dict(), indent=1)}
```
""")


def _use(run: Run, name: str) -> str:
    """Write the lines of Python that load the model and use it."""
    if run.recipe.head != "auto":  # transformers knows nothing of these heads
        return 'import ftlab as ft\n\nft.Run.load("the folder of run.save").predict(["..."])'
    raw = ', function_to_apply="none"' if run.labels is None else ""
    return (
        f'from transformers import pipeline\n\npipe = pipeline("text-classification", model="{name}"{raw})\n'
        f'pipe("...", truncation=True, max_length={run.recipe.max_length})'
    )


def _is_hub_id(name: str) -> bool:
    """Tell a hub id from a folder on this machine, which nobody else could follow."""
    return re.fullmatch(r"[\w-][\w.-]*(/[\w.-]+)?", name) is not None and not Path(name).exists()
