"""Studies on real PostgreSQL and MariaDB servers: workers killed, the server restarted, time zones, long results.

Each server runs on a data directory of its own and a port of 127.0.0.1, as another user where the tests run as root.
On Debian and Ubuntu: apt-get install postgresql mariadb-server-core mariadb-client-core. Run with `pytest -m database`.
"""

import getpass
import importlib.util
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy

import ftlab as ft
from ftlab import study as study_module
from ftlab.study.storage import open_storage
from tests.study.helpers import logged, make, start, trained, untimed, where

pytestmark = [
    pytest.mark.database,
    pytest.mark.slow,
    pytest.mark.fault("a study on a database server"),
    pytest.mark.skipif(os.name != "posix", reason="the servers are started the POSIX way"),
]
PASSWORD = "s3cr3t%40/{x}"  # as it is written in an address: @ is %40


class Server:
    """A database server that a test starts, stops and kills."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.databases = 0
        self.process = None

    def run(self, *command: str, wait: bool = True):
        """Run a program of the server's as its user."""
        user = {"user": self.user, "group": self.group, "extra_groups": []} if os.geteuid() == 0 and self.user else {}
        log = (self.folder / "log").open("ab")
        process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, **user)
        if wait and process.wait(timeout=120) != 0:
            raise RuntimeError(f"{command[0]}: {(self.folder / 'log').read_text()[-2000:]}")
        return process

    def start(self) -> None:
        self.process = self.run(*self.command, wait=False)
        deadline = time.monotonic() + 60
        while True:
            try:
                with self.connect():
                    return
            except Exception:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise RuntimeError((self.folder / "log").read_text()[-2000:]) from None
                time.sleep(0.1)

    def stop(self, how: int) -> None:
        self.process.send_signal(how)
        self.process.wait(timeout=60)

    def connect(self):
        """Connect as the server's own administrator."""
        return self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")

    def new_database(self) -> str:
        """Make an empty database; return its address."""
        self.databases += 1
        name = f"study{self.databases}"
        with self.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        return f"{self.kind}://me:{PASSWORD}@127.0.0.1:{self.port}/{name}"


class PostgreSQL(Server):
    kind, user, group = "postgresql", "postgres", "postgres"
    stopped, killed = signal.SIGINT, signal.SIGQUIT  # "fast": sessions are ended; "immediate": as in a crash

    def __init__(self, folder: Path, programs: Path) -> None:
        super().__init__(folder)
        (folder / "password").write_text(PASSWORD.replace("%40", "@"))
        if os.geteuid() == 0:
            shutil.chown(folder, self.user, self.group)
            shutil.chown(folder / "password", self.user)
        data, password = folder / "data", folder / "password"
        self.run(f"{programs}/initdb", "-D", str(data), "-U", "me", "-A", "scram-sha-256", f"--pwfile={password}")
        self.command = [f"{programs}/postgres", "-D", str(data), "-k", str(folder), "-h", "127.0.0.1",
                        "-p", str(self.port), "-c", "fsync=off"]  # fmt: skip
        address = f"postgresql+psycopg://me:{PASSWORD}@127.0.0.1:{self.port}/postgres"
        self.engine = sqlalchemy.create_engine(address, poolclass=sqlalchemy.NullPool)


class MariaDB(Server):
    kind, user, group = "mysql", None, None
    stopped, killed = signal.SIGTERM, signal.SIGKILL

    def __init__(self, folder: Path, programs: Path) -> None:
        super().__init__(folder)
        own = ["--no-defaults", f"--datadir={folder}/data", f"--user={getpass.getuser()}"]
        self.run("mariadb-install-db", *own, "--auth-root-authentication-method=normal")
        listen = [f"--socket={folder}/socket", "--bind-address=127.0.0.1", f"--port={self.port}", "--skip-name-resolve"]
        self.command = [f"{programs}/mariadbd", *own, *listen, f"--pid-file={folder}/pid"]
        address = f"mysql+pymysql://root@localhost/?unix_socket={folder}/socket"
        self.engine = sqlalchemy.create_engine(address, poolclass=sqlalchemy.NullPool)

    def new_database(self) -> str:
        address = super().new_database()
        with self.connect() as connection:
            password = PASSWORD.replace("%40", "@").replace("%", "%%")
            connection.exec_driver_sql(f"CREATE USER IF NOT EXISTS me@'%%' IDENTIFIED BY '{password}'")
            connection.exec_driver_sql("GRANT ALL ON *.* TO me@'%%'")
        return address


