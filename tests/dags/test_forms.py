"""What a form may send, and from where."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.orchestration.forms import LONGEST, Form, FormRefused, actor_of, foreign, parsed, plan_digest
from nightshift.orders.order import Order, plan
from nightshift.registry.entry import NewEntry, chained
from tests.conftest import make_pipeline

HOME = "https://nights.example:8443"
FIELDS = {
    "kind": "rollback",
    "version": "1",
    "effective_from": "2024-03-09",
    "reason": "why",
    "token": "t",
    "seen": "s",
}


def body(**changes: Any) -> bytes:
    return urlencode({**FIELDS, **changes}).encode()


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": HOME},
        {"origin": HOME, "sec-fetch-site": "same-origin"},
        {"origin": "http://localhost:9000", "host": "localhost:9000", "sec-fetch-site": "same-origin"},
        {"origin": "https://other.example", "host": "other.example", "sec-fetch-site": "same-origin"},
    ],
)
def test_a_form_of_our_own_pages(headers: dict[str, str]) -> None:
    assert foreign(headers, HOME) == ""


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": ""},
        {"origin": "null"},
        {"origin": "https://evil.example"},
        {"origin": "https://nights.example"},
        {"origin": "http://nights.example:8443"},
        {"origin": "https://nights.example:8443.evil.example"},
        {"origin": "https://nights.example:8443@evil.example:8443"},
        {"origin": "https://evil.example", "host": "evil.example"},
        {"origin": "https://evil.example", "host": "nights.example:8443", "sec-fetch-site": "same-origin"},
        {"origin": "null", "host": "", "sec-fetch-site": "same-origin"},
        {"origin": HOME, "sec-fetch-site": "cross-site"},
        {"origin": HOME, "sec-fetch-site": "same-site"},
        {"origin": HOME, "sec-fetch-site": "none"},
        {"sec-fetch-site": "same-origin"},
        {"referer": f"{HOME}/nightshift/pipelines/flights"},
    ],
)
def test_a_form_of_another_page(headers: dict[str, str]) -> None:
    assert foreign(headers, HOME)


@given(st.text(), st.text(), st.sampled_from(["", "none", "same-site", "cross-site"]))
def test_no_other_origin_is_ours_unless_the_browser_says_so(origin: str, host: str, site: str) -> None:
    assert foreign({"origin": origin, "host": host, "sec-fetch-site": site}, HOME)


def test_a_form_becomes_an_order_of_who_is_signed_in() -> None:
    form = parsed(body(), "flights")
    assert form.order("ann") == Order("rollback", "ann", "why", "1", date(2024, 3, 9))
    assert parsed(body(version="", effective_from=""), "flights").order("ann") == Order("rollback", "ann", "why")


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (b"", "no order that people may give"),
        (b"kind", "no form of this page"),
        (b"kind=freeze&\xff=1", "no form of this page"),
        (b"kind=freeze&reason=%ff", "no form of this page"),
        (b"kind=freeze&kind=unfreeze", "fields twice"),
        (body(actor="joe"), "such that this page's forms have not"),
        (body(actor="joe", plan="", more="joe"), "no form of this page"),
        (b"kind=freeze&actor=joe", "such that this page's forms have not"),
        (body(kind="approval"), "no order that people may give"),
        (body(kind="promotion"), "no order that people may give"),
        (body(effective_from="tomorrow"), "no day like"),
        (body(effective_from="2024-02-30"), "no day like"),
        (body(reason="x" * (LONGEST + 1)), "reason has more than"),
        (body(version="9" * 65), "version has more than"),
    ],
)
def test_what_is_no_form_is_refused_and_not_quoted(sent: bytes, says: str) -> None:
    with pytest.raises(FormRefused, match=says) as refused:
        parsed(sent, "flights")
    assert refused.value.status == HTTPStatus.UNPROCESSABLE_ENTITY
    assert (refused.value.where, "open the page" in refused.value.do) == ("flights", True)
    assert "joe" not in refused.value.what


@given(st.binary(max_size=200))
def test_any_body_is_a_form_or_refused(sent: bytes) -> None:
    with suppress(FormRefused):
        assert isinstance(parsed(sent, "flights"), Form)


@given(st.sampled_from(["kind", "version", "effective_from", "reason", "plan"]), st.text(min_size=1, max_size=9))
def test_a_token_to_record_is_for_the_whole_order(name: str, value: str) -> None:
    form = replace(parsed(body(), "flights"), plan="p" * 64)
    other = replace(form, **{name: value})
    assert (other.action() == form.action()) == (other == form)
    assert replace(form, plan="").action() == "plan rollback"


def test_the_digest_of_a_plan_is_of_what_would_be_recorded() -> None:
    moment = datetime(2024, 3, 12, tzinfo=UTC)
    first = chained(
        NewEntry("parcels", "promotion", "r", "", date(2024, 3, 3), date(2024, 3, 4), "1", "a" * 64), "", moment, None
    )
    second = chained(
        NewEntry("parcels", "promotion", "r", "", date(2024, 3, 7), date(2024, 3, 8), "2", "b" * 64), "", moment, first
    )
    schedule = make_pipeline().schedule

    def digest(order: Order, why: str = "") -> str:
        return plan_digest(plan("parcels", schedule, [first, second], order, moment, lambda model: why))

    order = Order("retirement", "ann", "why", "2")
    assert digest(order) == digest(order)
    changed = [
        replace(order, actor="bob"),
        replace(order, reason="so"),
        replace(order, effective_from=date(2024, 3, 9)),
    ]
    others = [*map(digest, changed), digest(order, "its files are gone")]  # nobody follows then
    assert len({digest(order), *others}) == 5


@pytest.mark.parametrize("login", ["root (uid 0)", "ada lovelace", "", "<b>ada", "a\x1b[2Jda"])
def test_a_login_that_looks_like_an_account_gives_no_order(login: str) -> None:
    with pytest.raises(FormRefused) as refused:
        actor_of(login, "parcels")
    assert refused.value.status == HTTPStatus.FORBIDDEN
    assert "no white space, no brackets" in refused.value.what
    assert actor_of("ada", "parcels") == "ada"
