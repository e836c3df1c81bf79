"""Diagnosis: what the record of a run says about why it learned badly, with the evidence and what to try.

Only the history is read (and, of a run, the recipe, the test set's targets and predictions), so the log that Hugging
Face's `Trainer` leaves behind will do as well. Nine illnesses are known. Every rule compares a loss with one yardstick:
the loss of a model that has learned nothing and always predicts the mean (or the classes' shares), called `chance`
below. That makes the rules independent of the target's unit. What a single batch brings by itself is allowed for: the
mean of B squared normal errors scatters by sqrt(2 / B) of its value.

The thresholds were set on the runs in data/results/clinic.jsonl: short fine-tunings of a small model. They are
thresholds, not laws; the evidence is printed so that the reader can judge. What a record does not hold is said as well:
"nothing found" is a statement about what was read.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ftlab.checks import number, real
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
BY_HEART = 0.02  # share of chance below which the training set is known by heart
STUCK = 0.93  # share of the first evaluation above which later ones have not fallen
EARLY = 20  # updates before which an evaluation comes too early for much to have been learned
SHRUNK = 1.4  # slope of targets on predictions beyond which these are too small
FLAT = 0.03  # spread of the predictions as a share of the targets' spread
TURNED = 1.25  # the last two validation losses against the best; single ones of healthy runs come back from 1.7
ROUNDED = 5e-3  # a loss from which training may come to one that is logged as 0.0, with four decimals


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

    `name in findings` asks for an illness; `findings.names` lists them; `findings.notes` says what the record lacks and
    how it was read; printing shows a table.
    """

    def __init__(self, findings: Sequence[Finding], seen: str, notes: Sequence[str] = ()) -> None:
        self._findings = tuple(sorted(findings, key=lambda f: (-f.severity, (*ILLNESSES, f.name).index(f.name))))
        self.seen, self.notes = seen, tuple(notes)

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
        """Show a table: severity, name, evidence, remedies in order; then the notes."""
        lines = [f"Nothing found in {self.seen}."]
        if self._findings:
            widths = (8, 18, 38, 46)
            lines = [f"{len(self)} finding{'s' * (len(self) > 1)} in {self.seen}"]
            lines += _table_rows(("severity", "finding", "what shows it", "try, in this order"), widths)
            lines.append("  ".join("-" * width for width in widths))
            for finding in self._findings:
                remedies = [f"{i}. {text}" for i, text in enumerate(finding.remedies, start=1)]
                cells = (_WORDS[finding.severity], finding.name, finding.evidence, remedies)
                lines += _table_rows(cells, widths)
        if self.notes:
            lines.append("Not covered, or only in part:")
            lines += [textwrap.fill(note, 116, initial_indent="- ", subsequent_indent="  ") for note in self.notes]
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


def diagnose(record: Any, recipe: Recipe | None = None, *, chance: float | None = None) -> Findings:
    """Name what went wrong in a run, with the evidence (numbers and steps) and the remedies in order.

    record: a Run; a History; or what `transformers.Trainer` logged: its `trainer_state.json` (path, or the folder that
    holds it), the dictionary in it, or `trainer.state.log_history`. recipe: how the run was made, where the record
    does not say (a Run does). The more is known the more can be seen: without a recipe neither the batch size nor the
    number of examples, without predictions neither collapse nor shrinkage. chance: the loss of a model that has
    learned nothing (the variance of the targets, the entropy of the classes), where the record does not hold the
    targets; without it the level at which the training loss began. Several validation sets, as Trainer logs those of a
    dictionary, are judged one at a time.

    Returns Findings: empty for a run that nothing speaks against, with notes on what was not read; "nothing to see yet"
    for fewer than three losses and three evaluations. A run that has not come halfway is only searched for what cannot
    get better by itself. Raises CheckpointError for a record that cannot be read, RecipeError for a recipe that is not
    a Recipe or a chance that is no loss.
    """
    if recipe is not None and not isinstance(recipe, Recipe):
        raise RecipeError(f"recipe: {type(recipe).__name__} is not a Recipe; make one with ft.Recipe(...) or give none")
    chance = real("chance", chance, above=True, optional=True)
    records = [replace(seen, known_chance=chance) for seen in read_record(record, recipe)]
    found: dict[str, Finding] = {}
    notes: dict[str, None] = {}  # in order, each once
    for seen in records:
        findings, more = _judge(seen)
        notes |= dict.fromkeys((*seen.notes, *more))
        for finding in findings:
            said = found[finding.name].evidence if finding.name in found else ()
            new = (f"{seen.dataset}: {e}" if seen.dataset and "validation" in e else e for e in finding.evidence)
            found[finding.name] = replace(finding, evidence=tuple(dict.fromkeys((*said, *new))))
    if len(found) > 1:  # one of the validation sets could be judged
        found.pop(NOTHING_YET, None)
    return Findings(list(found.values()), records[0].described, tuple(notes))


