"""What happened during a run: loss, gradient norm and every layer's rate at each update, and each evaluation.

The training loop writes a History; plots, live curves, diagnosis and results only read it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ftlab.errors import CheckpointError

if TYPE_CHECKING:
    import pandas as pd

HIGHER_IS_BETTER = {"rmse": False, "macro_f1": True}
"""The scores a run can select on, and whether more is better."""


class History:
    """The record of one run; row i belongs to optimizer update i, counted from 0.

    layers: names of the places, embeddings first. metric: "rmse" or "macro_f1". total_steps: updates planned.
    loss (S,): mean training loss of the update's examples, before the update. grad_norm (S,): norm of the whole
    gradient before clipping. lr (S, len(layers)): rate really applied to each place. seconds (S,): since the start.
    evals: one dictionary an evaluation, with `step` (updates done), `epoch`, `score`, `loss`, `seconds` (its cost),
    `best` (a new best score), once an average exists its `swa_score` and `swa_distance` (Euclidean, from the present
    weights), and for classes `accuracy`.
    """

    def __init__(
        self,
        layers: list[str],
        *,
        metric: str = "rmse",
        steps_per_epoch: int,
        total_steps: int,
        swa_step: int | None = None,
    ) -> None:
        self.layers = list(layers)
        self.metric = metric
        self.steps_per_epoch = steps_per_epoch
        self.total_steps = total_steps
        self.swa_step = swa_step
        self.evals: list[dict[str, Any]] = []
        # One row an update: loss, grad_norm, seconds, then one rate a layer. Only the first `_done` rows are filled.
        self._rows = np.empty((64, 3 + len(self.layers)))
        self._done = 0

    def append(self, *, loss: float, grad_norm: float, lr: list[float], seconds: float) -> None:
        """Record one optimizer update; `lr` has one rate a place."""
        if self._done == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        self._rows[self._done] = (loss, grad_norm, seconds, *lr)
        self._done += 1

    def __len__(self) -> int:
        return self._done

    def _columns(self, which: int | slice) -> np.ndarray:
        return self._rows[: self._done, which].copy()  # what a reader does to it stays with the reader

    @property
    def loss(self) -> np.ndarray:
        """Training loss at each update, shape (S,)."""
        return self._columns(0)

    @property
    def grad_norm(self) -> np.ndarray:
        """Norm of the gradient before clipping at each update, shape (S,)."""
        return self._columns(1)

    @property
    def seconds(self) -> np.ndarray:
        """Wall time since the start of the run after each update, shape (S,)."""
        return self._columns(2)

    @property
    def lr(self) -> np.ndarray:
        """Rate applied to each place at each update, shape (S, len(layers))."""
        return self._columns(slice(3, None))

    @property
    def is_finite(self) -> bool:
        """Whether the newest loss and gradient norm are finite numbers, as all before them are."""
        return self._done == 0 or bool(np.isfinite(self._rows[self._done - 1, :2]).all())

    @property
    def higher_is_better(self) -> bool:
        """Whether more of the selection metric is better."""
        return HIGHER_IS_BETTER[self.metric]

    @property
    def best(self) -> dict[str, Any] | None:
        """The evaluation with the best validation score so far, or None before the first."""
        return next((e for e in reversed(self.evals) if e["best"]), None)

    # -------------------------------------------------------------------------------------------- in and out

    def to_frame(self) -> pd.DataFrame:
        """Return one row an update: step, epoch, loss, grad_norm, seconds, one `lr.` column a place, and the validation
        score, loss and averaged model's score in the row of the update they were measured after."""
        import pandas as pd

        steps = np.arange(len(self))
        frame = pd.DataFrame(
            {
                "step": steps,
                "epoch": steps / self.steps_per_epoch,
                "loss": self.loss,
                "grad_norm": self.grad_norm,
                "seconds": self.seconds,
            }
        )
        for name, rates in zip(self.layers, self.lr.T, strict=True):
            frame[f"lr.{name}"] = rates
        for key in ("score", "loss", "swa_score"):
            column = np.full(len(self), np.nan)
            for evaluation in self.evals:
                column[evaluation["step"] - 1] = evaluation.get(key, np.nan)
            frame[f"validation_{key}"] = column
        return frame

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain Python values; `from_dict` is the inverse."""
        return {
            "layers": self.layers,
            "metric": self.metric,
            "steps_per_epoch": self.steps_per_epoch,
            "total_steps": self.total_steps,
            "swa_step": self.swa_step,
            "evals": self.evals,
            "rows": self._columns(slice(None)).tolist(),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> History:
        """Rebuild a history from `to_dict`. Raises CheckpointError if parts are missing or do not fit together."""
        try:
            for name, is_right in _PARTS.items():
                if not is_right(values[name]):
                    raise ValueError(f"{name} is {str(values[name])[:80]!r}")
            history = cls(
                values["layers"],
                metric=values["metric"],
                steps_per_epoch=values["steps_per_epoch"],
                total_steps=values["total_steps"],
                swa_step=values["swa_step"],
            )
            history.evals = list(values["evals"])
            rows = [tuple(map(float, row)) for row in values["rows"]]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CheckpointError(f"history: a part is missing or malformed ({error!r}); the file is damaged") from None
        if any(len(row) != 3 + len(history.layers) for row in rows):
            raise CheckpointError(f"history: a row does not hold 3 + {len(history.layers)} values; the file is damaged")
        for loss, grad_norm, seconds, *lr in rows:
            history.append(loss=loss, grad_norm=grad_norm, lr=lr, seconds=seconds)
        late = [e["step"] for e in history.evals if e["step"] > len(history)]
        if late:
            raise CheckpointError(f"history: evals holds step {late[0]} of {len(history)} rows; the file is damaged")
        return history

    def to_json(self, path: str | Path | None = None) -> str:
        """Write the history as JSON text, and to `path` if one is given; numbers keep every bit."""
        text = json.dumps(self.to_dict())
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    @classmethod
    def from_json(cls, source: str | Path) -> History:
        """Read a history from JSON text or from a JSON file. Raises CheckpointError for anything else."""
        is_text = isinstance(source, str) and source.lstrip().startswith("{")
        try:
            values = json.loads(source if is_text else Path(source).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise CheckpointError(f"history: cannot be read as JSON ({str(error)[:300]})") from None
        return cls.from_dict(values)

    def to_parquet(self, path: str | Path) -> None:
        """Write `to_frame()` as Parquet; everything else travels in the file's metadata."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        rest = {key: value for key, value in self.to_dict().items() if key != "rows"}
        table = pa.Table.from_pandas(self.to_frame(), preserve_index=False)
        pq.write_table(
            table.replace_schema_metadata({**(table.schema.metadata or {}), b"ftlab": json.dumps(rest)}), path
        )

    @classmethod
    def from_parquet(cls, path: str | Path) -> History:
        """Read a history written by `to_parquet`. Raises CheckpointError if the file is not one."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(path)
            values = json.loads(table.schema.metadata[b"ftlab"])
            columns = ["loss", "grad_norm", "seconds", *(f"lr.{name}" for name in values["layers"])]
            values["rows"] = np.column_stack([table[column].to_numpy() for column in columns]).tolist()
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise CheckpointError(f"{path}: not a history written by to_parquet ({error})") from None
        return cls.from_dict(values)

    def __eq__(self, other: object) -> bool:
        """Equal when every number is, bit for bit, except wall times."""
        if not isinstance(other, History):
            return NotImplemented
        return self._timeless() == other._timeless()

    __hash__ = None  # a history grows

    def _timeless(self) -> str:
        values = self.to_dict()
        values["evals"] = [{k: v for k, v in e.items() if k != "seconds"} for e in self.evals]
        values["rows"] = [row[:2] + row[3:] for row in values["rows"]]
        return json.dumps(values)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**53


def _is_evaluation(value: Any) -> bool:
    if not isinstance(value, dict) or not {"step", "epoch", "score", "loss", "best", "seconds"} <= set(value):
        return False
    rest = [v for k, v in value.items() if k != "best"]
    return isinstance(value["best"], bool) and _is_count(value["step"]) and all(type(v) in (int, float) for v in rest)


# What each part of a saved history must be; rows are checked by turning them into numbers.
_PARTS: dict[str, Callable[[Any], bool]] = {
    "layers": lambda v: isinstance(v, list) and bool(v) and all(isinstance(name, str) for name in v),
    "metric": lambda v: isinstance(v, str) and v in HIGHER_IS_BETTER,
    "steps_per_epoch": _is_count,
    "total_steps": _is_count,
    "swa_step": lambda v: v is None or (type(v) is int and 0 <= v < 2**53),
    "evals": lambda v: isinstance(v, list) and all(map(_is_evaluation, v)),
    "rows": lambda v: isinstance(v, list) and all(isinstance(row, (list, tuple)) for row in v),
}
