"""The page of a pipeline: what it shows, what it offers, and that nothing in it is markup."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.orchestration.forms import FormRefused, parsed
from nightshift.orchestration.pipeline_page import FEW, Shown, done_page, page, plan_page, refusal_page
from nightshift.orchestration.pipeline_routes import look
from nightshift.orchestration.template import FORM_HEADERS, HEADERS
from nightshift.orchestration.tonight import Live, line
from nightshift.orders.order import Order, plan
from nightshift.orders.report import Report
from nightshift.orders.scored import Scored
from nightshift.registry.entry import Entry, NewEntry, chained
from nightshift.settings import Settings
from nightshift.tonight import Summary
from tests.conftest import make_pipeline

NOW = datetime(2024, 3, 12, 9, tzinfo=UTC)
FIRST = date(2024, 3, 4)
DAY = timedelta(days=1)
TEXTS = st.text(max_size=30) | st.sampled_from(["<script>alert(1)</script>", '"><img src=x>', "</td>", "&amp;", "'"])


def entries(*news: NewEntry) -> list[Entry]:
    found: list[Entry] = []
    for new in news:
        found.append(chained(new, "local", NOW, found[-1] if found else None))
    return found


def promotion(number: int, sha: str = "") -> NewEntry:
    as_of = FIRST + 4 * number * DAY
    sha = sha or f"{number}" * 64
    return NewEntry("parcels", "promotion", "retrain", "by the rule", as_of, as_of + DAY, str(number), sha)


PAST = entries(
    promotion(0),
    promotion(1),
    NewEntry("parcels", "refusal", "retrain", "no better", FIRST + 8 * DAY, None, "2", "2" * 64),
    NewEntry("parcels", "freeze", "ann", "audit <until> Friday"),
)


def shown(past: list[Entry], **more: Any) -> str:
    standing = line("parcels", {"parcels": Live("logistics")}, Summary("parcels", NOW.isoformat()), NOW)
    return page(Shown(standing, past, NOW, **more))


def token(kind: str) -> str:
    return f"token of {kind}"


class Tags(HTMLParser):
    """The tags, attributes that a browser may act on, and forms of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.addresses: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses |= {value or "" for name, value in attrs if name in ("href", "action")}


def test_the_newest_entry_comes_first_with_who_and_why() -> None:
    found = shown(PAST)
    rows = [text for text in found.split("<tr>") if text.startswith("<td>")]
    assert [row[4] for row in rows] == ["4", "3", "2", "1"]
    assert '<span class="kind freeze">freeze</span>' in rows[0]
    assert '<td class="who">ann<td class="why">audit &lt;until&gt; Friday</tr>' in rows[0]
    assert '<td class="day">2024-03-09<small>as of 2024-03-08</small><td class="who">retrain' in rows[2]
    assert "2024-03-12 09:00:00" in rows[2]
    assert "frozen since 2024-03-12 09:00 UTC by ann: audit &lt;until&gt; Friday (entry 4)" in found


def test_whom_an_order_was_said_to_come_from_stands_beside_who_signed_in() -> None:
    claim = {"claimed": "bob (uid 7)"}
    found = shown(entries(promotion(0), NewEntry("parcels", "freeze", "ann", "audit", details=claim)))
    assert '<td class="who">ann, said to be bob (uid 7)<td' in found
    assert "UTC by ann, said to be bob (uid 7): audit (entry 2)" in found


def test_many_entries_are_shown_when_they_are_asked_for() -> None:
    many = entries(*[promotion(number, f"{number:064}") for number in range(FEW + 5)])
    assert shown(many).count("<tr><td>") == FEW
    assert f'<a href="parcels?show=all">Show all {FEW + 5} entries</a>' in shown(many)
    assert shown(many, everything=True).count("<tr><td>") == FEW + 5
    assert "show=all" not in shown(many, everything=True)


def test_who_may_not_order_sees_no_form_and_nobody_a_script() -> None:
    assert "<form" not in shown(PAST)
    found = Tags(shown(PAST, token=token))
    assert found.tags.count("form") == 4  # not freeze: it is frozen
    assert "script" not in found.tags
    assert not [name for name in found.attributes if name.startswith("on")]
    assert {"parcels/plan", "/nightshift/tonight"} == found.addresses


def test_forms_offer_what_can_be_ordered() -> None:
    found = shown(PAST, token=token, next_day="2024-03-12")
    rollback = found.split("<form")[1]
    assert '<option value="">the champion before the present one</option><option value="1">version 1' in rollback
    assert 'value="2"' not in rollback  # it was refused: no champion ever
    assert f'name="seen" value="{PAST[-1].hash}"' in rollback
    assert 'name="token" value="token of rollback"' in rollback
    assert "the next one to be scored, 2024-03-12" in rollback
    override = found.split("<form")[3]
    assert ('<option value="2">' in override, 'type="date"' in override) == (True, False)
    retired = [*PAST, *entries(NewEntry("parcels", "retirement", "ann", "", None, FIRST, "2", "2" * 64))]
    assert '<option value="2">' not in shown(retired, token=token)
    assert shown([], token=token).count("<form") == 1  # a freeze


