"""The database that the workers of a study or a search share: its address, opening it, and outlasting its absence.

A SQLite file serves the processes of one machine. PostgreSQL or MySQL serve many machines; the extras `ftlab[postgres]`
and `ftlab[mysql]` install a driver. No message shows the password of an address.
"""

from __future__ import annotations

import functools
import inspect
import re
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import optuna
import sqlalchemy
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages._rdb.models import TrialHeartbeatModel as Beat
from optuna.trial import TrialState
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, PendingRollbackError, SQLAlchemyError

from ftlab.errors import RecipeError

PATIENCE = 1800.0
"""Seconds for which a call waits for a database server that went away, before it gives up."""
ATTEMPTS = 5
"""Of two workers that make the tables at the same moment one fails; it tries again and finds them made."""

DRIVERS = {"postgresql": "psycopg", "postgres": "psycopg", "mysql": "pymysql", "mariadb": "pymysql"}
"""The driver of an address that names none: `postgresql://` is `postgresql+psycopg://`."""
EXTRAS = {"postgresql": "postgres", "mysql": "mysql"}
PACKAGES = {"psycopg": "psycopg[binary]", "pymysql": "pymysql[rsa]", "MySQLdb": "mysqlclient"}
UTC = {"postgresql": "SET TIME ZONE 'UTC'", "mysql": "SET time_zone = '+00:00'"}


