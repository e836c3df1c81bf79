"""`study --workers N`: several processes on one machine, which end with the one that started them."""

import json
import multiprocessing
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import yaml

import ftlab as ft
from ftlab import __main__ as command
from ftlab.__main__ import main
from ftlab.study import Study, workers
from tests.study.helpers import RECIPES, untimed

ROOT = Path(__file__).resolve().parents[2]
needs_posix = pytest.mark.skipif(os.name != "posix", reason="signals are for POSIX systems")


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setenv("FTLAB_PRESET", "tiny")


@pytest.fixture
def arguments(tmp_path):
    """The arguments of the command for the recipes of the other tests."""
    (tmp_path / "r.json").write_text(json.dumps({"baseline": {}, "llrd": {"layer_decay": 0.8, "swa_start": 1}}))
    return ["study", "--recipes", str(tmp_path / "r.json"), "--epochs", "2", "--folds", "2", "--workers", "2",
            "--storage", f"sqlite:///{tmp_path}/s.db", "--out", str(tmp_path / "c.jsonl")]  # fmt: skip


def study_of(folder, seeds):
    return Study(RECIPES, ft.load_data("passages"), folds=2, seeds=seeds, storage=f"sqlite:///{folder}/s.db")


def start(arguments):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-W", "ignore", "-m", "ftlab", *arguments], **pipes)


def wait_for_both(process):
    """Read the lines of the two workers until each has finished a cell."""
    read = []
    while not all(any(line.startswith(f"[{n}] ") and ": completed" in line for line in read) for n in (1, 2)):
        line = process.stdout.readline()
        assert line, "".join(read) + process.stderr.read()
        read.append(line)
    return read


def wait_until_gone(processes):
    _, alive = psutil.wait_procs(processes, timeout=90)
    assert not alive


def test_two_workers_share_a_study_and_say_which_one_speaks(arguments, tmp_path):
    process = start([*arguments, "--seeds", "1"])
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0 and err == "", err
    lines = out.splitlines()
    assert {line[:4] for line in lines[:-1]} == {"[1] ", "[2] "}
    assert lines[-1] == "study: 4 of 4 cells done, 0 running, 0 left"
    trained = [line[4:].partition(":")[0] for line in lines if ": completed" in line]
    assert len(set(trained)) == len(trained) == 4
    alone = Study(RECIPES, ft.load_data("passages"), folds=2, seeds=1, storage=f"sqlite:///{tmp_path}/alone.db")
    alone.run(report=None)
    written = [json.loads(line) for line in (tmp_path / "c.jsonl").read_text().splitlines()]
    assert untimed(written) == untimed(alone.results())