def chance_loss(record: Any, recipe: Recipe | None = None) -> float:
    """Return the loss of a model that has learned nothing: the yardstick of every rule.

    The variance of the test set's targets, or for classes the entropy of their shares (nats); without targets the mean
    training loss of the first 64 examples or so. Arguments and errors as for `diagnose`; NaN for an empty record.
    """
    return read_record(record, recipe)[0].chance


def _judge(seen: Record) -> tuple[list[Finding], list[str]]:
    """Apply every rule to one record; return the findings, and what else the reader should know."""
    zero = _unlearned_zeros(seen)
    lost = _no_number(seen, zero)
    if lost is None and len(seen.loss) < FEWEST_STEPS and len(seen.eval_loss) < FEWEST_STEPS:
        remedy = "train for an epoch, with an evaluation of the validation set, and ask again"
        return [Finding(NOTHING_YET, 0, (seen.described,), (remedy,))], []
    if lost is not None and (zero.any() or not np.isfinite(seen.loss).all()):
        return [lost], []  # after a loss that is no number every other rule is void

    notes = []
    skipped, count = int((seen.broken | zero).sum()), len(seen.loss)
    if skipped and lost is None:
        notes.append(
            f"{skipped} of {count} losses or gradients were no finite number, and later ones are: updates that "
            "float16's loss scaler skips, which is normal, or a bad batch"
        )
    if (void := int((~np.isfinite(seen.eval_loss)).sum())) and lost is None:
        notes.append(f"{void} of {len(seen.eval_loss)} validation losses were no finite number, and the last one is")
    seen = seen.without(zero | ~np.isfinite(seen.loss))
    lost = lost or _diverged(seen)
    # A run that diverged jumps about as well; that is no second illness.
    found = [lost, *(rule(seen) for rule in _RULES if not (lost and rule is _oscillating))]
    if not seen.halfway:
        notes.append(f"{seen.share_done:.0%} of the run have passed: what it will reach is open")
    elif not seen.starts_at_chance and len(seen.loss):
        notes.append(
            "each loss is the mean over so much of the run that the level at which it began is not known: a plateau, "
            "label noise and a run that is too slow are open"
        )
    if not seen.measured:
        notes.append("no targets and predictions: whether the predictions collapse or shrink is open")
    return [finding for finding in found if finding is not None], notes


# ------------------------------------------------------------------------------------------------------- the rules


def _finding(name: str, evidence: Sequence[str], remedies: Sequence[str]) -> Finding:
    return Finding(name, SEVERITY[name], tuple(evidence), tuple(text for text in remedies if text))


