"""A change of one store alone is found, and named by its kind: real Postgres, real tables, a real MLflow."""

import contextlib
import hashlib
import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import psycopg
import pytest

from nightshift import tables
from nightshift.finding import Finding
from nightshift.lineage import Upstream
from nightshift.registry import mlflow
from nightshift.registry.alias import follow
from nightshift.registry.detection import verify
from nightshift.registry.entry import NewEntry
from nightshift.registry.heads import Head
from nightshift.registry.ledger import Ledger, create_ledger
from nightshift.registry.restored import record_restore
from nightshift.settings import Settings
from tests.conftest import make_pipeline
from tests.postgres import WRITER, Database, admit_people
from tests.unit.registry.entries import rows
from tests.unit.tables.test_publish import SCHEMA, staged

MUTATIONS = 1000
PIPELINES = ("parcels", "letters")
DAYS = ("2024-02-01", "2024-02-02", "2024-02-03")


@dataclass(frozen=True)
class World:
    """All stores, agreeing, and how one of them becomes again what it was."""

    settings: Settings
    database: Database

    @property
    def ledger(self) -> Ledger:
        return Ledger.of(self.settings)

    def table(self, name: str) -> Path:
        return Path(self.settings.tables, "parcels", name)

    @property
    def heads(self) -> list[Path]:
        return sorted(Path(self.ledger.place).iterdir())


@pytest.fixture(scope="module")
def mlflow_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's own store, empty: to make its tables takes seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow.heads(replace(Settings.from_env({}), mlflow_uri=f"sqlite:///{path}"))
    return path


@pytest.fixture
def world(settings: Settings, database: Database, tmp_path: Path, mlflow_store: Path) -> World:
    """Entries of two pipelines, tables of three days, and MLflow's own store with a model of each pipeline."""
    create_ledger(database.owner_url, WRITER)
    shutil.copy(mlflow_store, tmp_path / "mlflow.db")
    settings = replace(settings, database_url=database.writer_url, mlflow_uri=f"sqlite:///{tmp_path}/mlflow.db")
    admit_people(settings, database)
    made = World(settings, database)
    for name in PIPELINES:
        with mlflow._talking(settings) as client:
            client.create_registered_model(mlflow.registered_name(settings, name))
    for number in range(10):
        append(made, PIPELINES[number % 2], number)
    for name in PIPELINES:
        follow(settings, make_pipeline(pipeline=name))
    for name in ("features", "predictions"):
        head = made.ledger.head() if name == "predictions" else ""
        uri = str(made.table(name))
        for attempt, ds in enumerate(DAYS):
            tables.publish(uri, SCHEMA, [staged(uri, ds, "aa", str(attempt), ledger_head=head)])
        again = [staged(uri, ds, "bb", "7", replaces="aa", ledger_head=head) for ds in DAYS[:2]]
        tables.publish(uri, SCHEMA, again)
    return made


def append(world: World, pipeline: str, number: int) -> None:
    day = date(2024, 2, 1 + number)
    world.ledger.append(NewEntry(pipeline, "promotion", "tests", "better", day, day, "1", "1" * 64))


def named(settings: Settings) -> set[str]:
    return {finding.kind for finding in verify(settings).findings}


@contextlib.contextmanager
def unguarded(world: World) -> Iterator["psycopg.Connection"]:
    with psycopg.connect(world.database.owner_url) as connection:
        connection.execute("ALTER TABLE ledger DISABLE TRIGGER ALL")
        yield connection
        for trigger in ("never_changes", "continues", "of_people"):
            connection.execute(f"ALTER TABLE ledger ENABLE ALWAYS TRIGGER {trigger}")


def test_what_agrees_has_no_finding(world: World) -> None:
    found = verify(world.settings)
    assert found.findings == ()
    assert (found.chain.end, found.chain.since, found.places.unasked) == (10, 1, ())
    assert [(table.covered, table.before, table.since) for table in found.tables] == [(5, 0, 1)] * 2


# ---- what explains a difference, and what does not


