"""The ledger: an append-only, hash-chained record of what happened to models, one chain for each environment."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from nightshift import database, storage
from nightshift.errors import LedgerCorrupt, PlatformError
from nightshift.finding import Finding
from nightshift.lineage import sha256
from nightshift.registry import guards, heads
from nightshift.registry.entry import CLOCK, KINDS, Entry, Kind, NewEntry, chained, content, read
from nightshift.registry.ledger_table import create_ledger, lock_ledger
from nightshift.settings import Settings

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.rows import TupleRow

__all__ = ["KINDS", "Entry", "Kind", "Ledger", "NewEntry", "create_ledger"]

log = logging.getLogger("nightshift.registry")

Compose = Callable[[list[Entry], datetime], NewEntry | Entry | None]

# Clocks of two machines differ by seconds; by more only if one of them is wrong.
CLOCKS_DIFFER = timedelta(minutes=5)

_COLUMNS = ("seq", "env", "pipeline", "kind", "recorded_at", "effective_from", "as_of", "version", "once")


class Ledger:
    """The chain of one environment, read and continued through the role of a login. Holds no connection open.

    ``place`` is where the head of each entry is kept beside the lake, for ``verify`` to compare; empty for nowhere.
    """

    def __init__(self, dsn: str, env: str, place: str = "") -> None:
        self._dsn = dsn
        self.env = env
        self.place = place

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The ledger that settings name, as tasks may continue it."""
        return cls(settings.database, settings.env, storage.join(settings.heads, f"env={settings.env}"))

    @classmethod
    def of_people(cls, settings: Settings) -> Self:
        """The same, to be continued with what people decide. Raises PlatformError where this process may not."""
        return cls(settings.people, settings.env, storage.join(settings.heads, f"env={settings.env}"))

    def append(self, new: NewEntry) -> Entry:
        """Appends one entry and returns it; returns the first one where ``new.once`` is there already."""
        entry = self.append_seeing(new.pipeline, lambda _past, _now: new)
        assert entry is not None  # noqa: S101
        return entry

    def append_seeing(self, pipeline: str, compose: Compose) -> Entry | None:
        """Appends the entry that ``compose`` makes of the pipeline's entries so far and the moment of recording.

        Where that is an entry that is there already, or None, it is returned and nothing is appended.

        No other entry comes in between: for what depends on the past or on its own moment. ``compose`` must be
        quick, since every other append of the environment waits. The moment is the database's. The entry is recorded
        at it, or with the entry ahead where that is later. Raises PlatformError where the clocks of the database and of
        this machine differ: an entry would be of the future, or its effective date, for ever.

        Its head is kept beside the lake afterwards. Where that fails the entry counts all the same: the next one's
        append keeps the head, too.
        """
        entry, previous = self._appended(pipeline, compose)
        if entry is not None and self.place:
            self._keep_heads(entry, previous)
        return entry

    def _appended(self, pipeline: str, compose: Compose) -> tuple[Entry | None, Entry | None]:
        """The entry that answers, and the newest one before this append."""
        with self._open() as connection:
            lock_ledger(connection, self.env)
            previous = self._last(connection)
            now = _clock(connection)
            recorded_at = max(now, previous.recorded_at) if previous else now
            ahead = recorded_at - now > CLOCKS_DIFFER
            now = now if ahead else recorded_at  # no effective date follows an entry of the future
            new = compose(self._read(connection, pipeline), now)
            if not isinstance(new, NewEntry):
                return new, previous
            if ahead:
                new = replace(new, details={**new.details, CLOCK: now.isoformat()})
            if self.place:
                new = replace(new, details={**new.details, **heads.MARK})
            found = self._read(connection, new.pipeline, once=new.once) if new.once is not None else []
            if found:
                return found[0], previous
            entry = chained(new, self.env, recorded_at, previous)
            connection.execute(
                "INSERT INTO public.ledger (content, hash) VALUES (%s, %s)", (content(entry), entry.hash)
            )
            return entry, previous

    def _keep_heads(self, entry: Entry, previous: Entry | None) -> None:
        def newest_first() -> Iterator[Entry]:
            yield entry
            if previous is not None and previous.seq < entry.seq:
                yield previous
                with self._open() as connection:
                    yield from self._before(connection, previous.seq)

        try:
            heads.keep_all(self.place, newest_first())
        except (OSError, ValueError, PlatformError) as error:
            log.warning(
                "the head of entry %s was not kept beside the lake, the ledger holds (%s in %s). What to do: make the "
                "place writable; the next entry keeps this head as well", entry.seq, type(error).__name__, self.place,
            )  # fmt: skip

    def entries(self, pipeline: str | None = None, kinds: Sequence[Kind] | None = None) -> list[Entry]:
        """The entries of one pipeline, or of all, of some kinds or of all, in the order in which they were recorded."""
        with self._open() as connection:
            return self._read(connection, pipeline, kinds=kinds)

    def head(self) -> str:
        """The hash of the newest entry of all pipelines; empty where there is none. It stands for all before it."""
        with self._open() as connection:
            last = self._last(connection)
        return last.hash if last else ""

    def verify(self) -> int:
        """Walks the whole chain and returns its length. Raises LedgerCorrupt naming the first bad entry."""
        return sum(1 for _ in self.walk())

    def walk(self) -> Iterator[Entry]:
        """The entries of all pipelines, each once it is found to continue the chain.

        Raises LedgerCorrupt naming the first bad entry, when it comes to it.
        """
        query = f"SELECT content, hash, {', '.join(_COLUMNS)} FROM public.ledger WHERE env = %s ORDER BY seq"  # noqa: S608
        previous: Entry | None = None
        with self._open() as connection:
            for text, hash_, *columns in connection.execute(query, (self.env,)):
                found = dict(zip(_COLUMNS, columns, strict=True))
                previous = self._verified(text, hash_, found, previous)
                yield previous

    def of_the_future(self, entries: Sequence[Entry] | None = None) -> list[Entry]:
        """The entries that were recorded at a time which has not come, by the clock here or by the database's.

        ``entries`` are all of them, where they were read already.
        """
        with self._open() as connection:
            there = _moment(connection)
            entries = self._read(connection) if entries is None else entries
        now = min(there, datetime.now(UTC)) + CLOCKS_DIFFER
        return [entry for entry in entries if entry.recorded_at > now]

    def flaws(self) -> list[Finding]:
        """What of the table's guards is missing, switched off or another one."""
        with self._open() as connection:
            return guards.flaws(connection)

    @contextmanager
    def _open(self) -> "Iterator[Connection[TupleRow]]":
        import psycopg

        try:
            with database.connect_to(self._dsn) as connection:
                yield connection
        except psycopg.errors.UndefinedTable:
            raise PlatformError(
                "the Nightshift database has no ledger",
                do="create it with `nightshift up`, or elsewhere with nightshift.registry.ledger.create_ledger",
            ) from None
        except psycopg.errors.InsufficientPrivilege as error:
            raise PlatformError(
                f"the database refused it: {error.diag.message_primary}",
                where="ledger",
                do="orders of people go through Airflow's API server; after an upgrade, `nightshift up` first "
                "(elsewhere what prepares the databases)",
            ) from None
        except psycopg.OperationalError as error:
            raise PlatformError(
                f"the Nightshift database went away ({' '.join(str(error).split())})",
                do="try again when it is back: what was not committed is not there",
            ) from None

    def _verified(self, text: str, hash_: str, columns: dict[str, Any], previous: Entry | None) -> Entry:
        seq = previous.seq + 1 if previous else 1
        if columns["seq"] != seq:
            raise self._corrupt(seq, f"it is missing, entry {columns['seq']} stands in its place")
        if hash_ != sha256(text):
            raise self._corrupt(seq, "its hash is not that of its content: one of the two was changed")
        try:
            entry = read(text, hash_)
            document = entry.document()
        except LedgerCorrupt:
            raise self._corrupt(seq, "its content is not an entry") from None
        for name, value in columns.items():
            if value != document[name]:
                raise self._corrupt(seq, f"its column {name} differs from its content")
        if entry.previous_hash != (previous.hash if previous else ""):
            before = f"the hash of entry {seq - 1}" if previous else "empty"
            raise self._corrupt(seq, f"its previous hash is not {before}: one of the two entries was changed")
        if previous and entry.recorded_at < previous.recorded_at:
            raise self._corrupt(seq, f"it was recorded before entry {seq - 1}")
        return entry

    def _corrupt(self, seq: int, what: str) -> LedgerCorrupt:
        return LedgerCorrupt(
            f"entry {seq} is bad: {what}",
            where=f"ledger of environment {self.env}",
            do=f"believe the entries before {seq} alone, find out who owns or administers the database, "
            "and restore the table from a backup",
        )

    def _last(self, connection: "Connection[TupleRow]") -> Entry | None:
        query = "SELECT content, hash FROM public.ledger WHERE env = %s ORDER BY seq DESC LIMIT 1"
        row = connection.execute(query, (self.env,)).fetchone()
        return read(*row) if row else None

    def _before(self, connection: "Connection[TupleRow]", seq: int) -> Iterator[Entry]:
        """The entries before one, the newest first."""
        query = "SELECT content, hash FROM public.ledger WHERE env = %s AND seq < %s ORDER BY seq DESC LIMIT 1000"
        for text, hash_ in connection.execute(query, (self.env, seq)):
            yield read(text, hash_)

    def _read(
        self,
        connection: "Connection[TupleRow]",
        pipeline: str | None = None,
        once: str | None = None,
        kinds: Sequence[Kind] | None = None,
    ) -> list[Entry]:
        query = """SELECT content, hash FROM public.ledger WHERE env = %(env)s
            AND (%(pipeline)s::text IS NULL OR pipeline = %(pipeline)s) AND (%(once)s::text IS NULL OR once = %(once)s)
            AND (%(kinds)s::text[] IS NULL OR kind = ANY(%(kinds)s)) ORDER BY seq"""
        rows = connection.execute(
            query, {"env": self.env, "pipeline": pipeline, "once": once, "kinds": kinds and list(kinds)}
        )
        return [read(text, hash_) for text, hash_ in rows]


def _clock(connection: "Connection[TupleRow]") -> datetime:
    """The database's time. Raises PlatformError where this machine's time is another."""
    there, here = _moment(connection), datetime.now(UTC)
    if abs(there - here) <= CLOCKS_DIFFER:
        return there
    raise PlatformError(
        f"the database's clock says {there:%Y-%m-%d %H:%M:%S} UTC, this machine's {here:%Y-%m-%d %H:%M:%S} UTC",
        where="ledger",
        allowed=f"a difference of {CLOCKS_DIFFER.seconds // 60} minutes; nothing was recorded",
        do="correct the clock that is wrong, then clear the task",
    )


def _moment(connection: "Connection[TupleRow]") -> datetime:
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None  # noqa: S101
    moment: datetime = row[0].astimezone(UTC)
    return moment