def _no_number(seen: Record, zero: np.ndarray) -> Finding | None:
    """Losses, norms or validation losses that are no finite number and do not become one again."""
    broken, evidence, remedies = np.flatnonzero(seen.broken), [], []
    if len(broken) and not _recovers(seen):
        i = broken[0]
        evidence.append(f"step {seen.step[i]:g}: loss {seen.loss[i]:g}, gradient norm {seen.norm[i]:g}")
        if i < 2:
            remedies.append("look at the first batches: a target or a text that is no number or empty")
    elif len(zero) and (zero.mean() >= 1 / 3 or _longest(zero) >= FEWEST_STEPS):
        return _always_zero(seen, zero)
    elif len(seen.validation) and not seen.validation.any() and len(zero) and seen.loss[-1] > ROUNDED:
        evidence = [f"validation loss exactly 0 in {len(seen.validation)} evaluations, training loss {seen.loss[-1]:g}"]
        return _finding("label noise or bug", evidence, ["count the labels of the validation set that are not masked"])
    elif len(seen.eval_loss) and not np.isfinite(seen.eval_loss[-1]):
        evidence.append(f"evaluation after step {seen.eval_step[-1]:g}: validation loss {seen.eval_loss[-1]:g}")
    elif seen.status == "diverged":
        evidence.append("the run stopped itself: a number was no longer finite")
    return _finding("diverged", evidence, [*remedies, *_slower(seen, numbers=True)]) if evidence else None


def _diverged(seen: Record) -> Finding | None:
    """The mean loss over some batches, or a validation loss, lies far above that of knowing nothing."""
    evidence = []
    if len(seen.loss) >= FEWEST_STEPS:
        window = min(len(seen.loss), max(3, math.ceil(24 / (seen.batch or 8))))
        means = np.convolve(seen.loss, np.full(window, 1 / window), "valid")
        if means.max() > BLOWN_UP * seen.chance:
            i = int(means.argmax())
            evidence.append(
                f"steps {seen.step[i]:g} to {seen.step[i + window - 1]:g}: loss {number(means[i])} on average, "
                f"{means[i] / seen.chance:.1f} times {seen.yardstick}"
            )
        elif len(seen.validation) and seen.validation.max() > BLOWN_UP * seen.chance and seen.final > LEARNED:
            i = int(np.nanargmax(np.where(np.isfinite(seen.eval_loss), seen.eval_loss, math.nan)))
            evidence.append(
                f"evaluation after step {seen.eval_step[i]:g}: validation loss {number(seen.eval_loss[i])} "
                f"against {seen.yardstick}"
            )
    return _finding("diverged", evidence, _slower(seen)) if evidence else None


def _slower(seen: Record, numbers: bool = False) -> list[str]:
    """What to try when steps are too large; numbers: some were no longer finite."""
    return [
        f"a learning rate three to ten times lower{_rate(seen)}",
        "a warm-up of a tenth of the run" if not _warmed(seen) else "",
        "clip the gradient (max_grad_norm=1)" if seen.recipe and seen.recipe.max_grad_norm is None else "",
        "float32 or bfloat16 in place of float16" if numbers else "",
    ]


def _always_zero(seen: Record, zero: np.ndarray) -> Finding:
    """Losses of exactly 0: from the first one on nothing counts in the loss; later on a number is broken."""
    i, losses = int(zero.argmax()), int(zero.sum())
    where = f"{losses} of {len(zero)} losses, from step {seen.step[i]:g} on, are exactly 0"
    numbers = "float32 or bfloat16 in place of float16: Trainer logs 0.0 where no loss of an interval was a number"
    remedies = ["look at the losses as they are (logging_nan_inf_filter=False)", numbers]
    if i > 0:
        before = seen.loss[:i][np.isfinite(seen.loss[:i])]
        return _finding("diverged", [f"{where}; before it was {number(before[-1])}"], [*remedies, *_slower(seen)])
    evidence = [where]
    if np.isfinite(seen.norm).any() and not np.nan_to_num(seen.norm[zero]).any():
        evidence.append("the gradient norm is 0 as well: no example counts")
    masked = "count the labels that are not masked (-100): the texts may be cut before the first of them"
    return _finding("label noise or bug", evidence, [masked, *remedies])


