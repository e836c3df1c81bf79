"""The deliberate faults: what is replaced, in which file, and the tests that must notice it."""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """A fault: the first of `edits` (file, old text, new text) that fits is made; one of `tests` must fail then."""

    name: str
    edits: list[tuple[str, str, str]]
    tests: list[str]


TRAINER = ["tests/test_trainer.py"]
SCHEDULES = ["tests/test_schedules.py"]
DAMAGE = ["tests/faults/test_damage.py"]
BAD_INPUT = ["tests/faults/test_bad_input.py"]

MUTANTS = [
    # ------------------------------------------------------------------------------------------------ learning rates
    Mutant(
        "a wrong power in the layer-wise decay",
        [
            (
                "ftlab/schedules.py",
                "rates[1 + i] = rate\n            rate *= layer_decay",
                "rate *= layer_decay\n            rates[1 + i] = rate",
            )
        ],
        SCHEDULES,
    ),
    Mutant(
        "the head's rate ignored",
        [("ftlab/schedules.py", "rates[-1] = lr if head_lr is None else head_lr", "rates[-1] = lr")],
        SCHEDULES,
    ),
    Mutant(
        "the warm-up one step late",
        [
            (
                "ftlab/schedules.py",
                "step < warmup_steps, step / max(1, warmup_steps), after",
                "step <= warmup_steps, step / (warmup_steps + 1), after",
            )
        ],
        SCHEDULES,
    ),
    Mutant(
        "the annealing to the averaging rate one step early",
        [("ftlab/schedules.py", "since = (np.asarray(step) - swa_step)", "since = (np.asarray(step) - swa_step + 1)")],
        SCHEDULES,
    ),
    Mutant(
        "preview and fit one step apart",
        [("ftlab/trainer.py", "rates[step][job.place", "rates[max(0, step - 1)][job.place")],
        TRAINER,
    ),
    # ------------------------------------------------------------------------------------------------------ training
    Mutant(
        "a dropped weight in accumulation",
        [("ftlab/trainer.py", "len(share) / rows_in_update", "1 / len(batches)")],
        TRAINER,
    ),
    Mutant(
        "clipping off",
        [
            (
                "ftlab/trainer.py",
                "limit = math.inf if self.recipe.max_grad_norm is None else self.recipe.max_grad_norm",
                "limit = math.inf",
            )
        ],
        TRAINER,
    ),
    Mutant(
        "the average off by one snapshot",
        [("ftlab/trainer.py", "step >= job.schedule.swa_step", "step > job.schedule.swa_step")],
        TRAINER,
    ),
    Mutant(
        "the averaged weights' score that of the others",
        [("ftlab/trainer.py", "self.predict(self.averager.model, rows)", "self.predict(self.bare_model, rows)")],
        TRAINER,
    ),
    Mutant(
        "the best checkpoint not restored",
        [("ftlab/trainer.py", "self.bare_model.load_state_dict(self.best_weights)", "self.bare_model.eval()")],
        TRAINER,
    ),
    Mutant(
        "the selection made on training rows",
        [
            (
                "ftlab/trainer.py",
                "rows, task = self.split.validation, self.data.task",
                "rows, task = self.split.train, self.data.task",
            )
        ],
        TRAINER,
    ),
    Mutant(
        "the wrong rows scored at the end",
        [
            ("ftlab/trainer.py", "TestSet(job.batches, job.split.test,", "TestSet(job.batches, job.split.validation,"),
            (
                "ftlab/trainer.py",
                "logits = job.predict(job.bare_model, job.split.test)",
                "logits = job.predict(job.bare_model, job.split.validation)",
            ),
        ],
        TRAINER,
    ),
    Mutant(
        "the seed ignored by what is drawn in a run",
        [
            ("ftlab/trainer.py", "with _seeded(recipe.seed):\n        job =", "with _seeded(0):\n        job ="),
            (
                "ftlab/trainer.py",
                "with seeded(recipe.seed) as random:\n        job =",
                "with seeded(0) as random:\n        job =",
            ),
        ],
        TRAINER,
    ),
    Mutant(
        "the seed ignored by the batches",
        [("ftlab/trainer.py", "seed=recipe.seed,", "seed=0,")],
        TRAINER,
    ),
    Mutant(
        "a divergence not noticed",
        [
            (
                "ftlab/trainer.py",
                '            return "diverged"\n        job.optimizer.step()',
                "            pass\n        job.optimizer.step()",
            )
        ],
        TRAINER + ["tests/faults/test_numbers.py"],
    ),
    Mutant(
        "two techniques that do not work together",
        [
            (
                "ftlab/trainer.py",
                "    rates = job.schedule.lr.tolist()",
                "    rates = job.schedule.lr.tolist()[recipe.reinit_layers and recipe.patience or 0 :]",
            )
        ],
        TRAINER,
    ),
    Mutant(
        "predictions in the order of their lengths",
        [
            ("ftlab/evaluate.py", "return logits[np.argsort(order)]", "return logits"),
            ("ftlab/trainer.py", "[np.argsort(np.concatenate(batches))]", ""),
        ],
        TRAINER,
    ),
    Mutant(
        "dropout in evaluations",
        [("ftlab/evaluate.py", "    model.eval()\n", "    model.train()\n")],
        TRAINER,
    ),
    Mutant(
        "F1 averaged over rows and not over classes",
        [("ftlab/evaluate.py", 'average="macro"', 'average="micro"')],
        ["tests/test_evaluate.py"],
    ),
    # ----------------------------------------------------------------------------------------------------- resuming
    Mutant(
        "a resumed run off by one step",
        [("ftlab/checkpoint.py", 'job.first_step = state["step"]', 'job.first_step = state["step"] + 1')],
        TRAINER,
    ),
    Mutant(
        "the random state not restored",
        [
            ("ftlab/checkpoint.py", '    torch.set_rng_state(states["cpu"])\n', ""),
            ("ftlab/checkpoint.py", "    job.random.set_states({k.removeprefix(mine)", "    ({k.removeprefix(mine)"),
        ],
        TRAINER,
    ),
    Mutant(
        "the best weights forgotten on resuming",
        [("ftlab/checkpoint.py", 'job.best_weights = tensors["best"] or None', "job.best_weights = None")],
        TRAINER,
    ),
    Mutant(
        "another recipe's checkpoint accepted",
        [
            (
                "ftlab/checkpoint.py",
                'if saved["recipe"].get(k) != present["recipe"].get(k)',
                'if k != "patience" and saved["recipe"].get(k) != present["recipe"].get(k)',
            )
        ],
        DAMAGE,
    ),
    Mutant(
        "a changed file in a checkpoint accepted",
        [("ftlab/checkpoint.py", "if _sha256(folder / name) != wanted:", "if not (folder / name).is_file():")],
        DAMAGE,
    ),
    # --------------------------------------------------------------------------------------------------- techniques
    Mutant(
        "weight decay on biases",
        [
            (
                "ftlab/techniques/llrd.py",
                '"weight_decay": weight_decay if decays else 0.0',
                '"weight_decay": weight_decay',
            )
        ],
        ["tests/techniques/test_llrd.py"],
    ),
    Mutant(
        "one layer too many re-initialised",
        [("ftlab/techniques/reinit.py", "layers.blocks[-n:]", "layers.blocks[-n - 1 :]")],
        ["tests/techniques/test_reinit.py"],
    ),
    Mutant(
        "patience longer by one",
        [
            (
                "ftlab/techniques/frequent_eval.py",
                "self.looks_without_progress >= self.patience",
                "self.looks_without_progress > self.patience",
            )
        ],
        ["tests/techniques/test_frequent_eval.py"],
    ),
    Mutant(
        "BertAdam's second moment with the first one's share",
        [
            (
                "ftlab/techniques/bertadam.py",
                'torch._foreach_addcmul_(vs, grads, grads, 1 - group["b2"])',
                'torch._foreach_addcmul_(vs, grads, grads, 1 - group["b1"])',
            )
        ],
        ["tests/techniques/test_bertadam.py"],
    ),
    # ---------------------------------------------------------------------------------------------- data and models
    Mutant(
        "a fold that leaks: validation rows in the training set",
        [("ftlab/data/load.py", "(~(test | validation), validation, test)", "(~test, validation, test)")],
        ["tests/data/test_load.py"],
    ),
    Mutant(
        "the last, smaller batch left out",
        [
            (
                "ftlab/data/batches.py",
                "    if n % batch_size:\n",
                "    order = order[: n - n % batch_size]\n    if False:\n",
            )
        ],
        ["tests/data/test_load.py"],
    ),
    Mutant(
        "padding counted in the mean",
        [("ftlab/models/heads.py", "weight = mask.unsqueeze(-1)", "weight = torch.ones_like(mask).unsqueeze(-1)")],
        ["tests/models/test_heads.py"],
    ),
    Mutant(
        "padding attended to by the first token",
        [
            (
                "ftlab/models/first_token.py",
                "attn_mask=None if attention_mask is None else attention_mask[:, :, :1]",
                "attn_mask=None",
            )
        ],
        ["tests/models/test_first_token.py"],
    ),
    # ------------------------------------------------------------------------------------------ studies, bad input
    Mutant(
        "Holm's correction one comparison short",
        [
            (
                "ftlab/study/statistics.py",
                "(len(order) - np.arange(len(order)))",
                "(len(order) - np.arange(1, len(order) + 1))",
            )
        ],
        ["tests/study/test_report.py"],
    ),
    Mutant(
        "a truth value taken for a whole number",
        [
            (
                "ftlab/recipe.py",
                "if isinstance(value, bool) or not isinstance(value, numbers.Integral):",
                "if not isinstance(value, numbers.Integral):",
            ),
            (
                "ftlab/checks.py",
                "isinstance(value, numbers.Integral) and not isinstance(value, bool)",
                "isinstance(value, numbers.Integral)",
            ),
        ],
        ["tests/test_recipe.py"],
    ),
    Mutant(
        "a negative fold in a result file accepted",
        [("ftlab/study/cells.py", '"fold": (_is_count,', '"fold": (_is_number,')],
        BAD_INPUT,
    ),
    Mutant(
        "a traceback on the command line",
        [("ftlab/__main__.py", "except (FtlabError, OSError) as error:", "except FtlabError as error:")],
        DAMAGE,
    ),
    Mutant(
        "a history with a row too short accepted",
        [
            (
                "ftlab/history.py",
                "if any(len(row) != 3 + len(history.layers) for row in rows):",
                "if any(len(row) < 2 for row in rows):",
            )
        ],
        BAD_INPUT,
    ),
]