def cut(world: World, end: int) -> None:
    """An older ledger, as a backup has it."""
    with unguarded(world) as connection:
        connection.execute("DELETE FROM ledger WHERE seq > %s", (end,))


def test_an_older_ledger_is_an_alarm_until_a_restore_is_recorded_and_then_explained(world: World) -> None:
    before = verify(world.settings)
    cut(world, 9)
    assert named(world.settings) >= {"tail", "unknown"}
    entry = record_restore(world.settings, before, "ann (uid 7)", "backup of monday")
    found = verify(world.settings)
    # MLflow was not restored with it: its tag is of an entry that is lost, and the next decision sets it.
    assert [finding.kind for finding in found.findings] == []
    assert (entry.kind, entry.seq, entry.actor, found.chain.restores) == ("restore", 10, "ann (uid 7)", [entry])
    assert entry.details["before"] == {"entries": 10, "head": before.head}
    [lost] = entry.details["lost"]["heads"]
    assert lost == before.head
    # What the restore left out is explained, another older ledger is not.
    cut(world, 8)
    assert "tail" in named(world.settings)


def test_an_older_ledger_that_goes_on_is_another_one(world: World) -> None:
    cut(world, 6)
    append(world, "parcels", 20)
    assert "fork" in named(world.settings)


def test_a_log_that_ends_before_a_version_that_was_read_was_cut(world: World) -> None:
    features, labels = world.table("features"), str(world.table("labels"))
    upstream = {"features": Upstream(tables.state(str(features)).version, {DAYS[0]: "aa"})}
    tables.publish(labels, SCHEMA, [staged(labels, DAYS[0], "aa", "1", upstream=upstream, dataset="labels")])
    assert named(world.settings) == set()
    max((features / "_delta_log").glob("*.json")).unlink()
    [finding] = verify(world.settings).findings
    assert (finding.kind, finding.where, "commits were cut off" in finding.what) == ("commit", str(features), True)


def test_a_head_that_a_restore_left_out_must_stay(world: World) -> None:
    before = verify(world.settings)
    cut(world, 9)
    record_restore(world.settings, before, "ann", "backup")
    Path(world.ledger.place, str(Head.of(before.chain.entries[-1]))).unlink()
    assert "head" in named(world.settings)


def test_the_next_entry_keeps_the_head_that_a_killed_process_did_not(world: World) -> None:
    for path in world.heads[-3:]:
        path.unlink()
    assert named(world.settings) == {"head"}
    append(world, "parcels", 10)
    follow(world.settings, make_pipeline(pipeline="parcels"))
    assert named(world.settings) == set()
    assert len(world.heads) == 11


def test_entries_of_an_earlier_version_are_no_alarm_and_where_heads_begin_cannot_be_moved(
    settings: Settings, database: Database
) -> None:
    create_ledger(database.owner_url, WRITER)
    earlier, now = Ledger(database.writer_url, "local"), replace(settings, database_url=database.writer_url)
    for ledger in (earlier, earlier, Ledger.of(now)):
        ledger.append(NewEntry("parcels", "refusal", "tests", "none"))
    found = verify(now)
    assert (found.findings, found.chain.since) == ((), 3)
    assert len(found.places.unasked) == 1
    shutil.rmtree(Ledger.of(now).place)
    assert named(now) == {"head"}


def test_a_place_that_cannot_be_asked_is_said(world: World) -> None:
    away = replace(world.settings, mlflow_uri="http://127.0.0.1:9")
    found = verify(away)
    assert found.findings == ()
    [line] = found.places.unasked
    assert line.startswith("MLflow: MLflow does not answer")


def test_heads_that_cannot_be_kept_stop_no_entry(world: World, caplog: pytest.LogCaptureFixture) -> None:
    nowhere = Path(world.settings.var, "a file")
    nowhere.touch()
    ledger = Ledger.of(replace(world.settings, heads=str(nowhere)))
    assert ledger.append(NewEntry("parcels", "refusal", "tests", "none")).seq == 11
    assert "the head of entry 11 was not kept beside the lake" in caplog.text