def _exploding(seen: Record) -> Finding | None:
    """One gradient is far longer than the others, or than the first."""
    known = np.isfinite(seen.norm)
    norm, step = seen.norm[known], seen.step[known]
    if len(norm) < FEWEST_STEPS or not norm.any():
        return None
    i, middle, first = int(norm.argmax()), float(np.median(norm)), float(norm[0])
    sudden = norm[i] > EXPLODED[0] * middle and norm[i] > EXPLODED[1] * first
    if not sudden and not norm[i] > EXPLODED[2] * first > 0:
        return None
    usual = f"{number(first)} at first, median {number(middle)}"
    evidence = [f"step {step[i]:g}: gradient norm {number(norm[i])}; {usual}"]
    clipped = seen.recipe is not None and seen.recipe.max_grad_norm is not None
    if clipped and seen.final < BY_HEART:
        return (
            None  # what is known by heart has tiny gradients, beside which the last long ones stand out; and were cut
        )
    if clipped:
        evidence.append(f"clipped to {seen.recipe.max_grad_norm:g}: its length did no harm, its direction may have")
    remedies = [
        "" if clipped else "clip the gradient (max_grad_norm=1)",
        "a warm-up of a tenth of the run" if not _warmed(seen) else "",
        f"a lower learning rate{_rate(seen)}",
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
        f"a lower learning rate{_rate(seen)}",
        "a warm-up of a tenth of the run" if not _warmed(seen) else "",
        "" if small else "larger batches",
    ]
    return _finding("oscillating", evidence, remedies)