class Storage(optuna.storages.RDBStorage):
    """Optuna's database storage, whose calls wait while the server restarts or cannot be reached.

    A call that loses its connection is made again, at growing intervals, for `patience` seconds. It may then be made
    twice, which does no harm: it writes the same values again, or a trial that `Study` recognises as a duplicate. A
    heartbeat that cannot be written is left out, because the next one follows. `report` is called with a line when the
    server goes away and when it is back.

    Raises RecipeError if the database refuses a call or stays away.
    """

    patience = PATIENCE

    def __init__(self, url: str, options: dict[str, Any], heartbeat: int) -> None:
        self.report: Callable[[str], None] = lambda line: None
        self._inside = threading.local()
        self._away_since: float | None = None
        self._silent: dict[tuple[int, Any], float] = {}
        template = url.replace("{", "{{").replace("}", "}}")  # Optuna would fill in what stands in braces
        super().__init__(template, options, heartbeat_interval=heartbeat, grace_period=2 * heartbeat)

    @contextmanager
    def alive(self, trial_id: int) -> Iterator[None]:
        """Show that the worker of a trial is alive, in a thread, for as long as the block lasts."""
        done = threading.Event()

        def beat() -> None:
            while not done.wait(self.heartbeat_interval):
                self.record_heartbeat(trial_id)

        self.record_heartbeat(trial_id)
        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Change the state of a trial; one that has it already, because an answer was lost, is no error."""
        try:
            return super().set_trial_state_values(trial_id, state, values)
        except UpdateFinishedTrialError:
            if self.get_trial(trial_id).state != state:
                raise
            return True

    def record_heartbeat(self, trial_id: int) -> None:
        """Show that the worker of a trial is alive, if the database can be reached."""
        try:
            super().record_heartbeat(trial_id)
        except (StorageInternalError, SQLAlchemyError):
            self._silent = {}

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        """Find the running trials that missed two heartbeats, and two more while this process watched.

        After a server was away, or a computer asleep, all workers have missed heartbeats: only watching tells who is
        dead. Watched counts from the first glance that found a trial's last beat, and anew after an outage.
        """
        missed = super()._get_stale_trial_ids(study_id)
        with self.engine.connect() as connection:
            beats = connection.execute(select(Beat.trial_id, Beat.heartbeat).where(Beat.trial_id.in_(missed))).all()
        now = time.monotonic()
        self._silent = {tuple(beat): self._silent.get(tuple(beat), now) for beat in beats}
        return [trial for (trial, _), since in self._silent.items() if now - since >= 2 * self.heartbeat_interval]


def _outlasting(method: Callable[..., Any]) -> Callable[..., Any]:
    """Make a method of Storage wait while the server is away; of calls within calls the outermost waits."""

    @functools.wraps(method)
    def call(self: Storage, *arguments: Any, **options: Any) -> Any:
        if getattr(self._inside, "call", False):
            return method(self, *arguments, **options)
        pause = 0.25
        while True:
            try:
                self._inside.call = True
                result = method(self, *arguments, **options)
            except (StorageInternalError, SQLAlchemyError) as error:
                reason = reason_of(error, self.url)
                self._silent = {}
                if not (self.patience and _is_lost_connection(error)):
                    raise RecipeError(f"storage: {masked(self.url)} refuses ({reason})") from None
            else:
                if self._away_since is not None:
                    self.report(f"the database answers again after {time.monotonic() - self._away_since:.0f} s")
                    self._away_since = None
                return result
            finally:
                self._inside.call = False
            if self._away_since is None:
                self._away_since = time.monotonic()
                self.report(f"the database does not answer ({reason}); trying again for {self.patience / 60:.0f} min")
            if time.monotonic() - self._away_since > self.patience:
                raise RecipeError(
                    f"storage: {masked(self.url)} has not answered for {self.patience / 60:.0f} min ({reason}); start "
                    "the same command again when it does: what is finished is kept"
                )
            time.sleep(pause)
            pause = min(2 * pause, 15.0, self.heartbeat_interval)

    return call


for _name, _method in vars(optuna.storages.RDBStorage).items():
    if inspect.isfunction(_method) and not _name.startswith("__") and _name != "record_heartbeat":
        setattr(Storage, _name, _outlasting(getattr(Storage, _name)))


def open_storage(url: str, heartbeat: int = 30) -> Storage:
    """Open the database at a SQLAlchemy address, safe for several processes on SQLite too.

    heartbeat: seconds between two signs of life of a worker.

    Raises RecipeError naming the address, without its password, if the database cannot be opened.
    """
    address, shown = _address(url), masked(url)
    sqlite = address.startswith("sqlite")
    options = {"connect_args": {"timeout": 120}} if sqlite else {"pool_pre_ping": True, "pool_size": 1}
    for _ in range(ATTEMPTS):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                storage = Storage(address, options, heartbeat)
            if sqlite:  # a file is there or not
                storage.patience = 0.0
                _prepare_sqlite(storage.engine)
            else:
                _prepare_server(storage.engine)
            storage.engine.dispose()  # connections opened before were not prepared
            return storage
        except ImportError as error:
            raise RecipeError(f"storage: cannot open {shown!r}: {_driver_advice(address, error)}") from None
        except (DBAPIError, StorageInternalError) as error:
            reason = reason_of(error, url)
            time.sleep(0.5)
        except (SQLAlchemyError, RuntimeError, TypeError, ValueError) as error:  # tables of another Optuna, options
            reason = reason_of(error, url)
            raise RecipeError(f"storage: cannot open {shown!r} ({reason}); an example: sqlite:///study.db") from None
    raise RecipeError(f"storage: cannot open {shown!r} ({reason}); check the path, or the server and its password")


def masked(url: str) -> str:
    """Write an address without its password and its options, even if it is malformed."""
    kind, colon, rest = str(url).partition("://")
    if (kind.startswith("sqlite") and rest.startswith("/")) or not (colon or "@" in kind):
        return str(url)
    account, at, place = rest.rpartition("@") if colon else kind.rpartition("@")
    place = place.partition("?")[0]
    if at:
        account = re.split("[:/]", account)[0] + ":***"
    else:
        place = re.sub(r":(?!\d+(/|$))[^/]*", ":***", place)  # not a port
    return f"{kind if colon else ''}{colon}{account}{at}{place}"


def reason_of(error: Exception, url: str) -> str:
    """Return the first line of what the database or its driver says, without the password of the address."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
    text = str(getattr(cause, "orig", None) or cause).strip().partition("\n")[0]
    for secret in _secrets(url):
        text = text.replace(secret, "***")
    return text


