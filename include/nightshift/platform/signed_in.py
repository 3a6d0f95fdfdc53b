"""A person who has signed in to Airflow's API server, which records orders: the command line's way to it."""

import getpass
import logging
import sys
from typing import Any, Self

from nightshift.actor import signed_in, system_account
from nightshift.errors import PlatformError, said
from nightshift.orders.asked import AskedOrder, AskedWaiver
from nightshift.platform.airflow_client import passwords
from nightshift.platform.layout import Layout
from nightshift.platform.logins import airflow_passwords
from nightshift.registry.entry import Entry
from nightshift.registry.ledger import Ledger
from nightshift.settings import Settings

log = logging.getLogger("nightshift")

_SECONDS = 30.0
# Nobody waits long to hear that there is no server.
_CONNECT_SECONDS = 3.0
_OK, _UNAUTHORISED, _FORBIDDEN, _NOT_FOUND = 200, 401, 403, 404


class SignedIn:
    """A session of a login; ``actor`` is who the ledger will say gave the order, ``claimed`` the account beside it."""

    def __init__(self, settings: Settings, client: Any, login: str) -> None:
        self._settings, self._client = settings, client
        self.actor, self.claimed = signed_in(login), system_account()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def order(self, pipeline: str, asked: AskedOrder) -> Entry:
        """Records an order. Raises OrderRefused and what else `place` raises, as the server did."""
        return self._recorded(f"/nightshift/orders/{pipeline}", pipeline, asked)

    def waive(self, pipeline: str, asked: AskedWaiver) -> Entry:
        """Records a waiver. Raises NightshiftError, as the server did."""
        return self._recorded(f"/nightshift/waivers/{pipeline}", pipeline, asked)

    def _recorded(self, path: str, pipeline: str, asked: AskedOrder | AskedWaiver) -> Entry:
        """The entry as the ledger has it: what a server says is looked up there."""
        status, answer = _post(self._settings, self._client, path, asked.model_dump(mode="json"))
        if status == _FORBIDDEN:
            raise PlatformError(
                f"{self.actor} may not edit {pipeline} in Airflow; nothing was recorded",
                where=path,
                do="sign in as somebody who may (NIGHTSHIFT_AIRFLOW_USER), or have the right given",
            )
        if status == _NOT_FOUND:
            raise PlatformError(
                "Airflow's API server takes no orders; nothing was recorded",
                where=f"{self._settings.airflow_url}{path}",
                do="bring it to this version: `nightshift down`, `nightshift up`, elsewhere its image",
            )
        if status != _OK:
            raise said(str(answer.get("error") or f"PlatformError: Airflow's API server answered {status} at {path}"))
        wanted = (answer.get("entry") or {}).get("hash")
        found = [entry for entry in Ledger.of(self._settings).entries(pipeline) if entry.hash == wanted]
        if not found:
            raise PlatformError(
                "Airflow's API server recorded it in another ledger than this command reads",
                where=self._settings.airflow_url,
                do="compare NIGHTSHIFT_AIRFLOW and NIGHTSHIFT_ENV of both",
            )
        return found[-1]


def sign_in(settings: Settings) -> SignedIn | None:
    """Returns a session of the login that settings name, else of the platform's own; None where no server answers.

    Raises PlatformError where the login is not known or not right: nobody becomes another person by failing to sign in.
    """
    import httpx

    client = httpx.Client(
        base_url=settings.airflow_url, timeout=httpx.Timeout(_SECONDS, connect=_CONNECT_SECONDS), trust_env=False
    )
    try:
        client.get("/api/v2/version")
    except (httpx.ConnectError, httpx.ConnectTimeout):
        client.close()
        return None
    except httpx.HTTPError:
        pass  # somebody listens there: what he lacks the next question says
    login, password = credentials(settings)
    status, answer = _post(settings, client, "/auth/token", {"username": login, "password": password})
    if status == _UNAUTHORISED:
        raise PlatformError(
            f"Airflow does not know the login {login} with that password; nothing was recorded",
            where=settings.airflow_url,
            do="correct NIGHTSHIFT_AIRFLOW_USER and NIGHTSHIFT_AIRFLOW_PASSWORD_FILE",
        )
    if "access_token" not in answer:
        raise PlatformError(
            f"Airflow's API server answered {status} when {login} signed in; nothing was recorded",
            where=settings.airflow_url,
            do="look at `nightshift status` and the log of airflow-api-server",
        )
    client.headers["Authorization"] = f"Bearer {answer['access_token']}"
    try:
        return SignedIn(settings, client, login)
    except ValueError as error:
        raise PlatformError(str(error), where="NIGHTSHIFT_AIRFLOW_USER") from None


def credentials(settings: Settings) -> tuple[str, str]:
    """Return the login that settings name and its password, else the platform's own login.

    The password is that of a file, the one that this machine made for the login, or asked for at a terminal. Raises
    PlatformError where it is not known.
    """
    name = settings.airflow_user
    if not name:
        return _platform_login(settings)
    if settings.airflow_password_file:
        try:
            return name, settings.airflow_password_file.read_text().strip()
        except OSError as error:
            raise PlatformError(
                f"the password of {name} cannot be read ({error.strerror})",
                where=str(settings.airflow_password_file),
                do="correct NIGHTSHIFT_AIRFLOW_PASSWORD_FILE",
            ) from None
    if known := passwords(settings).get(name):
        return name, known
    if not sys.stdin.isatty():
        raise PlatformError(
            f"the password of {name} is not known",
            where="NIGHTSHIFT_AIRFLOW_PASSWORD_FILE",
            allowed="a file that holds it",
            do="set it, or give the order at a terminal, where you are asked",
        )
    return name, getpass.getpass(f"Airflow's password of {name}: ")


def _platform_login(settings: Settings) -> tuple[str, str]:
    try:
        login, password = next(iter(passwords(settings).items()))
    except (ValueError, StopIteration, AttributeError):
        raise PlatformError(
            "an order needs a login of Airflow, and none is known here; nothing was recorded",
            where=str(airflow_passwords(Layout(settings.var))),
            do="set NIGHTSHIFT_AIRFLOW_USER, and NIGHTSHIFT_AIRFLOW_PASSWORD_FILE or a terminal to be asked at",
        ) from None
    log.info("signed in to Airflow as %s, the platform's own login; NIGHTSHIFT_AIRFLOW_USER signs in a person", login)
    return str(login), str(password)


def _post(settings: Settings, client: Any, path: str, document: Any) -> tuple[int, dict[str, Any]]:
    """Status and JSON of an answer. Raises PlatformError where there is none: it is not known what was recorded."""
    import httpx

    try:
        response = client.post(path, json=document)
        answer = response.json() if "json" in response.headers.get("content-type", "") else {}
    except (httpx.HTTPError, ValueError) as error:
        raise PlatformError(
            f"Airflow's API server did not answer ({type(error).__name__}); what was asked may have been recorded",
            where=f"{settings.airflow_url}{path}",
            do="look at `nightshift champions` and `nightshift ledger verify` before you order it again",
        ) from None
    return response.status_code, answer if isinstance(answer, dict) else {}
