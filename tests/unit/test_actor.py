"""Who gave an order: two names of one person, and logins that nobody can take for an account."""

import os
import pwd

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.actor import person, signed_in, system_account


@pytest.mark.parametrize(
    ("one", "other"), [("ada", "ada (uid 1000)"), ("Ada", "ada"), ("ADA (uid 7)", " ada "), ("uid 7", "uid 7")]
)
def test_the_same_name_in_airflow_and_on_a_machine_is_one_person(one: str, other: str) -> None:
    assert person(one) == person(other) != ""


@pytest.mark.parametrize(("one", "other"), [("ada", "bob"), ("uid 7", "uid 8"), ("ada", "ada (uid 7) (uid 8)")])
def test_other_names_are_other_persons(one: str, other: str) -> None:
    assert person(one) != person(other)


@given(st.from_regex(r"[^\s()<>]{1,100}", fullmatch=True).filter(str.isprintable), st.integers(0, 2**31))
def test_a_login_is_itself_and_the_account_of_its_name(login: str, uid: int) -> None:
    assert signed_in(login) == login
    assert person(login) == person(f"{login} (uid {uid})") == person(person(login))


@pytest.mark.parametrize("login", ["", "ada (uid 7)", "a b", "ada\n", "ada\u200b", "<b>ada</b>", "a" * 101])
def test_a_login_that_could_pass_for_something_else_is_refused(login: str) -> None:
    with pytest.raises(ValueError, match="has no white space, no brackets"):
        signed_in(login)


def test_the_account_is_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "mallory")
    monkeypatch.setenv("USER", "mallory")
    assert system_account() == f"{pwd.getpwuid(os.getuid()).pw_name} (uid {os.getuid()})"
