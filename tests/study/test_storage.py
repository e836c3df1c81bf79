"""The workers' database: addresses without their passwords, missing drivers, a server that is away for a while."""

import sys
import threading
import time
from contextlib import contextmanager

import optuna
import pytest
import sqlalchemy
from optuna.trial import TrialState

import ftlab as ft
from ftlab.__main__ import main
from ftlab.study import storage as storage_module
from ftlab.study.storage import masked, open_storage, reason_of

SECRET = "s3cr3t"


@pytest.fixture
def opened(tmp_path):
    """A storage with one running trial, as patient as one on a server."""
    storage = open_storage(f"sqlite:///{tmp_path}/s.db", heartbeat=1)
    storage.patience = 60.0
    study = optuna.create_study(storage=storage)
    with pytest.warns(UserWarning, match="Heartbeat"):
        trial = study.ask()
    return storage, study, trial._trial_id


@contextmanager
def away(storage, error=sqlalchemy.exc.OperationalError):
    """Lose every connection as long as the block lasts; gives the number of calls that met that."""
    met = []

    def lose(*_):
        met.append(1)
        raise error("SELECT 1", {}, Exception(f"the server closed the connection\nas {SECRET}"))

    sqlalchemy.event.listen(storage.engine, "engine_connect", lose)
    try:
        yield met
    finally:
        sqlalchemy.event.remove(storage.engine, "engine_connect", lose)


# ------------------------------------------------------------------------------------------------- addresses


def test_no_address_shows_its_password():
    secret = {
        f"postgresql://me:{SECRET}@host:5432/db": "postgresql://me:***@host:5432/db",
        f"mysql+pymysql://me:{SECRET}@host/db?charset=utf8mb4": "mysql+pymysql://me:***@host/db",
        f"postgresql://host/db?user=me&password={SECRET}": "postgresql://host/db",
        f"postgresql://me:a@{SECRET}@host/db": "postgresql://me:***@host/db",
        f"postgresql://me:a/{SECRET}@host/db": "postgresql://me:***@host/db",
        f"postgresql://me:a?{SECRET}@host/db": "postgresql://me:***@host/db",
        f"postgresql://me:{SECRET}": "postgresql://me:***",
        f"postgresql://me@cloud:{SECRET}@host/db": "postgresql://me@cloud:***@host/db",
        f"postgres:me:{SECRET}@host": "postgres:***@host",
    }
    open_ = ["sqlite:///study.db", "sqlite:////a@b/study.db", "postgresql://host:5432/db", "study.db", "nosuch://x"]
    expected = {**secret, **{url: url for url in open_}}
    assert {url: masked(url) for url in expected} == expected


def test_no_refused_address_shows_its_password(monkeypatch, tmp_path, capsys):
    """Malformed ones, a server that is not there, a driver that refuses an option, and the command's own message."""
    monkeypatch.setattr(storage_module, "ATTEMPTS", 1)
    refused = [
        f"postgresql://me:{SECRET}", f"postgresql://me:{SECRET}@host:port/db", f"postgresql://me:a@{SECRET}@host/db",
        f"postgres:me:{SECRET}@host", f"nosuch://me:{SECRET}@host/db", f"sqlite://me:{SECRET}@host/db",
        f"postgresql+nosuch://me:{SECRET}@host/db", f"postgresql://me:{SECRET}@127.0.0.1:1/db",
        f"mysql://me:{SECRET}@127.0.0.1:1/db", f"mysql://me:{SECRET}@127.0.0.1:1/db?nosuch=1",
        f"postgresql://127.0.0.1:1/db?user=me&password={SECRET}",
    ]  # fmt: skip
    shown = {}
    for url in refused:
        try:
            open_storage(url)
            shown[url] = "opened"
        except ft.RecipeError as error:
            if SECRET in str(error) or not str(error).startswith("storage: "):
                shown[url] = str(error)
    assert not shown
    assert main(["study", "--storage", refused[0]]) == 2
    assert SECRET not in capsys.readouterr().err


def test_what_a_driver_says_is_given_without_the_password():
    url = f"postgresql://me:{SECRET}%40x@host/db?sslpassword=0ther"
    error = sqlalchemy.exc.OperationalError("SELECT", {}, Exception(f"no {SECRET}@x, {SECRET}%40x, 0ther\nHINT: more"))
    assert reason_of(error, url) == "no ***, ***, ***"
    wrapped = optuna.exceptions.StorageInternalError("during the commit")
    wrapped.__cause__ = error
    assert reason_of(wrapped, url) == "no ***, ***, ***"


def test_a_missing_driver_is_named_with_its_package_and_the_extra(monkeypatch):
    expected = {
        "postgresql://host/db": ("psycopg", ["'psycopg[binary]'", "ftlab[postgres]"]),
        "postgres://host/db": ("psycopg", ["'psycopg[binary]'", "ftlab[postgres]"]),
        "postgresql+psycopg2://host/db": ("psycopg2", ["'psycopg2'", "postgresql:// uses psycopg,"]),
        "mysql://host/db": ("pymysql", ["'pymysql[rsa]'", "ftlab[mysql]"]),
        "mariadb://host/db": ("pymysql", ["'pymysql[rsa]'", "ftlab[mysql]"]),
        "mysql+mysqldb://host/db": ("MySQLdb", ["'mysqlclient'", "mysql:// uses pymysql,"]),
    }
    wrong = []
    for url, (module, words) in expected.items():
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ft.RecipeError, match="which is not installed: pip install") as error:
            open_storage(url)
        wrong += [f"{url}: {word!r} not in {error.value}" for word in words if word not in str(error.value)]
    assert not wrong


