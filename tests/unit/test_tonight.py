"""The summaries of the page Tonight: concurrent updates lose nothing, and what is torn is not shown."""

import threading
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift import runs, storage, tonight
from nightshift.job import Job, Outcome
from nightshift.registry.entry import NewEntry
from nightshift.registry.ledger import Ledger, create_ledger
from nightshift.run_facts import RunFacts
from nightshift.settings import Settings
from nightshift.tonight import News, Summary, with_news
from tests.conftest import make_pipeline
from tests.postgres import WRITER, Database, admit_people

PIPELINE = make_pipeline()
DS = date(2024, 2, 10)


@pytest.fixture
def home(settings: Settings, database: Database) -> Settings:
    create_ledger(database.owner_url, WRITER)
    admit_people(settings, database)
    return replace(settings, database_url=database.writer_url)


def news(ds: str, run_id: str = "run", waits_for: str = "", since: str = "") -> News:
    return News(ds, run_id, "2024-02-10T07:00:00+00:00", f"said of {ds}", RunFacts(), waits_for, since)


NEWS = st.builds(
    news,
    ds=st.dates(date(2024, 2, 1), date(2024, 2, 9)).map(str),
    run_id=st.sampled_from(["a", "b"]),
    waits_for=st.sampled_from(["", "orders", "deliveries"]),
    since=st.sampled_from(["07:00", "07:05"]),
)


@given(st.lists(st.tuples(NEWS, st.booleans()), max_size=8))
def test_the_newest_day_of_each_dag_is_kept_whatever_came_in_between(told: list[tuple[News, bool]]) -> None:
    summary = Summary("parcels", "")
    for item, retrain in told:
        summary = with_news(summary, item, retrain=retrain)
    for kept, retrain in ((summary.night, False), (summary.retrain, True)):
        own = [item for item, of in told if of == retrain]
        assert (kept is None) == (not own)
        if kept is not None:
            last = [item for item in own if item.ds == max(item.ds for item in own)][-1]
            assert replace(kept, since=last.since) == last


def test_a_run_waits_since_it_began_to() -> None:
    summary = with_news(Summary("parcels", ""), news("2024-02-10", "a", "orders", "07:00"))
    summary = with_news(summary, news("2024-02-10", "a", "deliveries", "07:09"))
    assert summary.night is not None
    assert (summary.night.waits_for, summary.night.since) == ("deliveries", "07:00")
    other = with_news(summary, news("2024-02-10", "b", "orders", "07:30")).night
    assert other is not None
    assert other.since == "07:30"


def test_concurrent_updates_lose_nothing(home: Settings) -> None:
    """Nights, retrains and an order, all at once: each is in the document that stays."""

    def night(number: int) -> None:
        day = (DS + timedelta(days=number)).isoformat()
        tonight.update(home, PIPELINE, news(day), retrain=number % 2 == 1)

    def order() -> None:
        Ledger.of_people(home).append(NewEntry("parcels", "freeze", "ann", "ticket 1"))
        tonight.update(home, PIPELINE)

    threads = [threading.Thread(target=night, args=(number,)) for number in range(8)]
    threads.append(threading.Thread(target=order))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = tonight.read(home, "parcels")
    assert found is not None
    assert found.night is not None
    assert found.retrain is not None
    assert (found.night.ds, found.retrain.ds) == ("2024-02-16", "2024-02-17")
    assert found.frozen == "frozen by ann: ticket 1"
    assert found.at


def test_runs_and_orders_bring_it_up_to_date(home: Settings) -> None:
    Ledger.of(home).append(NewEntry("parcels", "promotion", "tests", "", DS, date(2024, 2, 11), "3", "3" * 64))
    job = Job(home, PIPELINE, DS, run_id="a")
    tonight.waiting(job, "parcels", "a file\nthat has not landed")
    waiting = tonight.read(home, "parcels")
    assert waiting is not None
    assert waiting.night is not None
    assert waiting.night.waits_for == "a file that has not landed"
    assert waiting.reigns[-1][1] == "3"
    tonight.waiting(job, "parcels", "a file\nthat has not landed")
    assert tonight.read(home, "parcels") == waiting

    failed = Outcome("gate_features", job.day, "nothing", "the gate blocked.")
    runs.keep(home, "parcels", "a", failed, "failed", 1)
    assert tonight.ended(job, "parcels").startswith("FAILED: failed in gate_features")
    ended = tonight.read(home, "parcels")
    assert ended is not None
    assert ended.night is not None
    assert (ended.night.facts.failed, ended.night.waits_for) == (True, "")
    assert ended.night.headline.startswith("failed in gate_features")


def test_it_is_never_a_reason_to_fail(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    tonight.update(settings, PIPELINE, news("2024-02-10"))
    assert "the page Tonight does not know of this yet: the Nightshift database is unknown" in caplog.text
    assert tonight.read(settings, "parcels") is None


@given(cut=st.integers(0, 10_000), flipped=st.integers(0, 10_000))
def test_what_is_torn_or_altered_is_not_shown(tmp_path_factory: pytest.TempPathFactory, cut: int, flipped: int) -> None:
    home = Settings.from_env({"NIGHTSHIFT_VAR": str(tmp_path_factory.getbasetemp() / "torn")})
    whole = replace(home, private=True)
    uri = Path(whole.reports, "_tonight", "parcels.json")
    document = with_news(Summary("parcels", "2024-02-10T07:00:00+00:00"), news("2024-02-10")).document()
    storage.write_json(str(uri), {**document, "digest": tonight._digest(document)})
    good, content = tonight.read(whole, "parcels"), uri.read_bytes()
    assert good is not None
    assert good.night == news("2024-02-10")
    uri.write_bytes(content[: cut % (len(content) - 2)])
    assert tonight.read(whole, "parcels") is None
    at = flipped % len(content)
    uri.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    assert tonight.read(whole, "parcels") in (None, good)  # white space between fields says nothing
    uri.rename(uri.with_name("letters.json"))
    assert tonight.read(whole, "letters") is None


def test_five_hundred_are_one_listing_and_one_read_each(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"p{number:03}" for number in range(500)]
    for name in names:
        document = Summary(name, "2024-02-10T07:00:00+00:00").document()
        storage.write_json(
            f"{settings.reports}/_tonight/{name}.json", {**document, "digest": tonight._digest(document)}
        )
    asked: list[str] = []
    read, listed = storage.read_bytes, storage.list_files
    monkeypatch.setattr(storage, "read_bytes", lambda uri: (asked.append("read"), read(uri))[1])
    monkeypatch.setattr(storage, "list_files", lambda uri: (asked.append("list"), listed(uri))[1])
    assert sorted(tonight.read_all(settings, names)) == names
    assert (asked.count("list"), asked.count("read")) == (1, 500)
    assert list(tonight.read_all(settings, names[:2])) == names[:2]
    assert (asked.count("list"), asked.count("read")) == (2, 502)