def _plateau(seen: Record) -> Finding | None:
    """The loss stays that of the mean predictor, or that of equal odds, though the weights move."""
    if not seen.halfway:
        return None
    classes = _equal_odds(seen)
    if classes is not None:
        evidence = [
            f"all {len(seen.loss)} losses, to step {seen.step[-1]:g}, lie about {number(float(seen.loss.mean()))}: "
            f"ln {classes} = {math.log(classes):.3f} is what equal odds for {classes} classes cost"
        ]
        if len(seen.validation):
            evidence.append(f"validation loss {number(seen.validation.min())} at best")
    elif len(seen.validation) and _no_better(seen) and not seen.final < NO_BETTER:
        if _unmoved(seen) or _creeps(seen):
            return None
        at = seen.step[seen.last]
        evidence = [
            f"steps {at[0]:g} to {at[-1]:g}: loss {number(seen.final * seen.chance)} on average, {seen.yardstick}",
            f"validation loss {number(seen.validation.min())} at best",
        ]
    else:
        return None
    if _faded(seen):
        evidence.append(f"the gradient has faded: norm {_norms(seen)[0]} at first, {_norms(seen)[1]} at the end")
    low = 0 < _top_rate(seen) < 1e-5
    remedies = [
        f"a higher learning rate{_rate(seen)}" if low else "",
        "a warm-up of a tenth of the run" if not _warmed(seen) else "",
        "" if low else f"a learning rate three to ten times lower{_rate(seen)}",
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
            evidence.append(f"all {counts[0]} {seen.scored} texts are given the same class")
    elif seen.measured:
        if np.std(seen.predictions) < FLAT * np.std(seen.targets) and not _unmoved(seen):
            evidence.append(_spreads(seen))
    if (constant := _one_class(seen)) is not None:
        evidence.append(constant)
    if not evidence:
        return None
    remedies = [
        "count the classes in each split; deal the folds out by class (stratified)" if seen.classes else "",
        "weigh the rare class in the loss, or draw it more often" if seen.classes else "",
        f"a lower learning rate{_rate(seen)}",
        "a warm-up of a tenth of the run" if not _warmed(seen) else "",
    ]
    return _finding("collapsed predictions", evidence, remedies)


def _one_class(seen: Record) -> str | None:
    """Say it if the last two evaluations have the scores that predicting one class alone gives.

    With accuracy a that class has precision a and recall 1, so F1 = 2 a / (1 + a), and the mean over K classes is that
    divided by K, to the four decimals of a log. A binary F1 of 0 is that of never predicting the positive class.
    """
    both = [(a, s) for a, s in zip(seen.eval_accuracy, seen.eval_score, strict=True) if math.isfinite(a + s)][-2:]
    if not both:
        return None
    at = f"last {len(both)} evaluations of the validation set" if len(both) > 1 else "the evaluation"
    accuracy, score = both[-1]
    if not seen.macro_f1:
        if all(s == 0 < a for a, s in both):
            return f"{at}: accuracy {accuracy:.3f} with an F1 of 0: the positive class is never predicted"
        return None
    alone = [s and 2 * a / (1 + a) / s for a, s in both]  # the number of classes, if one is always predicted
    classes = round(alone[-1])
    if classes < 2 or any(abs(k - classes) > 1e-3 * classes for k in alone):
        return None
    return (
        f"{at}: accuracy {accuracy:.3f} and macro F1 {score:.3f}, which is what always predicting one class of "
        f"{classes} gets"
    )


def _too_slow(seen: Record) -> Finding | None:
    """The weights hardly move, or the losses were still falling when the run ended."""
    if not (seen.halfway and seen.starts_at_chance and len(seen.validation)) or _equal_odds(seen) is not None:
        return None
    if seen.final < 0.4 or seen.best_validation < LEARNED or not (_unmoved(seen) or _creeps(seen)):
        return None
    recipe, steps = seen.recipe, seen.eval_step[np.isfinite(seen.eval_loss)]
    learned_before = seen.validation[0] < NO_BETTER * seen.chance
    if not seen.chance_known and steps[0] > EARLY and learned_before:
        return None
    evidence = [
        f"validation loss {number(seen.validation[0])} after step {steps[0]:g}, {number(seen.validation[-1])} after "
        f"{steps[-1]:g}; {seen.yardstick}"
    ]
    frozen = [name for name, rates in zip(seen.layers, seen.lr.T, strict=True) if not np.nan_to_num(rates, nan=1).any()]
    updates = round(len(seen.loss) * seen.steps_per_loss)
    few = updates < 20 and seen.steps_per_epoch < 10 and not seen.counted
    sgd = recipe is not None and recipe.optimizer == "sgd"
    if frozen:
        evidence.append(f"{len(frozen)} of {len(seen.layers)} layers have rate 0: {frozen[0]} to {frozen[-1]}")
    if few:
        rows = seen.batch and round(seen.batch / seen.steps_per_loss)
        evidence.append(f"{updates} updates in all" + (f", of {rows} examples each" if rows else ""))
    if sgd:
        norm = np.where(np.isfinite(seen.norm), seen.norm, 0)
        gain = float((seen.lr.max(axis=1) * norm**2).sum())
        evidence.append(f"SGD: all steps together can lower the loss by about {number(gain)} (rate times norm squared)")
    remedies = [
        "let the backbone learn: give its layers a rate above 0" if frozen else "",
        "smaller batches: more updates for the same work" if few else "",
        "AdamW, or a rate hundreds of times higher for SGD" if sgd else "",
        "" if frozen or few or sgd else f"a learning rate two to five times higher{_rate(seen)}",
        "more epochs",
    ]
    return _finding("too slow", evidence, remedies)


def _overfitting(seen: Record) -> Finding | None:
    """The validation loss has turned and stayed higher twice, while the training loss went on falling."""
    if len(seen.validation) < 3 or _no_better(seen):
        return None
    at, steps = int(seen.validation.argmin()), seen.eval_step[np.isfinite(seen.eval_loss)]
    best, after = float(seen.validation[at]), seen.validation[at + 1 :][-2:]  # one alone may be bad luck
    if len(after) < 2 or after.min() < TURNED * best or seen.final * seen.chance > 0.5 * after[-1]:
        return None
    trained = f"training loss {number(seen.final * seen.chance)} at the end" if len(seen.loss) else "no training loss"
    evidence = [
        f"validation loss {number(best)} after step {steps[at]:g}, {number(after[-1])} after {steps[-1]:g}",
        trained,
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
    if not (len(seen.validation) and seen.starts_at_chance and _is_few(seen)):
        return None
    if seen.best_validation < LEARNED or seen.final > LEARNED:
        return None
    evidence = []
    if seen.examples is not None:
        times = len(seen.loss) / seen.losses_per_epoch
        evidence.append(f"about {seen.examples} training examples, each seen {times:.0f} times")
    else:
        evidence.append(f"an epoch has {seen.steps_per_epoch:.0f} steps")
    evidence.append(
        f"training loss {number(seen.final * seen.chance)} at the end, validation loss "
        f"{number(seen.validation.min())} at best; {seen.yardstick}"
    )
    remedies = [
        "more examples, even a few hundred",
        "fewer layers that learn (group_lrs, layer_decay)",
        "examples that cover the range of the targets (stratified)",
    ]
    return _finding("too few examples", evidence, remedies)


def _noise_or_bug(seen: Record) -> Finding | None:
    """The training set is learned and the validation set is not, or its answers come out on another scale."""
    if not (seen.halfway and len(seen.validation)) or seen.final > LEARNED or _is_few(seen):
        return None
    trained = f"training loss {number(seen.final * seen.chance)} at the end"
    if _no_better(seen):
        evidence = [
            f"{trained}: the training set was learned by heart",
            f"validation loss never below {number(seen.validation.min())}; {seen.yardstick}",
        ]
        remedies = [
            "read ten rows: does the target belong to the text?",
            "score the training set as if it were the validation set: the numbers must agree",
            "train a simple model on the same rows (word counts, ridge): does it find anything?",
        ]
        return _finding("label noise or bug", evidence, remedies)
    slope = _slope(seen)
    if slope is None or slope[0] - 2 * slope[1] < SHRUNK:
        return None
    evidence = [
        f"{trained}: the training set was learned",
        f"{_spreads(seen)}; stretched by {slope[0]:.1f} (standard error {slope[1]:.1f}) they would fit best",
    ]
    remedies = [
        "feed both sets the same way: padding, attention mask, truncation, letter case",
        "predict one text alone and in a batch: the answers must agree",
        "score the training set as if it were the validation set: the numbers must agree",
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


def _unlearned_zeros(seen: Record) -> np.ndarray:
    """Mark the losses of exactly 0 that no learning explains; (S,) of bool.

    A loss that has come down to nearly 0 is logged as 0.0 when it is rounded. One that has not cannot jump there.
    """
    zero = seen.loss == 0
    known = np.isfinite(seen.loss) & ~zero
    level = max(ROUNDED, 0.02 * float(seen.loss[known][0])) if known.any() else math.inf
    unlearned = zero.copy()
    for i in np.flatnonzero(zero):
        before = seen.loss[:i][known[:i]]
        unlearned[i] = not (len(before) and before[-3:].mean() <= level)
    return unlearned


def _longest(marked: np.ndarray) -> int:
    """Return how many marks stand in a row at most."""
    longest = run = 0
    for mark in marked:
        run = run + 1 if mark else 0
        longest = max(longest, run)
    return longest


def _recovers(seen: Record) -> bool:
    """Whether all is finite again at the end and the loss falls, as where float16's scaler skips an update.

    A run of `fit` that ended by itself has done so: it ends at a number that is not finite and is not skipped.
    """
    if seen.status in ("completed", "early_stopped"):
        return bool(np.isfinite(seen.loss).all())
    end = int(np.flatnonzero(seen.broken)[-1]) + 1
    before, after = seen.loss[:end], seen.loss[end:]
    if not len(after):
        return False
    some = max(1, len(after) // 3)
    start = before[np.isfinite(before)] if np.isfinite(before).any() else after
    return bool(after[-some:].mean() < start[:some].mean())


def _no_better(seen: Record) -> bool:
    """Whether no evaluation was better than knowing nothing; without targets, whether they have not fallen either.

    Without targets chance is uncertain, and the first evaluation may come when much has been learned. So between
    LEARNED and NO_BETTER of it, losses that do not fall say something only where the first one was EARLY.
    """
    if seen.chance_known:
        return seen.best_validation > NO_BETTER
    if not seen.starts_at_chance or len(seen.validation) < 2 or seen.validation.min() <= STUCK * seen.validation[0]:
        return False
    early = seen.eval_step[np.isfinite(seen.eval_loss)][0] <= EARLY
    return seen.best_validation > (LEARNED if early else NO_BETTER)


def _equal_odds(seen: Record) -> int | None:
    """Return the number of classes K if every loss, from first to last, is ln K: what equal odds for all of them cost.

    Only where no targets tell more. Losses of another kind may lie there by chance, so they must all lie close, and all
    the closer where no accuracy or F1 says that there are classes.
    """
    if seen.chance_known or len(seen.loss) < FEWEST_STEPS:
        return None
    classes = max(2, round(math.exp(min(float(seen.loss.mean()), 4.0))))
    thirds = [third.mean() for third in np.array_split(seen.loss, 3)]
    off = float(np.abs(np.array([*thirds, *seen.validation]) / math.log(classes) - 1).max())
    restless = float(seen.loss.std() / seen.loss.mean())
    sure = seen.classes or classes == 2
    close = off < 0.03 and restless < 0.05 if sure else off < 0.015 and restless < 0.02
    return classes if close and classes <= (25 if sure else 6) else None


def _unmoved(seen: Record) -> bool:
    """Whether the validation loss stayed where it was: the weights hardly moved."""
    losses = seen.validation
    return len(losses) > 1 and float(np.ptp(losses)) < UNMOVED * float(losses.mean()) and not _faded(seen)


def _creeps(seen: Record) -> bool:
    """Whether the validation loss only ever fell, the last one being the best, with the gradient still alive."""
    losses = seen.validation
    return len(losses) > 1 and bool((np.diff(losses) < 0.01 * losses[:-1]).all()) and not _faded(seen)


def _faded(seen: Record) -> bool:
    """Whether the gradient has become much shorter although the loss has not: features that say nothing any more."""
    if np.isfinite(seen.norm).sum() <= 5:
        return False
    first, late = _norms(seen)
    return first > 0 and late < 0.5 * first and seen.final > LEARNED


def _norms(seen: Record) -> tuple[float, float]:
    """The gradient's norm at first, and the median of those at the end."""
    norm, late = seen.norm[np.isfinite(seen.norm)], seen.norm[seen.last]
    late = late[np.isfinite(late)] if np.isfinite(late).any() else norm[-1:]
    return float(f"{norm[0]:.4g}"), float(f"{np.median(late):.2g}")


def _spreads(seen: Record) -> str:
    spread, expected = float(np.std(seen.predictions)), float(np.std(seen.targets))
    return f"{seen.scored} set: predictions have standard deviation {number(spread)}, targets {number(expected)}"


def _is_few(seen: Record) -> bool:
    if seen.examples is not None:
        return seen.examples <= FEW_EXAMPLES
    return seen.steps_per_epoch <= 2 and not seen.counted


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


def _top_rate(seen: Record) -> float:
    """The highest learning rate of the run, NaN where none was logged."""
    rates = seen.lr[np.isfinite(seen.lr)]
    return float(rates.max()) if rates.size else math.nan


def _rate(seen: Record) -> str:
    """The highest learning rate, in brackets, if there was one."""
    return f" (it was {number(_top_rate(seen))})" if _top_rate(seen) > 0 else ""
