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
    pairs = default.set_index("fold")["score"] - whole.set_index("fold")["frozen"]
    found = paired_t(pairs, overlap=144 / 432)
    text = readme()
    assert f"the difference of the default is {found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f})" in text
    passages = load_cells(RESULTS / "passages_plan.jsonl")
    table = confirmation(passages, references[references["study"] == "passages"])
    scores = passages.pivot(index=["split", "fold"], columns="name", values="score")
    probe = references[references["study"] == "passages"].set_index(["split", "fold"])["frozen"]
    found, row = paired_t(scores["baseline"] - probe, overlap=96 / 288), table.loc[("baseline", "frozen probe")]
    assert f"it has {row['score']:.3f} where the probe has {row['than_score']:.3f}" in text
    said = f"lower in {(scores['baseline'] < probe).sum()} of {found.pairs} fold pairs, by {found.mean:+.3f} "
    said += f"({found.low:+.3f} to {found.high:+.3f}; p {found.p:.3f} alone, {row['p_holm']:.3f} among the {len(table)}"
    assert said in text
    assert f"on these it has {scores['head_start'].mean():.3f}, behind the plain baseline, within noise" in text
    few = load_cells(RESULTS / "passages_200_plan.jsonl")
    beside = confirmation(few, references[references["study"] == "passages 200"]).xs("baseline", level="than")
    assert beside["verdict"].str.startswith("within noise").all() and len(beside) == 6
    least, most = beside["difference"].min(), beside["difference"].max()
    assert f"with 200 texts all six lie between {least:+.3f} and {most:+.3f}, within noise that hides" in text
    sees = beside["sees"].sort_values()
    assert sees.index[-1] == "head_start"
    assert f"up to {sees.iloc[-1]:.3f} (the widest, of the head start; {sees.iloc[-2]:.3f} without it)" in text
    started = few[few["name"] == "head_start"].set_index(["split", "fold"])["score"]
    few = few[few["name"] == "baseline"].set_index(["split", "fold"])["score"]
    probe = references[references["study"] == "passages 200"].set_index(["split", "fold"])["frozen"]
    found = paired_t(few - probe, overlap=96 / 200)
    said = f"{few.mean():.3f} where the probe has {probe.mean():.3f}, lower in {(few < probe).sum()} of {found.pairs}"
    assert f"{said}, by {found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f}; p {found.p:.3f} alone)" in text
    assert f"start {started.mean():.3f}, lower in {(started < probe).sum()} of {len(started)}." in text
    against = table.xs("baseline", level="than")
    assert against["verdict"].str.startswith("within noise").all() and len(against) == 6
    least, most = against["difference"].min(), against["difference"].max()
    assert f"between {least:+.3f} and {most:+.3f} of the baseline, within noise that hides up to " in text
    assert f"hides up to {against['sees'].max():.3f}" in text
    assert f"by about {-row['difference'] / row['than_score']:.0%} on `passages`".replace("%", " %") in text
    clear = load_cells(RESULTS / "clear_plan.jsonl")
    clear = clear[clear["name"] == "all"].set_index("fold")["score"]
    probe = references[references["study"] == "clear"].set_index("fold")["frozen"]
    found = paired_t(clear - probe, overlap=800 / 2400)
    lower = f"lower in {(clear < probe).sum()} of {found.pairs} folds"
    said = f"{lower}, by {found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f})"
    assert f"has {clear.mean():.3f} where the probe has {probe.mean():.3f}, {said}" in text


def test_the_readme_says_what_fifty_passages_showed():
    cells, references = load_cells(RESULTS / "few_samples_plan.jsonl"), load_references(RESULTS / "references.jsonl")
    cells = cells[cells["n_train"] == 50]
    probe = references[(references["study"] == "few samples") & (references["n_train"] == 50)]
    mean = cells.groupby("name")["score"].mean()
    text = readme()
    assert f"the tuned baseline has {mean['baseline']:.3f} where the probe has {probe['frozen'].mean():.3f}" in text
    assert f"none of {len(cells)} runs failed. Three" in text
    assert f"BertAdam has {mean['bertadam']:.3f}, " in text
    scores = cells.pivot(index=["sample", "seed"], columns="name", values="score")
    lower = scores.lt(scores["baseline"], axis=0).sum()
    longer = f"{mean['longer']:.3f}, lower than the baseline in {lower['longer']} of 12 pairs"
    assert f"Three times as many epochs have {longer}, two" in text
    assert f"two re-initialised layers {mean['reinit']:.3f}, in {lower['reinit']} of 12;" in text
    warm, low = mean["bertadam+warmup"], mean["bertadam+warmup+low_lr"]
    assert f"with a warm-up {warm:.3f}, with a tenth of the rate as well {low:.3f}." in text
    assert not cells["failed"].any() and (cells["score"] < probe["mean"].mean()).all()
    grid = cells[cells["name"] == "baseline"].pivot(index="sample", columns="seed", values="score").to_numpy()
    assert grid.shape == (4, 3) and grid.mean(axis=1).std() > 3 * grid.mean(axis=0).std()


def test_the_readme_says_what_a_hundred_passages_showed():
    cells, references = load_cells(RESULTS / "few_samples_plan.jsonl"), load_references(RESULTS / "references.jsonl")
    cells = cells[cells["n_train"] == 100]
    probe = references[(references["study"] == "few samples") & (references["n_train"] == 100)]["frozen"].mean()
    scores = cells.pivot(index=["sample", "seed"], columns="name", values="score")
    assert len(scores) == 12
    lower, mean = scores.lt(scores["baseline"], axis=0).sum(), scores.mean()
    words = {
        "longer": ("more epochs", "12 pairs"),
        "reinit": ("new layers", "12"),
        "bertadam": ("BertAdam", "12"),
        "bertadam+warmup+low_lr": ("with a warm-up and a tenth of the rate", "12"),
    }
    beside = f"the tuned baseline has {mean['baseline']:.3f} where the probe has {probe:.3f}"
    said = ", ".join(f"{word} {mean[arm]:.3f} ({lower[arm]} of {of})" for arm, (word, of) in words.items())
    assert f"With 100 {beside}, {said}." in readme()
    assert not cells["failed"].any()


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