PACKAGES = {"postgresql": "postgresql", "mysql": "mariadb-server-core mariadb-client-core"}
DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql"}


def programs_of(kind: str) -> Path | None:
    """Find the folder of a server's programs."""
    if kind == "postgresql":
        debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[4]))
        found = debian[-1] if debian else shutil.which("initdb")
    else:
        found = shutil.which("my_print_defaults") and shutil.which("mariadbd", path=f"{os.environ['PATH']}:/usr/sbin")
    return Path(found).parent if found else None


@pytest.fixture(scope="module", params=list(PACKAGES))
def server(request):
    kind = request.param
    programs = programs_of(kind)
    if programs is None:
        pytest.skip(f"no server here: apt-get install {PACKAGES[kind]}")
    if importlib.util.find_spec(DRIVERS[kind]) is None:
        pytest.skip(f"no driver here: pip install {DRIVERS[kind]}")
    folder = Path(tempfile.mkdtemp(prefix="ftlab-database-"))
    try:
        running = {"postgresql": PostgreSQL, "mysql": MariaDB}[kind](folder, programs)
        running.start()
        yield running
        running.stop(running.stopped)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def address(server):
    """The address of an empty database on a running server."""
    if server.process.poll() is not None:
        server.start()
    return server.new_database()


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setenv("FTLAB_PRESET", "tiny")


@pytest.fixture(scope="module")
def data():
    return ft.load_data("passages")