def test_a_version_that_names_two_models_is_offered_by_their_digits() -> None:
    twice = entries(promotion(1), promotion(1, "f" * 64))
    rollback = shown(twice, token=token).split("<form")[1]
    assert f'<option value="{"f" * 16}">' in rollback
    assert '<option value="1">' not in rollback


@given(TEXTS, TEXTS, TEXTS.filter(bool))
def test_nothing_in_the_ledger_is_markup(actor: str, reason: str, version: str) -> None:
    new = NewEntry("parcels", "promotion", actor, reason, FIRST, FIRST + DAY, version, "9" * 64)
    plain = shown(entries(promotion(9)), token=token, troubles=("no order can be given",))
    odd = shown(entries(new), token=token, troubles=(reason,))
    expected, found = Tags(plain), Tags(odd)
    assert sorted(set(found.tags)) == sorted(set(expected.tags))
    assert (found.attributes, found.addresses) == (expected.attributes, expected.addresses)


@given(TEXTS.filter(lambda text: text.strip().isprintable() and text.strip() != ""), TEXTS)
def test_a_plan_shows_what_it_would_do_and_sends_back_what_was_ordered(reason: str, actor: str) -> None:
    order = Order("rollback", actor, reason)
    found = plan("parcels", make_pipeline().schedule, PAST, order, NOW, lambda model: "")
    report = Report(found, None, Scored(((FIRST, FIRST),), (), ("nightshift backfill parcels <1> 2",)), "<alias>")
    form = parsed(b"kind=rollback&reason=x&seen=s", "parcels")
    text = plan_page(report, form, "t")
    assert "dry run, nothing is recorded: rollback to version 0 from 2024-03-" in text
    assert "version 0 can serve" in text
    assert "<th>from<th>until<th>before<th>after" in text
    assert "<pre>nightshift backfill parcels &lt;1&gt; 2</pre>" in text
    assert "&lt;alias&gt;" in text
    assert "promotions by the rule stay frozen" in text
    tags = Tags(text)
    assert (tags.tags.count("form"), tags.addresses) == (1, {"order", "../parcels"})
    assert tags.tags.count("input") == 7
    assert not {"script", "img"} & set(tags.tags)
    recorded = chained(found.new, "local", NOW, PAST[-1])
    done = done_page(Report(found, recorded, None))
    assert "entry 5, rollback to version 0" in done
    assert "which published days another model scored is not known" in done
    assert "form" not in Tags(done).tags


def test_a_refusal_says_what_where_and_what_to_do() -> None:
    text = refusal_page(FormRefused(HTTPStatus.CONFLICT, "<another> came first", where="parcels", do="look <again>"))
    assert "409 Conflict" in text
    assert "&lt;another&gt; came first" in text
    assert "<dt>Where<dd>parcels<dt>What to do<dd>look &lt;again&gt;" in text


@pytest.mark.parametrize("directive", ["default-src 'none'", "base-uri 'none'", "frame-ancestors 'self'"])
def test_pages_with_forms_may_send_them_home_and_nothing_else(directive: str) -> None:
    plain, forms = (headers["Content-Security-Policy"] for headers in (HEADERS, FORM_HEADERS))
    assert directive in plain
    assert directive in forms
    assert ("form-action 'none'" in plain, "form-action 'self'" in forms) == (True, True)
    assert plain.replace("form-action 'none'", "form-action 'self'") == forms


class TestLook:
    """What the page says where something cannot be read. With a ledger: ``test_live.py``."""

    def test_without_a_database_there_is_no_timeline_and_no_form(self, settings: Settings) -> None:
        found = look(settings, "flights", {}, "ann")
        [trouble] = found.troubles
        assert trouble.startswith("what was decided is not shown: the Nightshift database is unknown")
        assert (found.token, found.entries) == (None, [])
        assert "WAITING" in page(found)

    def test_with_a_broken_spec_there_is_no_form(self, settings: Settings, tmp_path: Path) -> None:
        home = replace(settings, home=tmp_path)
        home.pipelines.mkdir(parents=True)
        (home.pipelines / "parcels.yaml").write_text("pipeline: parcels\nower: <nobody>\n")
        found = look(home, "parcels", {}, "ann")
        assert found.troubles[0].startswith("no order can be given: ")
        assert "parcels.yaml:" in found.troubles[0]
        assert found.token is None
        assert "<nobody>" not in page(found)
