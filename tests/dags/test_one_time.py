"""A token is for one person, one DAG, one action, one head, ten minutes; for anything else it is none."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nightshift.orchestration.one_time import LIFE, Allowed, holds, issue

NOW = 1_700_000_000.0
allowances = st.builds(Allowed, *[st.text(max_size=20)] * 4)
secrets = st.text(min_size=1, max_size=20)


@given(secrets, allowances, st.floats(0, 2e9), st.floats(0, LIFE - 1))
def test_it_is_good_for_what_it_was_made_for_until_its_end(
    secret: str, allowed: Allowed, now: float, later: float
) -> None:
    token = issue(secret, allowed, now)
    assert holds(secret, token, allowed, now + later)
    assert not holds(secret, token, allowed, now + LIFE + 1)


@given(secrets, allowances, st.sampled_from(["user", "dag", "action", "head"]), st.text(max_size=20))
def test_it_is_refused_for_any_other(secret: str, allowed: Allowed, name: str, value: str) -> None:
    other = replace(allowed, **{name: value})
    assume(other != allowed)
    assert not holds(secret, issue(secret, allowed, NOW), other, NOW)


@given(secrets, allowances, allowances, secrets)
def test_it_is_refused_for_all_others_and_by_other_servers(secret: str, one: Allowed, two: Allowed, other: str) -> None:
    assert holds(secret, issue(secret, one, NOW), two, NOW) == (one == two)
    assert holds(other, issue(secret, one, NOW), one, NOW) == (other == secret)


@given(allowances, st.integers(-(10**6), 10**6), st.text(max_size=90))
def test_it_cannot_be_made_longer_or_up(allowed: Allowed, seconds: int, text: str) -> None:
    until, mac = issue("secret", allowed, NOW).split("-")
    moved = f"{int(until) + seconds}-{mac}"
    assert holds("secret", moved, allowed, NOW) == (seconds == 0)
    assert not holds("secret", text, allowed, NOW)


def test_words_do_not_run_into_each_other() -> None:
    token = issue("secret", Allowed("ann", "flights", "plan", "ab"), NOW)
    assert not holds("secret", token, Allowed("ann", "flightsp", "lan", "ab"), NOW)


def test_no_secret_is_no_token() -> None:
    with pytest.raises(ValueError, match="without a secret"):
        issue("", Allowed("ann", "flights", "plan", ""), NOW)