@pytest.mark.slow
@needs_posix
@pytest.mark.fault("Ctrl-C of the process that started workers")
def test_an_interrupt_ends_all_workers_and_leaves_their_cells_open(arguments, tmp_path):
    process = start([*arguments, "--seeds", "200"])
    wait_for_both(process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert sorted(err.split("\n")) == ["", "[1] interrupted", "[2] interrupted", "interrupted"]
    progress = study_of(tmp_path, 200).progress()
    assert progress.running == 0 and progress.done >= 2 and progress.left >= 2


@pytest.mark.slow
@needs_posix
@pytest.mark.fault("kill -9 of the process that started workers, and of one of them")
def test_workers_end_with_the_process_that_started_them_but_not_with_one_another(arguments, tmp_path):
    process = start([*arguments, "--seeds", "200"])
    wait_for_both(process)
    children = psutil.Process(process.pid).children()
    first, second = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    first.kill()
    assert [process.stdout.readline() != "" for _ in range(4)] == [True] * 4 and second.is_running()
    process.kill()
    wait_until_gone([first, second])
    assert study_of(tmp_path, 200).progress().running <= 1  # the killed one's, until it has been silent for long enough


def test_a_killed_worker_is_reported(capsys, monkeypatch):
    killed = SimpleNamespace(start=lambda: None, join=lambda: None, is_alive=lambda: False, exitcode=-9)
    context = SimpleNamespace(Pipe=multiprocessing.Pipe, Process=lambda **_: killed)
    monkeypatch.setattr(multiprocessing, "get_context", lambda kind: context)
    workers.run_side_by_side(print, 1)
    assert capsys.readouterr().err == "[1] ended by SIGKILL; its cell is open again\n"


@pytest.mark.parametrize("given, expected", [(None, "1"), ("3", "3")])
def test_a_worker_has_one_thread_unless_told_otherwise(given, expected):
    program = (
        "import multiprocessing, os\n"
        "from ftlab.study import workers\n"
        "lifeline, held = multiprocessing.Pipe()\n"
        "workers._work(lambda prefix: print(os.environ['OMP_NUM_THREADS'], prefix), '[2] ', lifeline)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    environment |= {} if given is None else {"OMP_NUM_THREADS": given}
    result = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert result.stdout == f"{expected} [2] \n", result.stderr


@needs_posix
def test_a_worker_writes_each_line_whole_so_that_lines_of_several_do_not_mix():
    program = (
        "import multiprocessing, sys\n"
        "from ftlab import __main__ as command\n"
        "from ftlab.study import workers\n"
        "def work(prefix):\n"
        "    command._say(prefix, 'a cell failed:\\nKeyError')\n"
        "    print(prefix + 'interrupted', file=sys.stderr)\n"
        "lifeline, held = multiprocessing.Pipe()\n"
        "workers._work(work, '[1] ', lifeline)"
    )
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)  # keeps one write apart from the next
    with here, there:
        subprocess.run([sys.executable, "-u", "-c", program], stdout=there, stderr=there, check=True)
        here.setblocking(False)
        wanted = [b"[1] a cell failed:\n", b"[1] KeyError\n", b"[1] interrupted\n"]
        assert [here.recv(1000) for _ in wanted] == wanted


def test_bad_input_is_refused_once_before_any_worker_starts(arguments, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "_work_side_by_side", lambda args: pytest.fail("started workers"))
    search = ["study", "--workers", "2", "--storage", f"sqlite:///{tmp_path}/t.db", "--search"]
    refused = {
        "--workers: 0 is out of range": [*arguments, "--workers", "0"],
        "--recipes: 'nosuch'": [*arguments, "--recipes", "nosuch"],
        "lr: (0.001, 1e-05) is no range": [*search, "lr=1e-3:1e-5"],
    }
    wrong = {}
    for words, options in refused.items():
        status, error = main(options), capsys.readouterr().err
        if status != 2 or words not in error or error.count("error: ") != 1:
            wrong[words] = (status, error)
    assert not wrong


@pytest.mark.slow
def test_workers_share_a_search(tmp_path):
    shared = ["--workers", "2", "--trials", "4", "--epochs", "2", "--storage", f"sqlite:///{tmp_path}/s.db"]
    process = start(["study", "--search", "layer_decay=0.6:1.0", *shared])
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0 and err == "", err
    *trials, best = out.splitlines()
    assert best.startswith("best mean validation score") and {line[:4] for line in trials} == {"[1] ", "[2] "}
    assert len({line[4:].partition(": ")[2] for line in trials}) == len(trials) >= 4


def test_the_arrays_and_jobs_of_the_readme_are_commands_that_exist(tmp_path):
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## More machines")[2].partition("\n## ")[0]
    array, job = re.findall(r"```(?:bash|yaml)\n(.*?)```", section, re.DOTALL)
    (tmp_path / "array").write_text(array)
    assert shutil.which("bash") is None or subprocess.run(["bash", "-n", tmp_path / "array"]).returncode == 0
    srun = shlex.split(array[array.index("srun") :].replace("\\\n", " "))
    container = yaml.safe_load(job)["spec"]["template"]["spec"]["containers"][0]
    for words in (srun[srun.index("-m") :], container["command"][1:]):
        assert words[:2] == ["-m", "ftlab"]
        given = command._parser().parse_args(words[2:])
        assert given.storage.startswith("postgresql://me@") and given.seeds == ["3"]
    assert container["env"][0]["name"] == "PGPASSWORD"