SEEDS = 8


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    """The results of one worker on SQLite that nothing disturbed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTLAB_PRESET", "tiny")
        study = make(data, tmp_path_factory.mktemp("undisturbed"), seeds=SEEDS)
        study.run(report=None)
        return untimed(study.results())


def until(condition, workers, folder):
    """Wait for a condition; a worker that ended badly, or two minutes without it, fail the test."""
    deadline = time.monotonic() + 120
    while not condition():
        for worker in workers:
            assert worker.exitcode in (None, 0), where(worker, folder)
        assert time.monotonic() < deadline, "\n".join(logged(folder)[-20:])
        time.sleep(0.05)


@pytest.mark.fault("a worker killed again and again, its database server restarted and crashed")
def test_every_cell_once_whatever_happens_to_workers_and_server(server, address, data, undisturbed, tmp_path, tries):
    """Three workers, one of them killed and replaced time after time; the server restarts, then crashes."""
    moments = random.Random(0)
    options = {"seeds": SEEDS, "storage": address, "out": None}
    steady = [start(tmp_path, **options) for _ in range(2)]
    killed, events = 0, [(8, server.stopped), (18, server.killed)]
    while any(worker.is_alive() for worker in steady):
        victim = start(tmp_path, **options)
        victim.join(timeout=moments.uniform(0.2, 2.5))
        victim.kill()
        victim.join(timeout=60)
        killed += victim.exitcode == -signal.SIGKILL
        if events and len(trained(tmp_path)) >= events[0][0]:
            server.stop(events.pop(0)[1])
            time.sleep(1.0)
            server.start()
    for worker in steady:
        worker.join(timeout=120)
        assert worker.exitcode == 0, where(worker, tmp_path)
    tries(killed + 2)
    assert not events and killed >= 3
    assert max(trained(tmp_path).values()) == 1
    study = make(data, tmp_path, **options)
    assert str(study.progress()) == f"{4 * SEEDS} of {4 * SEEDS} cells done, 0 running, 0 left"
    results = Counter(t.user_attrs["cell"] for t in study._trials() if "result" in t.user_attrs and t.values)
    assert len(results) == 4 * SEEDS and set(results.values()) == {1}
    assert untimed(study.results()) == undisturbed
    assert not [line for line in logged(tmp_path) if "s3cr3t" in line]


@pytest.mark.fault("a database server away for longer than a dead worker's silence")
def test_a_server_away_for_long_costs_no_cell(server, address, data, undisturbed, tmp_path):
    """No worker takes the others for dead when the server is back: no cell is trained a second time."""
    options = {"seeds": 4, "storage": address, "out": None}
    workers = [start(tmp_path, **options) for _ in range(3)]
    until(lambda: len(trained(tmp_path)) >= 3, workers, tmp_path)
    server.stop(server.stopped)
    time.sleep(8)
    latecomer = start(tmp_path, **options)  # cannot open the database, and says so
    server.start()
    for worker in workers:
        worker.join(timeout=180)
        assert worker.exitcode == 0, where(worker, tmp_path)
    latecomer.join(timeout=180)
    assert len(trained(tmp_path)) == 16 and max(trained(tmp_path).values()) == 1
    lines = logged(tmp_path)
    assert any("the database does not answer (" in line for line in lines)
    assert any("the database answers again after " in line for line in lines)
    assert not [line for line in lines if re.search(r"seed \d failed: ", line)]
    assert untimed(make(data, tmp_path, **options).results()) == [r for r in undisturbed if r["seed"] < 4]


def test_sessions_of_other_time_zones_do_not_matter(server, address, data, tmp_path, monkeypatch):
    """A worker whose session would count in another zone is alive until it is silent."""
    option = {"postgresql": "options=-c%20timezone%3D{}", "mysql": "init_command=SET%20time_zone%3D%27{}%27"}
    east_zone, west_zone = {"postgresql": ("Etc/GMT-14", "Etc/GMT%2B11"), "mysql": ("%2B13:00", "-11:00")}[server.kind]
    east = make(data, tmp_path, storage=f"{address}?{option[server.kind].format(east_zone)}")
    west = make(data, tmp_path, storage=f"{address}?{option[server.kind].format(west_zone)}")
    west.run(max_cells=0, report=None)

    def stale(watcher, seconds):
        deadline = time.monotonic() + seconds
        found = []
        while not found and time.monotonic() < deadline:
            found = watcher._storage._get_stale_trial_ids(watcher._study._study_id)
            time.sleep(0.25)
        return found

    for worker, watcher in ((east, west), (west, east)):
        trial = worker._take()
        with worker._storage.alive(trial._trial_id):
            assert stale(watcher, 5) == []
        assert stale(watcher, 60) == [trial._trial_id]
        worker._close(trial, study_module.queue.TrialState.FAIL)


def test_a_result_of_any_length_is_kept(server, address, data, tmp_path, monkeypatch):
    """MySQL's TEXT ends after 64 KiB; a cell of 2,000 steps with its predictions is longer."""
    record = {"validation": 0.5, "test": 0.5, "swa_test": None, "status": "completed", "seconds": 1.0, "preset": "tiny"}
    long = {**record, "loss": [0.12345] * 50_000}
    monkeypatch.setattr(study_module.queue, "run_cell", lambda cell, *a, **k: long)
    study = make(data, tmp_path, storage=address, folds=1, seeds=1)
    assert study.run(report=None).done == 2
    assert [r["loss"] for r in make(data, tmp_path, storage=address, folds=1, seeds=1, out=None).results()] == (
        [long["loss"]] * 2
    )


def test_several_workers_make_the_tables_at_once(server, address, tmp_path):
    """As the tasks of an array that start together do."""
    workers = [start(tmp_path, storage=address, folds=1, seeds=1) for _ in range(4)]
    for worker in workers:
        worker.join(timeout=120)
        assert worker.exitcode == 0, where(worker, tmp_path)
    assert len(trained(tmp_path)) == 2 and max(trained(tmp_path).values()) == 1


def test_a_refusal_of_the_server_does_not_show_the_password(server, address, monkeypatch):
    monkeypatch.setattr(study_module.storage, "ATTEMPTS", 1)
    wrong = [address.replace("s3cr3t", "s3cr3tly"), address.replace("/study", "/nosuch-study")]
    for url in wrong:
        with pytest.raises(ft.RecipeError, match=r"storage: cannot open .*://me:\*\*\*@127.0.0.1") as refused:
            open_storage(url)
        assert "s3cr3t" not in str(refused.value)


def test_the_password_can_stay_out_of_the_address(server, address, tmp_path, monkeypatch):
    without = address.replace(f":{PASSWORD}@", "@")
    password = PASSWORD.replace("%40", "@")
    if server.kind == "postgresql":
        monkeypatch.setenv("PGPASSWORD", password)
    else:
        (tmp_path / "my.cnf").write_text(f"[client]\npassword={password}\n")
        without += f"?read_default_file={tmp_path}/my.cnf"
    assert PASSWORD not in without
    open_storage(without)