def _secrets(url: str) -> list[str]:
    """Collect the passwords of an address, as they are written and as they are meant."""
    written = [url.partition("://")[2].rpartition("@")[0].partition(":")[2]]
    try:
        parsed = sqlalchemy.make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        return list(filter(None, written))
    options = [value for name, value in parsed.query.items() if "pass" in name.lower() and isinstance(value, str)]
    return list(filter(None, [*written, parsed.password, *options]))


def _is_lost_connection(error: Exception) -> bool:
    """Tell a server that is away, or ended a transaction to resolve a conflict, from a call that cannot succeed."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    lost = isinstance(cause, (OperationalError, InterfaceError, PendingRollbackError))
    return lost or getattr(cause, "connection_invalidated", False)


def _address(url: str) -> str:
    """Check an address, and name the driver that it leaves open."""
    if url in ("sqlite://", "sqlite:///", "sqlite:///:memory:"):
        raise RecipeError(f"storage: {url!r} is kept in memory, which workers cannot share; use sqlite:///study.db")
    kind, _, rest = str(url).partition("://")
    password = rest.rpartition("@")[0].partition(":")[2]
    try:
        sqlalchemy.make_url(url)
        if "@" in password and not kind.startswith("sqlite"):
            raise ValueError
    except (sqlalchemy.exc.ArgumentError, ValueError):
        raise RecipeError(
            f"storage: {masked(url)!r} is not an address such as sqlite:///study.db or "
            "postgresql://USER:PASSWORD@HOST/DATABASE; in a password write %40 for @, %3A for : and %2F for /"
        ) from None
    if kind not in DRIVERS:
        return url
    kind, driver = {"postgres": "postgresql", "mariadb": "mysql"}.get(kind, kind), DRIVERS[kind]
    return f"{kind}+{driver}://{rest}"


def _driver_advice(address: str, error: ImportError) -> str:
    """Name the package that a database needs, and the extra that brings one."""
    module = getattr(error.__cause__ or error, "name", None)
    kind, _, driver = address.partition("://")[0].partition("+")
    package = PACKAGES.get(module or driver, module or driver)
    text = f"it needs the package {package}, which is not installed: pip install '{package}'"
    return text + (f" ({kind}:// uses {DRIVERS[kind]}, of the extra ftlab[{EXTRAS[kind]}])" if kind in EXTRAS else "")


def _prepare_sqlite(engine: sqlalchemy.Engine) -> None:
    """Take the write lock when a transaction begins, as SQLAlchemy's documentation of SQLite describes.

    SQLite has no SELECT ... FOR UPDATE, with which Optuna keeps two workers from taking one trial.
    """

    @sqlalchemy.event.listens_for(engine, "connect")
    def leave_transactions_to_us(connection: Any, _: Any) -> None:
        connection.isolation_level = None

    @sqlalchemy.event.listens_for(engine, "begin")
    def lock_at_once(connection: sqlalchemy.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _prepare_server(engine: sqlalchemy.Engine) -> None:
    """Let workers of all time zones write the same time, and give a cell's result room in MySQL."""
    if engine.name in UTC:

        @sqlalchemy.event.listens_for(engine, "connect")
        def count_in_utc(connection: Any, _: Any) -> None:
            with closing(connection.cursor()) as cursor:
                cursor.execute(UTC[engine.name])
            connection.commit()

    if engine.name == "mysql":  # where Optuna's TEXT ends after 64 KiB
        with engine.begin() as connection:
            column = (
                "FROM information_schema.columns WHERE table_schema = DATABASE() "
                "AND table_name = 'trial_user_attributes' AND column_name = 'value_json'"
            )
            if connection.exec_driver_sql(f"SELECT data_type {column}").scalar() == "text":
                connection.exec_driver_sql("ALTER TABLE trial_user_attributes MODIFY value_json LONGTEXT")