# ---- one change of one store: what it does, and the kinds of which one must be named, with the place

Mutation = Callable[[World, random.Random], tuple[set[str], str]]


def chosen_file(world: World, chance: random.Random, pattern: str) -> Path:
    return chance.choice(sorted(world.table(chance.choice(("features", "predictions"))).glob(pattern)))


def flipped(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content))
    return content[:at] + bytes([content[at] ^ (1 << chance.randrange(7))]) + content[at + 1 :]


def a_byte_of_a_manifest(world: World, chance: random.Random) -> tuple[set[str], str]:
    path = chosen_file(world, chance, "_manifests/*/*.json")
    path.write_bytes(flipped(path.read_bytes(), chance))
    return {"manifest"}, path.name


def a_manifest_cut_or_gone(world: World, chance: random.Random) -> tuple[set[str], str]:
    path = chosen_file(world, chance, "_manifests/*/*.json")
    content = path.read_bytes()
    path.unlink()
    if chance.random() < 0.5:
        path.write_bytes(content[: chance.randrange(len(content))])
    return {"manifest"}, path.name


def a_value_of_an_entry(world: World, chance: random.Random) -> tuple[set[str], str]:
    seq = chance.randrange(1, 11)
    field, value = chance.choice(
        [("actor", "nobody"), ("reason", ""), ("version", "2"), ("model_sha256", "2" * 64), ("details", {}),
         ("effective_from", "2024-03-01"), ("kind", "refusal"), ("pipeline", "other"), ("as_of", None)]
    )  # fmt: skip
    with unguarded(world) as connection:
        [(text,)] = connection.execute("SELECT content FROM ledger WHERE seq = %s", (seq,))
        changed = json.dumps({**json.loads(text), field: value}, sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(changed.encode()).hexdigest()
        both = chance.random() < 0.5
        connection.execute("UPDATE ledger SET content = %s WHERE seq = %s", (changed, seq))
        if both:
            connection.execute("UPDATE ledger SET hash = %s WHERE seq = %s", (digest, seq))
    return ({"fork"} if both and seq == 10 else {"entry"}), ""


def a_byte_of_an_entry(world: World, chance: random.Random) -> tuple[set[str], str]:
    seq, column = chance.randrange(1, 11), chance.choice(("content", "hash"))
    with unguarded(world) as connection:
        [(text,)] = connection.execute(f"SELECT {column} FROM ledger WHERE seq = %s", (seq,))  # noqa: S608
        at = chance.randrange(len(text))
        changed = text[:at] + chance.choice("0123456789abcdef") + text[at + 1 :]
        changed = changed if changed != text else text + "0"
        try:
            with connection.transaction():
                connection.execute(f"UPDATE ledger SET {column} = %s WHERE seq = %s", (changed, seq))  # noqa: S608
        except psycopg.Error:  # Postgres itself turns that text down
            connection.execute("UPDATE ledger SET hash = %s WHERE seq = %s", ("0" * 64, seq))
    return {"entry"}, f"entry {seq} is bad" if column == "hash" else ""


def a_column_of_the_table(world: World, chance: random.Random) -> tuple[set[str], str]:
    column = chance.choice(("pipeline", "kind", "version", "recorded_at", "effective_from", "as_of"))
    value, seq = {"kind": "refusal"}.get(column, "2024-01-01"), chance.randrange(1, 11)
    with unguarded(world) as connection:
        connection.execute(f"ALTER TABLE ledger ALTER COLUMN {column} DROP EXPRESSION")
        connection.execute(f"UPDATE ledger SET {column} = %s WHERE seq = %s", (value, seq))  # noqa: S608
    return {"entry"}, f"its column {column} differs"


def an_entry_gone_or_elsewhere(world: World, chance: random.Random) -> tuple[set[str], str]:
    first, second = sorted(chance.sample(range(1, 10), 2))
    with unguarded(world) as connection:
        connection.execute("CREATE TEMP TABLE had AS SELECT seq, content, hash FROM ledger")
        connection.execute("DELETE FROM ledger WHERE seq = ANY(%s)", ([first, second],))
        if chance.random() < 0.5:  # each at the other's number
            for seq, other in ((first, second), (second, first)):
                [(text, hash_)] = connection.execute("SELECT content, hash FROM had WHERE seq = %s", (other,))
                changed = text.replace(f'"seq":{other},', f'"seq":{seq},')
                connection.execute("INSERT INTO ledger (content, hash) VALUES (%s, %s)", (changed, hash_))
    return {"entry"}, f"entry {first} is bad"


def a_tail(world: World, chance: random.Random) -> tuple[set[str], str]:
    with unguarded(world) as connection:
        connection.execute("DELETE FROM ledger WHERE seq > %s", (chance.randrange(10),))
    return {"tail"}, "heads are kept up to entry 10"


def a_chain_written_anew(world: World, chance: random.Random) -> tuple[set[str], str]:
    first = chance.randrange(1, 11)
    with unguarded(world) as connection:
        found = connection.execute("SELECT content FROM ledger WHERE seq >= %s ORDER BY seq", (first,)).fetchall()
        before = connection.execute("SELECT hash FROM ledger WHERE seq = %s", (first - 1,)).fetchone()
        connection.execute("DELETE FROM ledger WHERE seq >= %s", (first,))
        previous = before[0] if before else ""
        for (text,) in found:
            document = {**json.loads(text), "previous_hash": previous, "actor": "nobody"}
            changed = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            previous = hashlib.sha256(changed.encode()).hexdigest()
            connection.execute("INSERT INTO ledger (content, hash) VALUES (%s, %s)", (changed, previous))
    return {"fork"}, "another entry"


def a_guard(world: World, chance: random.Random) -> tuple[set[str], str]:
    trigger = chance.choice(("never_changes", "continues", "of_people"))
    statement = chance.choice(
        [
            f"ALTER TABLE ledger DISABLE TRIGGER {trigger}",
            f"ALTER TABLE ledger ENABLE TRIGGER {trigger}",
            f"ALTER TABLE ledger ENABLE REPLICA TRIGGER {trigger}",
            f"DROP TRIGGER {trigger} ON ledger",
            f"CREATE OR REPLACE FUNCTION ledger_{trigger}() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN RETURN NULL; END'",
            f"CREATE OR REPLACE TRIGGER {trigger} BEFORE INSERT ON ledger FOR EACH ROW EXECUTE FUNCTION "
            "ledger_continues()",
            "ALTER TABLE ledger ALTER COLUMN version DROP EXPRESSION",
        ]
    )
    with psycopg.connect(world.database.owner_url) as connection:
        connection.execute(statement)
    return {"guard"}, "public.ledger"


def a_head(world: World, chance: random.Random) -> tuple[set[str], str]:
    path = chance.choice(world.heads)
    match chance.randrange(3):
        case 0:
            path.unlink()
        case 1:
            path.write_bytes(chance.randbytes(3))
        case _:
            at = chance.randrange(len(path.name))
            path.rename(path.with_name(path.name[:at] + chance.choice("xyz") + path.name[at + 1 :]))
    return {"head"}, str(path.parent)


def a_head_forged(world: World, chance: random.Random) -> tuple[set[str], str]:
    entry = chance.choice(world.ledger.entries())
    head = Head(entry.seq + chance.randrange(3), chance.randbytes(32).hex(), entry.recorded_at)
    Path(world.ledger.place, str(head)).touch()
    return {"tail" if head.seq > 10 else "fork"}, world.ledger.place


def a_commit(world: World, chance: random.Random) -> tuple[set[str], str]:
    path = chosen_file(world, chance, "_delta_log/*.json")
    while '"nightshift"' not in path.read_text():
        path = chosen_file(world, chance, "_delta_log/*.json")
    actions = [json.loads(line) for line in path.read_text().splitlines()]
    info = next(action["commitInfo"] for action in actions if "commitInfo" in action)
    adds = [action["add"] for action in actions if "add" in action]
    days = json.loads(info["nightshift"])
    ds, field = chance.choice(sorted(days)), chance.choice(("fingerprint", "attempt", "run_id", "sha256"))
    match chance.randrange(7):
        case 0:
            days[ds][field] = chance.choice((days[ds][field] + "0", "other", "0" * 64))
        case 1:
            del days[ds][field]
        case 2:
            del days[ds]
        case 3:
            days = {}
        case 4:
            chance.choice(adds)["size"] += 1
        case 5:
            chance.choice(adds)["stats"] = '{"numRecords":9}'
        case _:
            path.write_text(path.read_text()[: chance.randrange(1, 200)])
            return {"commit"}, f"commit {int(path.stem)}"
    info["nightshift"] = json.dumps(days)
    path.write_text("".join(f"{json.dumps(action)}\n" for action in actions))
    return {"commit", "manifest"}, f"commit {int(path.stem)}"


def a_tag(world: World, chance: random.Random) -> tuple[set[str], str]:
    pipeline = chance.choice(PIPELINES)
    own = [entry for entry in world.ledger.entries() if entry.pipeline == pipeline]
    name, text = mlflow.registered_name(world.settings, pipeline), str(Head.of(own[-1]))
    at = chance.randrange(len(text))
    older = chance.choice([entry for entry in world.ledger.entries() if entry.seq != own[-1].seq])
    with mlflow._talking(world.settings) as client:
        match chance.randrange(4):
            case 0:
                client.delete_registered_model_tag(name, mlflow.HEAD)
            case 1:
                client.set_registered_model_tag(name, mlflow.HEAD, f"{world.settings.env} {Head.of(older)}")
            case 2:
                client.set_registered_model_tag(name, mlflow.HEAD, "nothing")
            case _:
                changed = text[:at] + ("1" if text[at] != "1" else "2") + text[at + 1 :]
                client.set_registered_model_tag(name, mlflow.HEAD, f"{world.settings.env} {changed}")
    return {"mlflow", "fork", "tail"}, f"MLflow's model {name}"


MUTATE: tuple[Mutation, ...] = (
    a_byte_of_a_manifest, a_manifest_cut_or_gone, a_value_of_an_entry, a_byte_of_an_entry, a_column_of_the_table,
    an_entry_gone_or_elsewhere, a_tail, a_chain_written_anew, a_guard, a_head, a_head_forged, a_commit, a_tag,
)  # fmt: skip
IN_LAKE = {a_byte_of_a_manifest, a_manifest_cut_or_gone, a_head, a_head_forged, a_commit}


def told(finding: Finding, kinds: set[str], place: str) -> bool:
    return finding.kind in kinds and place in f"{finding.where} {finding.what}"


def test_a_thousand_changes_of_one_store_alone_are_named(world: World) -> None:
    chance = random.Random(13)
    lake = {path: path.read_bytes() for path in Path(world.settings.lake).rglob("*") if path.is_file()}
    ledger = rows(world.database.owner_url, "SELECT content, hash FROM ledger ORDER BY seq")
    for number in range(MUTATIONS):
        mutate = MUTATE[number % len(MUTATE)]
        kinds, place = mutate(world, chance)
        found = verify(world.settings).findings
        assert any(told(finding, kinds, place) for finding in found), (number, mutate, kinds, place, found)
        if mutate in IN_LAKE:
            for path in {*Path(world.settings.lake).rglob("*.*"), *lake}:
                if path not in lake and path.is_file():
                    path.unlink()
                elif path in lake and (not path.exists() or path.read_bytes() != lake[path]):
                    path.write_bytes(lake[path])
        elif mutate is a_tag:
            for name in PIPELINES:
                [*_, newest] = world.ledger.entries(name)
                mlflow.set_head(world.settings, name, str(Head.of(newest)))
        else:
            with psycopg.connect(world.database.owner_url) as connection:
                connection.execute("DROP TABLE ledger")
            create_ledger(world.database.owner_url, WRITER)
            with unguarded(world) as connection, connection.cursor() as cursor:
                cursor.executemany("INSERT INTO ledger (content, hash) VALUES (%s, %s)", ledger)
    assert verify(world.settings).findings == ()
