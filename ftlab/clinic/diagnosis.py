"""Diagnosis: what the record of a run says about why it learned badly, with the evidence and what to try.

Only the history is read (and, of a run, the recipe, the test part's targets and predictions), so the log that Hugging
Face's `Trainer` leaves behind will do as well. Nine illnesses are known. Every rule compares a loss with one yardstick:
the loss of a model that has learned nothing and always predicts the mean (or the classes' shares), called `chance`
below. That makes the rules independent of the target's unit. What a single batch brings by itself is allowed for: the
mean of B squared normal errors scatters by sqrt(2 / B) of its value.

The thresholds were set on the runs in data/results/clinic.jsonl: short fine-tunings of a small model. They are
thresholds, not laws; the evidence is printed so that the reader can judge.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ftlab.checks import number
from ftlab.clinic.record import Record, read_record
from ftlab.errors import RecipeError
from ftlab.recipe import Recipe

ILLNESSES = (
    "diverged",
    "label noise or bug",
    "too few examples",
    "plateau at the mean predictor",
    "collapsed predictions",
    "oscillating",
    "exploding gradients",
    "overfitting",
    "too slow",
)
"""Every name a finding can have, the most severe first; of two findings the first one here is the first to treat."""
NOTHING_YET = "nothing to see yet"

SEVERITY = dict.fromkeys(ILLNESSES[:3], 3) | dict.fromkeys(ILLNESSES[3:7], 2) | dict.fromkeys(ILLNESSES[7:], 1)
_WORDS = {3: "high", 2: "medium", 1: "low", 0: "-"}

FEWEST_STEPS = 3
FEW_EXAMPLES = 32
BLOWN_UP = 6.0  # times chance, as the mean over 24 examples; healthy runs stay below 1.5, one that came back had 4.3
EXPLODED = (25.0, 10.0, 100.0)  # times the median gradient norm and the first one, or times the first one alone
RESTLESS = 0.95  # mean change from step to step as a share of the loss; batches of 8 bring 0.6 by themselves
UNMOVED = 0.03  # spread of the validation losses as a share of them
LEARNED = 0.6  # share of chance below which a loss shows that something was learned
NO_BETTER = 0.85  # share of chance above which it shows that nothing was
STUCK = 0.93  # share of the first look above which later ones have not fallen
SHRUNK = 1.4  # slope of targets on predictions beyond which these are too small
FLAT = 0.03  # spread of the predictions as a share of the targets' spread
TURNED = 1.25  # the last two validation losses against the best; single looks of healthy runs come back from 1.7


@dataclass(frozen=True)
class Finding:
    """One thing that a record shows: its name, severity (3 high to 1 low), the evidence, and what to try, in order."""

    name: str
    severity: int
    evidence: tuple[str, ...]
    remedies: tuple[str, ...]

    def __str__(self) -> str:
        """Say it in one sentence."""
        return f"{self.name}: {'; '.join(self.evidence)}"


class Findings(Sequence[Finding]):
    """What a diagnosis found, the most severe first; empty if nothing speaks against the run.

    `name in findings` asks for an illness; `findings.names` lists them; printing shows a table.
    """

    def __init__(self, findings: Sequence[Finding], seen: str) -> None:
        self._findings = tuple(sorted(findings, key=lambda f: (-f.severity, (*ILLNESSES, f.name).index(f.name))))
        self.seen = seen

    @property
    def names(self) -> list[str]:
        """The names of the findings, the most severe first."""
        return [finding.name for finding in self._findings]

    def __getitem__(self, index: Any) -> Any:
        return self._findings[index]

    def __len__(self) -> int:
        return len(self._findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._findings)

    def __contains__(self, item: object) -> bool:
        return item in self.names or item in self._findings

    def __repr__(self) -> str:
        """Show a table: severity, name, evidence, remedies in order."""
        if not self._findings:
            return f"Nothing found in {self.seen}."
        widths = (8, 18, 38, 46)
        lines = [f"{len(self)} finding{'s' * (len(self) > 1)} in {self.seen}"]
        lines += _table_rows(("severity", "finding", "what shows it", "try, in this order"), widths)
        lines.append("  ".join("-" * width for width in widths))
        for finding in self._findings:
            remedies = [f"{i}. {text}" for i, text in enumerate(finding.remedies, start=1)]
            cells = (_WORDS[finding.severity], finding.name, finding.evidence, remedies)
            lines += _table_rows(cells, widths)
        return "\n".join(lines)


def _table_rows(cells: Sequence[str | Sequence[str]], widths: Sequence[int]) -> list[str]:
    """Wrap each cell, given as a text or as several paragraphs, to its width; return the lines of the row."""
    columns = [
        [line for text in ([cell] if isinstance(cell, str) else cell) for line in textwrap.wrap(text, width)]
        for cell, width in zip(cells, widths, strict=True)
    ]
    height = max(map(len, columns))
    padded = [column + [""] * (height - len(column)) for column in columns]
    return [
        "  ".join(part.ljust(width) for part, width in zip(row, widths, strict=True)).rstrip()
        for row in zip(*padded, strict=True)
    ]


def diagnose(record: Any, recipe: Recipe | None = None) -> Findings:
    """Name what went wrong in a run, with the evidence (numbers and steps) and the remedies in order.

    record: a Run; a History; or what `transformers.Trainer` logged: its `trainer_state.json` (path, or the folder that
    holds it), the dictionary in it, or `trainer.state.log_history`. recipe: how the run was made, where the record
    does not say (a Run does). The more is known the more can be seen: without a recipe neither the batch size nor the
    number of examples, without predictions neither collapse nor shrinkage.

    Returns Findings: empty for a run that nothing speaks against; "nothing to see yet" for one of fewer than three
    steps. A run that has not come halfway is only searched for what cannot get better by itself. Raises CheckpointError
    for a record that cannot be read, RecipeError for a recipe that is none.
    """
    if recipe is not None and not isinstance(recipe, Recipe):
        raise RecipeError(f"recipe: {type(recipe).__name__} is not a Recipe; make one with ft.Recipe(...) or give none")
    seen = read_record(record, recipe)
    lost = _diverged(seen)
    if len(seen.loss) < FEWEST_STEPS and lost is None:
        steps = f"{len(seen.loss)} step{'s' * (len(seen.loss) != 1)}, {len(seen.look_loss)} looks"
        remedy = "train for an epoch, with a look at the validation part, and ask again"
        return Findings([Finding(NOTHING_YET, 0, (steps,), (remedy,))], seen.described)
    if lost is not None and not np.isfinite(seen.loss).all():
        return Findings([lost], seen.described)  # after a loss that is no number every other rule is void
    # A run that diverged jumps about as well; that is no second illness.
    found = [lost, *(rule(seen) for rule in _RULES if not (lost and rule is _oscillating))]
    return Findings([finding for finding in found if finding is not None], seen.described)


def chance_loss(record: Any, recipe: Recipe | None = None) -> float:
    """Return the loss of a model that has learned nothing: the yardstick of every rule.

    The variance of the test part's targets, or for classes the entropy of their shares (nats); without targets the mean
    training loss of the first 64 examples or so. Arguments and errors as for `diagnose`; NaN for an empty record.
    """
    return read_record(record, recipe).chance


# ------------------------------------------------------------------------------------------------------- the rules


def _finding(name: str, evidence: Sequence[str], remedies: Sequence[str]) -> Finding:
    return Finding(name, SEVERITY[name], tuple(evidence), tuple(text for text in remedies if text))


def _diverged(seen: Record) -> Finding | None:
    """The loss is no longer a number, or the mean over some batches lies far above that of knowing nothing."""
    evidence, remedies = [], []
    broken = np.flatnonzero(~np.isfinite(seen.loss) | ~np.isfinite(seen.norm))
    lost = np.flatnonzero(~np.isfinite(seen.look_loss))
    if len(broken):
        i = broken[0]
        evidence.append(f"step {seen.step[i]:g}: loss {seen.loss[i]:g}, gradient norm {seen.norm[i]:g}")
        if i < 2:
            remedies.append("look at the first batches: a target or a text that is no number or empty")
    elif len(lost):
        evidence.append(f"look after step {seen.look_step[lost[0]]:g}: validation loss {seen.look_loss[lost[0]]:g}")
    elif seen.status == "diverged":
        evidence.append("the run stopped itself: a number was no longer finite")
    elif len(seen.loss) >= FEWEST_STEPS:
        window = min(len(seen.loss), max(3, math.ceil(24 / (seen.batch or 8))))
        means = np.convolve(seen.loss, np.full(window, 1 / window), "valid")
        if means.max() > BLOWN_UP * seen.chance:
            i = int(means.argmax())
            evidence.append(
                f"steps {seen.step[i]:g} to {seen.step[i + window - 1]:g}: loss {number(means[i])} on average, "
                f"{means[i] / seen.chance:.1f} times {seen.yardstick}"
            )
        elif len(seen.looks) and seen.looks.max() > BLOWN_UP * seen.chance and seen.final > LEARNED:
            i = int(np.nanargmax(seen.look_loss))
            evidence.append(
                f"look after step {seen.look_step[i]:g}: validation loss {number(seen.look_loss[i])} "
                f"against {seen.yardstick}"
            )
    if not evidence:
        return None
    remedies += [
        f"a rate three to ten times lower{_rate(seen)}",
        "a warm-up of a tenth of the run" if not _warmed(seen) else "",
        "clip the gradient (max_grad_norm=1)" if seen.recipe and seen.recipe.max_grad_norm is None else "",
        "float32 or bfloat16 in place of float16" if len(broken) else "",
    ]
    return _finding("diverged", evidence, remedies)


def _exploding(seen: Record) -> Finding | None:
    """One gradient is far longer than the others, or than the first."""
    norm = seen.norm[np.isfinite(seen.norm)]
    if len(norm) < FEWEST_STEPS or not norm.any():
        return None
    i, middle, first = int(norm.argmax()), float(np.median(norm)), float(norm[0])
    sudden = norm[i] > EXPLODED[0] * middle and norm[i] > EXPLODED[1] * first
    if not sudden and not norm[i] > EXPLODED[2] * first > 0:
        return None
    usual = f"{number(first)} at first, median {number(middle)}"
    evidence = [f"step {seen.step[i]:g}: gradient norm {number(norm[i])}; {usual}"]
    clipped = seen.recipe is not None and seen.recipe.max_grad_norm is not None
    if clipped:
        evidence.append(f"clipped to {seen.recipe.max_grad_norm:g}: its length did no harm, its direction may have")
    remedies = [
        "" if clipped else "clip the gradient (max_grad_norm=1)",
        "a warm-up of a tenth of the run" if not _warmed(seen) else "",
        f"a lower rate{_rate(seen)}",
        "look at the batch of that step",
    ]
    return _finding("exploding gradients", evidence, remedies)


def _oscillating(seen: Record) -> Finding | None:
    """The loss jumps from step to step by about its own size while nothing is learned."""
    loss = seen.loss[len(seen.loss) // 3 :]
    if len(loss) < 10 or seen.final < 0.5 or _unmoved(seen):  # what does not move cannot swing
        return None
    restless = float(np.abs(np.diff(loss)).mean() / loss.mean())
    spikes = np.flatnonzero(seen.loss > seen.chance * (1 + 5 * seen.noise))
    if restless > RESTLESS:
        evidence = [
            f"steps {seen.step[-len(loss)]:g} to {seen.step[-1]:g}: loss between {number(loss.min())} and "
            f"{number(loss.max())}, {restless:.2f} of its mean from one to the next"
        ]
    elif len(spikes) > 1 and seen.batch:
        shown = ", ".join(f"{number(seen.loss[i])} at step {seen.step[i]:g}" for i in spikes[:3])
        evidence = [f"{len(spikes)} losses far above {seen.yardstick}: {shown}"]
    else:
        return None
    if seen.batch:
        evidence.append(f"batches of {seen.batch} bring about {1.13 * seen.noise:.2f} of it by themselves")
    small = seen.batch is None or seen.batch < 8
    remedies = [
        "larger batches, or gradient_accumulation_steps" if small else "",
        f"a lower rate{_rate(seen)}",
        "a warm-up of a tenth of the run" if not _warmed(seen) else "",
        "" if small else "larger batches",
    ]
    return _finding("oscillating", evidence, remedies)


def _plateau(seen: Record) -> Finding | None:
    """The weights move, the gradient has faded or the looks wander, and the loss stays that of the mean predictor."""
    if not (seen.halfway and len(seen.looks) and _no_better(seen)) or seen.final < NO_BETTER:
        return None
    if _unmoved(seen) or _creeps(seen):
        return None
    at = seen.step[seen.last]
    evidence = [
        f"steps {at[0]:g} to {at[-1]:g}: loss {number(seen.final * seen.chance)} on average, {seen.yardstick}",
        f"best look: validation loss {number(seen.looks.min())}",
    ]
    if _faded(seen):
        evidence.append(f"the gradient has faded: norm {number(seen.norm[0])} at first, {_late_norm(seen)} at the end")
    remedies = [
        "a warm-up of a tenth of the run" if not _warmed(seen) else "",
        f"a rate three to ten times lower{_rate(seen)}",
        "AdamW, which corrects its first steps" if seen.recipe and seen.recipe.optimizer == "bertadam" else "",
        "see that texts and targets belong together, row by row",
    ]
    return _finding("plateau at the mean predictor", evidence, remedies)


def _collapsed(seen: Record) -> Finding | None:
    """Every text gets the same answer."""
    evidence = []
    if seen.measured and seen.classes:
        names, counts = np.unique(seen.predictions, return_counts=True)
        if len(names) == 1 and len(np.unique(seen.targets)) > 1:
            evidence.append(f"all {counts[0]} test texts are given the same class")
    elif seen.measured:
        if np.std(seen.predictions) < FLAT * np.std(seen.targets) and not _unmoved(seen):
            evidence.append(_spreads(seen))
    if (constant := _one_class(seen)) is not None:
        evidence.append(constant)
    if not evidence:
        return None
    remedies = [
        "count the classes in each part; deal the folds out by class (stratified)" if seen.classes else "",
        "weigh the rare class in the loss, or draw it more often" if seen.classes else "",
        f"a lower rate{_rate(seen)}",
        "a warm-up of a tenth of the run" if not _warmed(seen) else "",
    ]
    return _finding("collapsed predictions", evidence, remedies)


def _one_class(seen: Record) -> str | None:
    """Say it if the last two looks have the scores that predicting one class alone gives.

    With accuracy a that class has precision a and recall 1, so F1 = 2 a / (1 + a), and the mean over K classes is that
    divided by K. A binary F1 of 0 is that of never predicting the positive class.
    """
    both = [(a, s) for a, s in zip(seen.look_accuracy, seen.look_score, strict=True) if math.isfinite(a + s)][-2:]
    if not both:
        return None
    at = f"last {len(both)} looks" if len(both) > 1 else "the look"
    accuracy, score = both[-1]
    if not seen.macro_f1:
        if all(s == 0 < a for a, s in both):
            return f"{at}: accuracy {accuracy:.3f} with an F1 of 0: the positive class is never predicted"
        return None
    alone = [s and 2 * a / (1 + a) / s for a, s in both]  # the number of classes, if one is always predicted
    classes = round(alone[-1])
    if classes < 2 or any(abs(k - classes) > 1e-6 for k in alone):
        return None
    return (
        f"{at}: accuracy {accuracy:.3f} and macro F1 {score:.3f}, which is what always predicting one class of "
        f"{classes} gets"
    )


def _too_slow(seen: Record) -> Finding | None:
    """The weights hardly move, or the losses were still falling when the run ended."""
    if not seen.halfway or not len(seen.looks) or seen.final < 0.4 or seen.best_look < LEARNED:
        return None
    if not (_unmoved(seen) or _creeps(seen)):
        return None
    recipe, steps = seen.recipe, seen.look_step[np.isfinite(seen.look_loss)]
    evidence = [
        f"validation loss {number(seen.looks[0])} after step {steps[0]:g}, {number(seen.looks[-1])} after "
        f"{steps[-1]:g}; {seen.yardstick}"
    ]
    frozen = [name for name, rates in zip(seen.places, seen.lr.T, strict=True) if not rates.any()]
    few = len(seen.loss) < 20 and seen.losses_per_epoch < 10
    sgd = recipe is not None and recipe.optimizer == "sgd"
    if frozen:
        evidence.append(f"{len(frozen)} of {len(seen.places)} places have rate 0: {frozen[0]} to {frozen[-1]}")
    if few:
        evidence.append(f"{len(seen.loss)} updates in all" + (f", of {seen.batch} examples each" if seen.batch else ""))
    if sgd:
        gain = float((seen.lr.max(axis=1) * seen.norm**2).sum())
        evidence.append(f"SGD: all steps together can lower the loss by about {number(gain)} (rate times norm squared)")
    remedies = [
        "let the backbone learn: give its layers a rate above 0" if frozen else "",
        "smaller batches: more updates for the same work" if few else "",
        "AdamW, or a rate hundreds of times higher for SGD" if sgd else "",
        "" if frozen or few or sgd else f"a rate two to five times higher{_rate(seen)}",
        "more epochs",
    ]
    return _finding("too slow", evidence, remedies)


def _overfitting(seen: Record) -> Finding | None:
    """The validation loss has turned and stayed higher for two looks, while the training loss went on falling."""
    if len(seen.looks) < 3 or _no_better(seen):
        return None
    at, steps = int(seen.looks.argmin()), seen.look_step[np.isfinite(seen.look_loss)]
    best, after = float(seen.looks[at]), seen.looks[at + 1 :][-2:]  # one look alone may be bad luck
    if len(after) < 2 or after.min() < TURNED * best or seen.final * seen.chance > 0.5 * after[-1]:
        return None
    evidence = [
        f"validation loss {number(best)} after step {steps[at]:g}, {number(after[-1])} after {steps[-1]:g}",
        f"training loss {number(seen.final * seen.chance)} at the end",
    ]
    remedies = [
        "keep the best checkpoint (fit does), stop early (patience)",
        "fewer epochs",
        "more data",
        "dropout, weight decay, or fewer layers that learn",
    ]
    return _finding("overfitting", evidence, remedies)


def _few_examples(seen: Record) -> Finding | None:
    """What is trained on is known by heart, or is next to nothing, and no help for other texts."""
    if not len(seen.looks) or seen.best_look < LEARNED or seen.final > LEARNED or not _is_few(seen):
        return None
    evidence = []
    if seen.examples is not None:
        times = len(seen.loss) / seen.losses_per_epoch
        evidence.append(f"about {seen.examples} training examples, each seen {times:.0f} times")
    else:
        evidence.append(f"an epoch has {seen.losses_per_epoch:.0f} steps")
    evidence.append(
        f"training loss {number(seen.final * seen.chance)} at the end, validation loss {number(seen.looks.min())} at "
        f"best; {seen.yardstick}"
    )
    remedies = [
        "more examples, even a few hundred",
        "fewer layers that learn (group_lrs, layer_decay)",
        "examples that cover the range of the targets (stratified)",
    ]
    return _finding("too few examples", evidence, remedies)


def _noise_or_bug(seen: Record) -> Finding | None:
    """The training part is learned and the validation part is not, or its answers come out on another scale."""
    if not seen.halfway or seen.final > LEARNED or _is_few(seen) or not len(seen.looks):
        return None
    trained = f"training loss {number(seen.final * seen.chance)} at the end"
    if _no_better(seen):
        evidence = [
            f"{trained}: the training part was learned by heart",
            f"validation loss never below {number(seen.looks.min())}; {seen.yardstick}",
        ]
        remedies = [
            "read ten rows: does the target belong to the text?",
            "score the training part as if it were the validation part: the numbers must agree",
            "train a simple model on the same rows (word counts, ridge): does it find anything?",
        ]
        return _finding("label noise or bug", evidence, remedies)
    slope = _slope(seen)
    if slope is None or slope[0] - 2 * slope[1] < SHRUNK:
        return None
    evidence = [
        f"{trained}: the training part was learned",
        f"{_spreads(seen)}; stretched by {slope[0]:.1f} (standard error {slope[1]:.1f}) they would fit best",
    ]
    remedies = [
        "feed both parts the same way: padding, attention mask, truncation, letter case",
        "predict one text alone and in a batch: the answers must agree",
        "score the training part as if it were the validation part: the numbers must agree",
    ]
    return _finding("label noise or bug", evidence, remedies)


_RULES: tuple[Callable[[Record], Finding | None], ...] = (
    _noise_or_bug,
    _few_examples,
    _exploding,
    _oscillating,
    _plateau,
    _collapsed,
    _overfitting,
    _too_slow,
)


# ------------------------------------------------------------------------------------------ what several rules ask


def _no_better(seen: Record) -> bool:
    """Whether no look was better than knowing nothing; without targets, whether the looks have not fallen."""
    if seen.measured:
        return seen.best_look > NO_BETTER
    return seen.best_look > LEARNED and len(seen.looks) > 1 and seen.looks.min() > STUCK * seen.looks[0]


def _unmoved(seen: Record) -> bool:
    """Whether the validation loss stayed where it was: the weights hardly moved."""
    return len(seen.looks) > 1 and float(np.ptp(seen.looks)) < UNMOVED * float(seen.looks.mean()) and not _faded(seen)


def _creeps(seen: Record) -> bool:
    """Whether the validation loss only ever fell, the last look being the best, with the gradient still alive."""
    looks = seen.looks
    return len(looks) > 1 and bool((np.diff(looks) < 0.01 * looks[:-1]).all()) and not _faded(seen)


def _faded(seen: Record) -> bool:
    """Whether the gradient has become much shorter although the loss has not: features that say nothing any more."""
    return len(seen.norm) > 5 and seen.norm[0] > 0 and _late_norm(seen) < 0.5 * seen.norm[0] and seen.final > LEARNED


def _late_norm(seen: Record) -> float:
    return float(f"{np.median(seen.norm[seen.last]):.2g}")


def _spreads(seen: Record) -> str:
    spread, wanted = float(np.std(seen.predictions)), float(np.std(seen.targets))
    return f"test part: predictions have standard deviation {number(spread)}, targets {number(wanted)}"


def _is_few(seen: Record) -> bool:
    return seen.examples <= FEW_EXAMPLES if seen.examples is not None else seen.losses_per_epoch <= 2


def _slope(seen: Record) -> tuple[float, float] | None:
    """Slope of targets on predictions by least squares, and its standard error; None where there is none.

    1 means that the predictions have the right scale; 2 that they should be twice as far from their mean.
    """
    if not seen.measured or seen.classes or len(seen.targets) < 10 or not np.std(seen.predictions) > 0:
        return None
    r = float(np.corrcoef(seen.targets, seen.predictions)[0, 1])
    scale = float(np.std(seen.targets) / np.std(seen.predictions))
    return r * scale, math.sqrt((1 - r * r) / (len(seen.targets) - 2)) * scale


def _warmed(seen: Record) -> bool:
    return seen.recipe is not None and seen.recipe.warmup > 0


def _rate(seen: Record) -> str:
    """The highest rate, in brackets, if there was one."""
    rates = seen.lr[np.isfinite(seen.lr)]
    return f" (it was {number(float(rates.max()))})" if rates.size and rates.any() else ""
