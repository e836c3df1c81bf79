"""The plan against the committed cells: each is one of the plan's, a study that has begun is whole, choices follow."""

import json
import os
import re
import shutil
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ftlab as ft
from ftlab.__main__ import main
from ftlab.errors import DataError
from ftlab.study import load_cells, paired_t, plan
from ftlab.study.first_edition import recipe_of
from ftlab.study.plan_report import confirmation, confirmation_text, load_references
from ftlab.study.train import BLOCK, Cell, part_of

RESULTS = Path(__file__).resolve().parents[2] / "data" / "results"
FROZEN = json.loads((RESULTS / "frozen.json").read_text(encoding="utf-8"))
CONFIRMED = ("snippets", "passages 200", "passages", "clear", "snippets curve", "clear curve", "few samples")

CONFIRMATIONS = {
    "passages": ("passages_plan", "passages_200_plan"),
    "snippets": ("snippets",),
    "clear": ("clear_plan",),
}


def records(name):
    return [json.loads(line) for line in (RESULTS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def identity(cell, study):
    return (study, cell.name, cell.rows, cell.split, cell.fold, cell.n_train, cell.sample, cell.recipe)


def identity_of(record):
    place = [record.get(name) for name in ("rows", "split", "fold", "n_train", "sample")]
    return (record["study"], record["name"], *place, recipe_of(record))


def planned(stage):
    return {identity(cell, study) for study, cell in plan.cells(stage, FROZEN)}


def test_the_plan_in_words_has_the_plans_numbers():
    text = (RESULTS / "PLAN.md").read_text(encoding="utf-8")
    counts = Counter(study for stage in plan.STAGES for study, _ in plan.cells(stage, FROZEN))
    stages = {stage: sum(1 for _ in plan.cells(stage, FROZEN)) for stage in plan.STAGES}
    for study in CONFIRMED:
        assert re.search(rf"^\| confirm \| `{study}`.*\| {counts[study]} \|$", text, re.M), study
    for stage in plan.STAGES[:2]:
        assert re.search(rf"^\| {stage} \|.*\| {stages[stage]} \|$", text, re.M), stage
    assert f"| {sum(stages.values()):,} |" in text
    for arm in plan.ARMS:
        assert re.search(rf"^\| {arm} \|", text, re.M), arm


def test_tuning_is_as_planned_and_the_choices_follow_from_it():
    tuned = records("tuning")
    assert len(tuned) == len({identity_of(r) for r in tuned})
    assert {identity_of(r) for r in tuned} == planned("tune base") | planned("tune arms")
    assert len({r["device"] for r in tuned}) == 1
    base = plan.choose_base(r for r in tuned if r["study"].endswith("base"))
    assert base == FROZEN["base"]
    assert plan.choose_arms((r for r in tuned if r["study"].endswith("arms")), base) == FROZEN["arms"]


def test_a_recommended_recipe_did_best_where_it_was_tuned_unless_the_confirming_rows_say_otherwise():
    scores = defaultdict(lambda: defaultdict(list))
    for record in records("tuning"):
        if record["study"].endswith("arms"):
            fields = json.dumps({**record["recipe"], "seed": 0}, sort_keys=True)
            scores[record["data"]][record["name"].split()[0], fields].append(answer_of(record))
    for data, recipe in ft.RECOMMENDED.items():
        ranked = sorted(scores[data], key=lambda draw: np.mean(scores[data][draw]))
        best, baseline = ranked[0], next(draw for draw in ranked if draw[0] == "baseline")
        confirmed = defaultdict(list)
        for file in CONFIRMATIONS[data]:
            for record in records(file):
                confirmed[record["name"]].append(answer_of(record))
        behind = bool(confirmed["baseline"]) and np.mean(confirmed[best[0]]) > np.mean(confirmed["baseline"])
        _, fields = baseline if behind else best
        assert ft.Recipe().but(**json.loads(fields)) == recipe, data


def answer_of(record):
    return record["test"] if record["swa_test"] is None else record["swa_test"]


@pytest.mark.parametrize("study", CONFIRMED)
def test_a_confirming_study_is_whole(study):
    file = RESULTS / f"{study.replace(' ', '_')}_plan.jsonl"
    file = RESULTS / "snippets.jsonl" if study == "snippets" else file
    if not file.exists():
        pytest.skip(f"{study}: not yet trained; data/results/PLAN.md says what it takes")
    found = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    blocks = {(record["name"], record["n_train"]) for record in found}  # an arm at a size, trained one by one
    expected = {cell for cell in planned("confirm") if cell[0] == study and (cell[1], cell[5]) in blocks}
    assert {identity_of(r) for r in found} == expected and len(found) == len(expected)
    assert len({r["device"] for r in found}) == 1


def test_every_arm_has_the_same_number_of_draws_and_the_baseline_is_neutral():
    for arm in plan.ARMS:
        drawn = plan.draws(arm, 8)
        assert len(drawn) == plan.DRAWS and drawn == plan.draws(arm, 8)
        assert all(5e-5 <= draw["lr"] <= 1e-3 for draw in drawn)
        assert all(plan.base_recipe("passages", {"epochs": 8, **draw}) for draw in drawn), "every draw is a recipe"
    assert all(set(draw) == {"lr"} for draw in plan.draws("baseline", 8))


def test_no_row_is_both_tuned_and_confirmed_on():
    data = ft.load_data("passages")
    tune, confirm = part_of(data, "tune"), part_of(data, "confirm")
    assert len(tune) + len(confirm) == len(data) and not set(tune.texts) & set(confirm.texts)


def test_blocks_of_snippets_share_no_row_with_one_another_or_with_the_tuning_rows():
    if "FTLAB_DATA" not in os.environ:
        pytest.skip("FTLAB_DATA names no folder with the film sentences")
    data = ft.load_data("snippets")
    blocks = [part_of(data, f"confirm/{i}") for i in range(10)] + [part_of(data, f"tune/{i}") for i in range(3)]
    assert {tuple(map(len, block.split(0))) for block in blocks} == {BLOCK}
    texts = [text for block in blocks for text in block.texts]
    assert len(texts) == len(set(texts))
    keys = {c.key(c.data(data)) for study, c in plan.cells("confirm", FROZEN) if study == "snippets"}
    assert keys == {record["cell"] for record in records("snippets")}


def test_only_samples_and_seeds_of_few_samples_are_crossed():
    seeds = Counter()
    for study, cell in plan.cells("confirm", FROZEN):
        if study != "few samples" and cell.name == "baseline":
            seeds[study, cell.recipe.seed, cell.n_train] += 1
    assert set(seeds.values()) == {1}, "two pairs share a seed"


def test_what_does_not_fit_is_refused():
    with pytest.raises(DataError, match="stage: 'look' is unknown"):
        next(plan.cells("look"))
    with pytest.raises(DataError, match="frozen: stage 'confirm' needs"):
        next(plan.cells("confirm"))
    with pytest.raises(DataError, match="rows: 'tune' of 'rows.csv' is not known"):
        part_of(type("Fake", (), {"name": "rows.csv"})(), "tune")
    cells = load_cells(RESULTS / "snippets.jsonl")
    for column, message in (("device", "device: the cells have several"), ("n_train", "n_train: the cells have")):
        mixed = cells.copy()
        mixed[column] = [1, *mixed[column].iloc[1:]] if column == "n_train" else ["cpu", *mixed[column].iloc[1:]]
        with pytest.raises(DataError, match=message):
            confirmation(mixed)
    with pytest.raises(DataError, match="rows: some cells name none"):
        confirmation(load_cells(RESULTS / "techniques.jsonl"))
    with pytest.raises(DataError, match="'all' stands there twice"):
        confirmation(pd.concat([cells, cells[cells["name"] == "all"].iloc[:1]]))


def test_few_pairs_get_no_verdict():
    cells = load_cells(RESULTS / "snippets.jsonl")
    few = confirmation(cells[cells["rows"].isin([f"confirm/{i}" for i in range(9)])])
    assert set(few["verdict"]) == {"too few pairs (9)"}


def test_the_primary_contrast_is_what_a_plain_paired_t_test_gives():
    cells = load_cells(RESULTS / "snippets.jsonl")
    table = confirmation(cells)
    wide = cells.pivot(index="rows", columns="name", values="score")
    from scipy import stats

    row = table.loc[("all", "baseline")]
    assert row["pairs"] == 10 and row["p"] == pytest.approx(stats.ttest_rel(wide["all"], wide["baseline"]).pvalue)
    assert row["difference"] == pytest.approx((wide["all"] - wide["baseline"]).mean())
    assert np.all(table["p_holm"] >= table["p"])
    assert "| all | baseline |" in confirmation_text(table)


def test_the_probe_stands_beside_every_arm():
    references = load_references(RESULTS / "references.jsonl")
    table = confirmation(load_cells(RESULTS / "snippets.jsonl"), references[references["study"] == "snippets"])
    assert len(table) == 2 * len(plan.ARMS) - 1
    assert set(table.xs("frozen probe", level="than")["pairs"]) == {10}


@pytest.mark.parametrize("spread, same", [(1.0, False), (1.92, True)])
def test_equivalent_is_a_hundredth_of_the_targets_standard_deviation(spread, same):
    """The arm's ten differences have mean 0.012 and standard deviation 0.005: their 90 % interval ends at 0.015."""
    cells = load_cells(RESULTS / "snippets.jsonl")
    cells = cells[cells["name"].isin(["baseline", "all"])].sort_values(["name", "rows"]).reset_index(drop=True)
    apart = np.resize([0.007256, 0.016744], 10)  # standard deviation 0.005
    assert apart.std(ddof=1) == pytest.approx(0.005, rel=1e-3)
    cells["score"] = np.concatenate([1.3 + apart, np.full(10, 1.3)])
    references = load_references(RESULTS / "references.jsonl")
    references = references[references["study"] == "snippets"].assign(mean=spread)
    row = confirmation(cells, references).loc[("all", "baseline")]
    assert row["equivalent"] == same


def test_a_run_without_a_score_counts_as_guessing():
    cells, references = load_cells(RESULTS / "snippets.jsonl"), load_references(RESULTS / "references.jsonl")
    references = references[references["study"] == "snippets"]
    lost = cells.index[cells["name"] == "llrd"][3]
    guess = references.set_index("rows").loc[cells.loc[lost, "rows"], "mean"]
    expected = confirmation(cells.assign(score=cells["score"].where(cells.index != lost, guess)), references)
    cells.loc[lost, "score"] = np.nan
    found = confirmation(cells, references)
    pd.testing.assert_frame_equal(found, expected)
    assert found.loc[("llrd", "baseline"), "pairs"] == 10
    with pytest.raises(DataError, match="score: missing in 1 of 70 runs, which counts as guessing; give references"):
        confirmation(cells)


@pytest.mark.parametrize("study", CONFIRMED)
def test_every_study_of_the_plan_can_be_started(study, tmp_path, monkeypatch, capsys):
    """The command puts every cell into its storage, on the right data."""
    name = plan.data_of(study)
    if name != "passages" and "FTLAB_DATA" not in os.environ:
        pytest.skip(f"FTLAB_DATA names no folder with {name}")
    monkeypatch.chdir(RESULTS.parents[1])
    storage = f"sqlite:///{tmp_path}/study.db"
    assert main(["study", "--plan", study, "--storage", storage, "--max_cells", "0"]) == 0
    total = sum(1 for each, _ in plan.cells("confirm", FROZEN) if each == study)
    assert f"{study}: 0 of {total} cells done" in capsys.readouterr().out


def test_make_results_finds_the_first_designs_cells_done(tmp_path, capsys):
    """What the target trains is what the files hold: nothing is trained twice under another recipe."""
    target = (RESULTS.parents[1] / "Makefile").read_text(encoding="utf-8")
    common = re.search(r"^STUDY = .*--out data/results/\S+(.*)$", target, re.M)[1].split()
    studies = re.findall(r"\$\(call STUDY,(\w+)\) ((?:[^\n&\\]|\\\n)*)", target)
    assert [name for name, _ in studies] == ["techniques", "pairs", "few_samples", "clear"]
    for name, arguments in studies:
        if name == "clear" and "FTLAB_DATA" not in os.environ:
            continue
        shutil.copy(RESULTS / f"{name}.jsonl", tmp_path)
        asked = ["--storage", f"sqlite:///{tmp_path}/{name}.db", "--out", str(tmp_path / f"{name}.jsonl")]
        main(["study", *asked, *common, *arguments.replace("\\\n", " ").split(), "--max_cells", "0"])
        found = len(load_cells(RESULTS / f"{name}.jsonl"))
        assert f"{found} of {found} cells done" in capsys.readouterr().out, name


def test_a_cells_place_is_in_its_key():
    data = ft.load_data("passages")
    cells = [
        Cell("a", ft.Recipe(), 0, rows="confirm"),
        Cell("a", ft.Recipe(), 0, rows="tune"),
        Cell("a", ft.Recipe(), 0, split=1, rows="confirm"),
        Cell("a", ft.Recipe(), 0, 100, rows="confirm"),
        Cell("a", ft.Recipe(), 0, 100, 7, rows="confirm"),
    ]
    assert len({cell.key(cell.data(data)) for cell in cells}) == len(cells)


def readme():
    """README's text, in one line."""
    return " ".join((RESULTS.parents[1] / "README.md").read_text(encoding="utf-8").split())


def between(marker):
    text = (RESULTS.parents[1] / "README.md").read_text(encoding="utf-8")
    return text.split(f"<!-- {marker} -->\n")[1].split(f"<!-- /{marker} -->")[0].strip()


def test_the_readme_shows_the_primary_study_as_the_cells_give_it():
    references = load_references(RESULTS / "references.jsonl")
    table = confirmation(load_cells(RESULTS / "snippets.jsonl"), references[references["study"] == "snippets"])
    assert between("confirmation") == confirmation_text(table)


def test_the_readme_shows_the_reference_models_of_the_first_designs_folds():
    references = load_references(RESULTS / "references.jsonl")
    whole = references[references["study"] == "passages, all rows"]
    assert len(whole) == 5
    default = load_cells(RESULTS / "default.jsonl")
    assert len(default) == 5 and all(ft.Recipe(**changes) == ft.Recipe() for changes in default["changes"])
    first = load_cells(RESULTS / "techniques.jsonl").groupby("name", sort=False)["score"].mean()
    expected = {name: whole[name].mean() for name in ("mean", "surface", "tfidf", "frozen")} | dict(
        default=default["score"].mean(), baseline=first["baseline"], all=first["all"]
    )
    shown = re.findall(r"\| ([\d.]+) \|$", between("references"), re.M)
    assert shown == [f"{value:.3f}" for value in expected.values()]


PROBED = [  # what was fine-tuned, its file, study and arm, the texts to train on, test rows over training rows
    ("film sentences, tuned baseline", "snippets", "snippets", "baseline", 432, 0),
    ("CLEAR, all techniques, tuned", "clear_plan", "clear", "all", 2400, 800 / 2400),
    ("`passages`, the default recipe, untuned", "default", "passages, all rows", None, 432, 144 / 432),
    ("`passages`, tuned baseline", "passages_plan", "passages", "baseline", 288, 96 / 288),
    ("`passages`, head start from the probe, tuned", "passages_plan", "passages", "head_start", 288, 96 / 288),
    ("`passages`, tuned baseline", "passages_200_plan", "passages 200", "baseline", 200, 96 / 200),
    ("`passages`, head start from the probe, tuned", "passages_200_plan", "passages 200", "head_start", 200, 96 / 200),
]


def test_the_readme_sets_fine_tuning_against_the_probe_as_the_cells_do():
    references = load_references(RESULTS / "references.jsonl")
    lines = ["| fine-tuned | texts | RMSE | probe | difference (95 % interval) | lower in | p |"]
    lines += ["|---|--:|--:|--:|--:|--:|--:|"]
    for label, file, study, arm, texts, overlap in PROBED:
        cells = load_cells(RESULTS / f"{file}.jsonl")
        cells = cells if arm is None else cells[cells["name"] == arm]
        place = [name for name in ("rows", "split", "fold") if name in cells and cells[name].notna().all()]
        score = cells.set_index(place)["score"]
        probe = references[references["study"] == study].set_index(place)["frozen"].reindex(score.index)
        found = paired_t(score - probe, overlap=overlap)
        shown = [label, f"{texts:,}", f"{score.mean():.3f}", f"{probe.mean():.3f}"]
        shown += [f"{found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f})"]
        shown += [f"{(score < probe).sum()} of {found.pairs}", "< 0.001" if found.p < 0.0005 else f"{found.p:.3f}"]
        lines.append(f"| {' | '.join(shown)} |")
    assert between("against the probe") == "\n".join(lines)


def test_the_readme_says_how_far_the_arms_on_passages_lie_from_the_baseline():
    references, text = load_references(RESULTS / "references.jsonl"), readme()
    table = confirmation(load_cells(RESULTS / "passages_plan.jsonl"), references[references["study"] == "passages"])
    row = table.loc[("baseline", "frozen probe")]
    assert table["p_holm"].min() >= 0.05
    assert f"of the {len(table)} comparisons in its table none is left" in text
    assert f"({row['p_holm']:.3f} for the tuned baseline on 288)" in text
    assert f"by about {-row['difference'] / row['than_score']:.0%} on `passages`".replace("%", " %") in text
    against = table.xs("baseline", level="than")
    assert against["verdict"].str.startswith("within noise").all() and len(against) == 6
    least, most = against["difference"].min(), against["difference"].max()
    assert f"between {least:+.3f} and {most:+.3f} of the baseline, within noise that hides up to " in text
    assert f"hides up to {against['sees'].max():.3f}" in text
    few = confirmation(
        load_cells(RESULTS / "passages_200_plan.jsonl"), references[references["study"] == "passages 200"]
    )
    beside = few.xs("baseline", level="than")
    assert beside["verdict"].str.startswith("within noise").all() and len(beside) == 6
    assert few["p_holm"].min() >= 0.05
    least, most = beside["difference"].min(), beside["difference"].max()
    assert f"with 200 texts all six lie between {least:+.3f} and {most:+.3f}, within noise that hides" in text
    sees = beside["sees"].sort_values()
    assert sees.index[-1] == "head_start"
    assert f"up to {sees.iloc[-1]:.3f} (the widest, of the head start; {sees.iloc[-2]:.3f} without it)" in text


FEW = {
    "baseline": "tuned baseline",
    "longer": "three times as many epochs",
    "reinit": "two re-initialised layers",
    "llrd": "layer-wise decay",
    "head_start": "head start from the probe",
    "bertadam": "BertAdam",
    "bertadam+warmup": "BertAdam, a warm-up",
    "bertadam+warmup+low_lr": "BertAdam, a warm-up, a tenth of the rate",
}


def test_the_readme_shows_few_samples_as_the_cells_give_them():
    cells, references = load_cells(RESULTS / "few_samples_plan.jsonl"), load_references(RESULTS / "references.jsonl")
    columns, behind = {}, {}
    for size, of_size in cells.groupby("n_train"):
        own = references[(references["study"] == "few samples") & (references["n_train"] == size)]
        scores = of_size.pivot(index=["sample", "seed"], columns="name", values="score")
        assert len(scores) == 12 and set(scores) <= set(FEW)
        lower = scores.lt(scores["baseline"], axis=0).sum()
        column = [f"{own['frozen'].mean():.3f}", f"{scores['baseline'].mean():.3f}"]
        column += [f"{scores[arm].mean():.3f} ({lower[arm]})" if arm in scores else "" for arm in [*FEW][1:]]
        columns[f"{size} texts"], behind[size] = column, scores.mean() - scores["baseline"].mean()
        assert not of_size["failed"].any() and (of_size["score"] < own["mean"].mean()).all()
        grid = scores["baseline"].unstack().to_numpy()
        assert grid.shape == (4, 3)
        assert (grid.mean(axis=1).std() > 2 * grid.mean(axis=0).std()) == (size < 200)
    rows = zip(["frozen probe", *FEW.values()], *columns.values(), strict=True)
    lines = [f"| | {' | '.join(columns)} |", "|---|" + "--:|" * len(columns), *(f"| {' | '.join(r)} |" for r in rows)]
    assert between("few samples") == "\n".join(lines)
    text = readme()
    assert f"None of the {len(cells)} runs failed. With 50 and with 100 texts it matters more which sample" in text
    assert "than which seed, with 200 no longer." in text
    assert behind[50][["longer", "reinit"]].lt(behind[100][["longer", "reinit"]]).all()
    assert behind[100][["longer", "reinit"]].max() < 0 < behind[50]["bertadam"] < behind[100]["bertadam"]


def test_the_readme_says_where_the_curves_cross():
    curve, references = load_cells(RESULTS / "snippets_curve_plan.jsonl"), load_references(RESULTS / "references.jsonl")
    scores = curve[curve["name"] == "baseline"].groupby("n_train")["score"].mean()
    probes = references[references["study"] == "snippets curve"].groupby("n_train")["frozen"].mean()
    lead = {int(n): f"{abs(1 - scores[n] / probes[n]):.0%}".replace("%", " %") for n in scores.index}
    assert scores[50] > probes[50] and all(scores[n] < probes[n] for n in lead if n > 50)
    text = readme()
    assert f"is {lead.pop(50)} ahead with 50 texts to train on; fine-tuning leads by " in text
    assert ", ".join(f"{share} with {n:,}" for n, share in sorted(lead.items())) + " (three splits each" in text


def test_the_readme_counts_the_cells_still_to_be_trained():
    files = [RESULTS / f"{study.replace(' ', '_')}_plan.jsonl" for study in CONFIRMED if study != "snippets"]
    done = sum(len(load_cells(file)) for file in [RESULTS / "snippets.jsonl", *files] if file.exists())
    total = sum(1 for _ in plan.cells("confirm", FROZEN))
    assert f"Of the plan's {total} confirming cells {total - done} are still to be trained" in readme()


def test_a_study_of_the_plan_is_trained_by_the_command_that_trains_all_studies(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FTLAB_PRESET", "tiny")
    out = tmp_path / "cells.jsonl"
    where = ["--frozen", str(RESULTS / "frozen.json"), "--storage", f"sqlite:///{tmp_path}/s.db", "--out", str(out)]
    assert main(["study", "--plan", "passages", "--max_cells", "1", *where]) == 0
    assert "passages: 1 of 70 cells done" in capsys.readouterr().out
    (found,) = (json.loads(line) for line in out.read_text(encoding="utf-8").splitlines())
    assert identity_of(found) == identity(plan.confirming("passages", FROZEN)[0], "passages")
    assert main(["study", "--plan", "passages", "--recipes", "all", "swa", "--max_cells", "0", *where]) == 0
    assert "of 20 cells" in capsys.readouterr().out
    assert main(["study", "--plan", "passages", "--recipes", "alles", *where]) == 2
    assert "'alles' is no arm of 'passages'; its arms: baseline" in capsys.readouterr().err
    few = ["study", "--plan", "few samples", "--recipes", "bertadam", "--max_cells", "0", *where]
    assert main([*few, "--n_train", "50", "200"]) == 0
    assert "few samples: 0 of 24 cells" in capsys.readouterr().out
    assert main([*few, "--n_train", "60"]) == 2
    assert "--n_train: 60 is no size of 'few samples'; its sizes: 50, 100, 200" in capsys.readouterr().err
    for option in (["--folds", "2"], ["--seeds", "1"], ["--lr", "1e-3"], ["--data", "clear"], ["--search", "lr=1:2"]):
        assert main([*few, *option]) == 2
        assert f"{option[0]}: has no effect beside --plan; leave it out" in capsys.readouterr().err
    assert main(["study", "--plan", "poetry", *where]) == 2 and "its studies: snippets" in capsys.readouterr().err
    (tmp_path / "frozen.json").write_text("[1]")
    where[1] = str(tmp_path / "frozen.json")
    assert main(["study", "--plan", "passages", *where]) == 2 and "--frozen" in capsys.readouterr().err
