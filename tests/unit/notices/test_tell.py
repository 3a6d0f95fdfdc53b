"""One fault is one message, and one when it is over: over pipelines, tries, restarts and two who tell at once."""

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from nightshift.errors import PlatformError
from nightshift.notices.channels import Channels
from nightshift.notices.message import Message
from nightshift.notices.record import Record
from nightshift.notices.tell import tell
from nightshift.notices.trouble import Trouble
from nightshift.run_state import RunState
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline
from tests.conftest import make_pipeline
from tests.unit.notices.test_message import trouble

DAYS = ("2024-03-01", "2024-03-02")
PIPELINES = {name: make_pipeline(pipeline=name) for name in ("parcels", "letters")}


class Told:
    """Who was told what; one that is down accepts nothing."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str]] = []
        self.down = False

    def send(self, _: Channels, channel: str, told: Message) -> None:
        if self.down:
            raise PlatformError("the message was not accepted", where=f"channel {channel}")
        self.got.append((channel, told.title))


class Desk:
    """One who tells: a record, channels, and what is over."""

    def __init__(self, settings: Settings, told: Told, **routes: Sequence[str]) -> None:
        self.settings, self.told, self.late = settings, told, timedelta()
        self.over: set[str] = set()
        self.pipelines: dict[str, Pipeline] = PIPELINES
        names = {name.replace("_", "-"): tuple(events) for name, events in (routes or {"night": ["FAILED"]}).items()}
        self.channels = Channels.model_validate({"channels": dict.fromkeys(names, "json://x"), "notify": names})

    def look(self, *troubles: Trouble) -> list[str]:
        record = Record(self.settings, lambda: datetime.now(UTC) + self.late)
        over: Callable[[Trouble], bool] = lambda found: found.member in self.over  # noqa: E731
        return tell(record, self.channels, self.pipelines, troubles, over, self.told.send)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def desk(settings: Settings, told: Told) -> Desk:
    return Desk(settings, told)


def _titles(told: Told) -> list[str]:
    return [f"{channel} {title.split(':')[0]}" for channel, title in told.got]


def test_one_fault_of_two_pipelines_is_one_message_and_one_when_both_are_well(desk: Desk, told: Told) -> None:
    assert desk.look(trouble()) == []
    desk.look(trouble(), trouble("letters"))
    desk.look(trouble("letters"))  # what is not seen again is not well
    assert _titles(told) == ["night [FAILED] parcels 2024-03-01"]
    desk.over = {"parcels 2024-03-01"}
    desk.look(trouble("letters"))
    assert len(told.got) == 1
    desk.over |= {"letters 2024-03-01"}
    desk.look()
    desk.look()
    assert _titles(told) == ["night [FAILED] parcels 2024-03-01", "night [over] parcels 2024-03-01 and 1 more"]


def test_a_fault_that_comes_back_is_told_again(desk: Desk, told: Told) -> None:
    for _ in range(2):
        desk.over = set()
        desk.look(trouble())
        desk.over = {"parcels 2024-03-01"}
        desk.look()
    assert [title.split("]")[0] for _, title in told.got] == ["[FAILED", "[over", "[FAILED", "[over"]


def test_each_channel_hears_what_it_asked_for(settings: Settings, told: Told) -> None:
    desk = Desk(settings, told, night=["FAILED"], gates=["blocked"], science=["OK with warnings"])
    desk.look(trouble(events=("FAILED", "blocked")))
    assert _titles(told) == ["night [FAILED] parcels 2024-03-01", "gates [FAILED] parcels 2024-03-01"]
    desk.look(trouble("letters", events=("OK with warnings",), state=RunState.OK_WITH_WARNINGS))
    assert _titles(told)[2:] == ["science [OK with warnings] letters 2024-03-01"]


def test_a_night_that_will_be_late_and_then_is_has_a_message_for_each(settings: Settings, told: Told) -> None:
    desk = Desk(settings, told, night=["late"])
    for stage in ("will be late", "will be late", "is late", "is late"):
        desk.look(trouble(events=("late",), stage=stage, cause=stage, alike="deliver_by 06:00"))
    assert [title.rpartition(": ")[2] for _, title in told.got] == ["will be late", "is late"]
    desk.over = {"parcels 2024-03-01"}
    desk.look()
    assert [title.split("]")[0] for _, title in told.got] == ["[late", "[late", "[over"]


def test_what_was_not_accepted_is_said_again_and_who_died_before_it_is_followed(desk: Desk, told: Told) -> None:
    told.down = True
    assert "channel night" in desk.look(trouble())[0]
    told.down = False
    assert desk.look(trouble())  # the claim of the first try is young
    assert told.got == []
    desk.late = timedelta(minutes=2)
    assert desk.look(trouble()) == []
    assert len(told.got) == 1


def test_of_two_who_tell_at_once_one_does(settings: Settings, told: Told) -> None:
    found = [trouble(), trouble("letters"), trouble(ds="2024-03-02")]
    desks = [Desk(settings, told) for _ in range(4)]
    barrier = threading.Barrier(len(desks))

    def look(desk: Desk) -> None:
        barrier.wait()
        for _ in range(3):
            desk.look(*found)

    threads = [threading.Thread(target=look, args=(desk,)) for desk in desks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(_titles(told)) == [
        "night [FAILED] parcels 2024-03-01 and 1 more",
        "night [FAILED] parcels 2024-03-02",
    ]


def test_nobody_is_told_of_what_nobody_asked_for_and_nothing_is_kept(settings: Settings, told: Told) -> None:
    desk = Desk(settings, told, night=["late"])
    desk.look(trouble())
    assert told.got == []
    assert Record(settings).faults() == []


def test_what_nobody_repairs_is_closed_and_what_is_long_closed_is_forgotten(
    desk: Desk, told: Told, settings: Settings
) -> None:
    desk.look(trouble())
    desk.late = timedelta(days=8)
    desk.look()
    assert [fault.closed for fault in Record(settings).faults()] == [True]
    desk.late = timedelta(days=40)
    desk.look()
    assert Record(settings).faults() == []
    assert len(told.got) == 1


@hypothesis_settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["parcels", "letters"]), st.sampled_from(["2024-03-01", "2024-03-02"]), st.booleans()
        ),
        max_size=12,
    )
)
def test_however_faults_come_and_go_nobody_hears_twice_of_one(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, str, bool]]
) -> None:
    told = Told()
    desk = Desk(Settings.from_env({"NIGHTSHIFT_VAR": str(tmp_path_factory.mktemp("var"))}), told)
    failing: set[tuple[str, str]] = set()
    for name, ds, fails in events:
        (failing.add if fails else failing.discard)((name, ds))
        desk.over = {f"{name} {ds}" for name in PIPELINES for ds in DAYS} - {" ".join(one) for one in failing}
        desk.look(*(trouble(*one) for one in sorted(failing)))
    for ds in DAYS:
        words = [title.split("]")[0] for _, title in told.got if ds in title.split(":")[0]]
        assert words == ["[FAILED", "[over"] * (len(words) // 2) + ["[FAILED"] * (len(words) % 2)
        assert bool(len(words) % 2) == any(day == ds for _, day in failing)