# ------------------------------------------------------------------------------------------------- a server away


def test_a_call_waits_for_a_server_that_is_away(opened):
    storage, study, trial = opened
    lines = []
    storage.report = lines.append
    with away(storage) as met:
        call = threading.Thread(target=storage.set_trial_user_attr, args=(trial, "a", 1))
        call.start()
        while len(met) < 3:
            time.sleep(0.01)
    call.join(timeout=60)
    assert storage.get_trial(trial).user_attrs == {"a": 1}
    away_line, back_line = lines
    assert away_line == "the database does not answer (the server closed the connection); trying again for 1 min"
    assert back_line.startswith("the database answers again after ")


def test_a_heartbeat_is_left_out_while_the_server_is_away(opened):
    storage, _, trial = opened
    lines = []
    storage.report = lines.append
    with away(storage) as met, storage.alive(trial):
        while len(met) < 2:  # the first, and one of its thread
            time.sleep(0.01)
    assert lines == []
    storage.record_heartbeat(trial)


def test_a_server_that_stays_away_is_given_up_with_the_reason(opened):
    storage, _, trial = opened
    storage.patience = 0.1
    with away(storage), pytest.raises(ft.RecipeError, match=r"storage: sqlite.* has not answered .*start the same"):
        storage.get_trial(trial)


def test_a_call_that_cannot_succeed_is_not_repeated(opened):
    storage, _, trial = opened
    with away(storage, sqlalchemy.exc.ProgrammingError) as met:
        with pytest.raises(ft.RecipeError, match=r"storage: sqlite.* refuses \(the server closed the connection\)"):
            storage.get_trial(trial)
    assert len(met) == 1


def test_a_state_is_set_once_though_its_answer_was_lost(opened):
    storage, _, trial = opened
    assert storage.set_trial_state_values(trial, TrialState.COMPLETE, [1.0])
    assert storage.set_trial_state_values(trial, TrialState.COMPLETE, [1.0])  # repeated after a lost connection
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        storage.set_trial_state_values(trial, TrialState.FAIL)


@pytest.fixture
def glance(opened, monkeypatch):
    """Look for dead workers after so many seconds; the trial, whose last beat is `beat`, has missed some."""
    storage, study, trial = opened
    now = [100.0]
    monkeypatch.setattr(storage_module.time, "monotonic", lambda: now[0])
    stale = [trial]
    monkeypatch.setattr(optuna.storages.RDBStorage, "_get_stale_trial_ids", lambda self, study: stale)

    def look(seconds, beat="10:00:00", stale_now=True):
        now[0] += seconds
        stale[:] = [trial] if stale_now else []
        with storage.engine.begin() as connection:
            connection.exec_driver_sql(f"UPDATE trial_heartbeats SET heartbeat = '2026-01-01 {beat}.000000'")
        return storage._get_stale_trial_ids(study._study_id) == [trial]

    storage.record_heartbeat(trial)
    return look


def test_only_a_worker_that_stays_silent_while_watched_is_dead(glance):
    """Heartbeats are missing after every outage: the first glance proves nothing, a later beat proves life."""
    assert [glance(0), glance(1)] == [False, False]
    assert not glance(5, stale_now=False)
    assert [glance(1), glance(1.5), glance(1)] == [False, False, True]


def test_a_beat_between_two_glances_is_a_sign_of_life(glance):
    """A watcher that trains looks seldom: late at both glances is not silent in between."""
    assert [glance(0), glance(60, beat="10:00:50"), glance(1, beat="10:00:50")] == [False, False, False]
    assert glance(2, beat="10:00:50")


@pytest.mark.parametrize("noticed_by", ["a call", "a heartbeat"])
def test_an_outage_between_two_glances_is_no_silence(opened, glance, noticed_by):
    storage, _, trial = opened
    assert not glance(0)
    storage.patience = 0.0
    with away(storage):
        if noticed_by == "a heartbeat":
            storage.record_heartbeat(trial)
        else:
            with pytest.raises(ft.RecipeError):
                storage.get_trial(trial)
    assert [glance(60), glance(1), glance(2)] == [False, False, True]


def test_no_call_sleeps_longer_than_a_heartbeat(opened, monkeypatch):
    """A worker that waits for the server between two calls is back before the others hold it for dead."""
    storage, _, trial = opened
    storage.heartbeat_interval = 3
    storage.patience = 100.0
    now, slept = [0.0], []
    monkeypatch.setattr(storage_module.time, "monotonic", lambda: now[0])

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(storage_module.time, "sleep", sleep)
    with away(storage), pytest.raises(ft.RecipeError, match="has not answered"):
        storage.get_trial(trial)
    assert slept[:4] == [0.25, 0.5, 1.0, 2.0] and set(slept[4:]) == {3}


def test_braces_in_a_password_are_no_template(tmp_path):
    (tmp_path / "{odd}").mkdir()
    open_storage(f"sqlite:///{tmp_path}/{{odd}}/s.db")
    assert (tmp_path / "{odd}" / "s.db").exists()
