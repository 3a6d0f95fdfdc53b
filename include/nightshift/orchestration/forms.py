"""The forms of people's orders: bodies become fields, and a request that another site made is refused. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from http import HTTPStatus
from typing import get_args
from urllib.parse import parse_qsl, urlsplit

from nightshift.actor import signed_in
from nightshift.lineage import canonical, sha256
from nightshift.orders.order import Order, OrderKind, Plan
from nightshift.run_day import iso_day

KINDS: tuple[OrderKind, ...] = get_args(OrderKind)
LARGEST = 8192  # bytes of a body
LONGEST = 500  # characters of a reason
FORM = "application/x-www-form-urlencoded"

_FIELDS = {
    "kind": 20, "version": 64, "effective_from": 10, "reason": LONGEST, "token": 80, "seen": 64, "plan": 64,
}  # fmt: skip
_PORTS = {"http": 80, "https": 443}


class FormRefused(Exception):
    """A form that is not carried out; nothing was recorded. The page says what, where and what to do."""

    def __init__(self, status: HTTPStatus, what: str, *, where: str, do: str) -> None:
        super().__init__(what)
        self.status, self.what, self.where, self.do = status, what, where, do


@dataclass(frozen=True)
class Form:
    """The fields of a form. ``seen`` is the ledger's head that its page was made of, ``plan`` what was shown of it.

    An empty ``plan`` is of the first step, which asks for one.
    """

    kind: OrderKind
    version: str
    effective_from: date | None
    reason: str
    token: str
    seen: str
    plan: str

    def order(self, actor: str) -> Order:
        """The order, by whoever is signed in."""
        return Order(self.kind, actor, self.reason, self.version, self.effective_from)

    def action(self) -> str:
        """Return what a token must be for: the form alone, or in the second step the whole order with its plan."""
        return f"plan {self.kind}" if not self.plan else f"record {self.digest()}"

    def digest(self) -> str:
        """The digest of the order as it was asked for, and of the plan that was shown."""
        return sha256(canonical([self.kind, self.version, self.effective_from, self.reason, self.plan]))


def actor_of(login: str, where: str) -> str:
    """The actor that a login is, as for orders by REST. Raises FormRefused for one that nobody can tell."""
    try:
        return signed_in(login)
    except ValueError as error:
        raise FormRefused(HTTPStatus.FORBIDDEN, str(error), where=where, do="sign in by another login") from None


def plan_digest(plan: Plan) -> str:
    """The digest of what a plan would record and change: who looked at another one has not looked at this."""
    new = plan.new
    document = {
        **{name: str(value) for name, value in vars(new).items() if name != "details"},
        "details": dict(new.details),
        "after": [[str(day), champion.sha256 if champion else ""] for day, champion in plan.after],
    }
    return sha256(canonical(document))


def parsed(body: bytes, where: str) -> Form:
    """The form of a body. Raises FormRefused, which quotes no value."""

    def refusal(what: str) -> FormRefused:
        do = "open the page of the pipeline again, and send its form"
        return FormRefused(HTTPStatus.UNPROCESSABLE_ENTITY, what, where=where, do=do)

    try:
        text, most = body.decode("ascii"), len(_FIELDS)
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=most)
    except ValueError:
        raise refusal("the body is no form of this page") from None
    fields = dict(pairs)
    if len(fields) != len(pairs) or not fields.keys() <= _FIELDS.keys():
        raise refusal("the form has fields twice, or such that this page's forms have not")
    if long := [name for name, value in fields.items() if len(value) > _FIELDS[name]]:
        raise refusal(f"{long[0].replace('_', ' ')} has more than {_FIELDS[long[0]]} characters")
    kind = next((kind for kind in KINDS if kind == fields.get("kind")), None)
    if kind is None:
        raise refusal("the form is for no order that people may give")
    day = fields.get("effective_from", "").strip()
    effective_from = iso_day(day)
    if day and effective_from is None:
        raise refusal("the first day is no day like 2013-03-07")
    texts = {name: fields.get(name, "") for name in ("token", "seen", "plan")}
    return Form(kind, fields.get("version", "").strip(), effective_from, fields.get("reason", "").strip(), **texts)


def foreign(headers: Mapping[str, str], address: str) -> str:
    """Why a request is not one of our own pages', empty where it is; ``address`` is where people find the server.

    A browser names the page's origin with every form that it posts, and no page can forge that. Besides ``address`` the
    host that was asked is the server's own where the browser says so itself: it compares scheme and port as well.
    """
    origin, site = headers.get("origin", ""), headers.get("sec-fetch-site", "")
    if site and site != "same-origin":
        return "the form was sent by a page of another site"
    if not origin:
        return "the request does not say which page sent it (it has no Origin)"
    if own(origin) and own(origin) == own(address):
        return ""
    asked = own(f"{origin.partition('://')[0]}://{headers.get('host', '')}")
    if site == "same-origin" and asked and own(origin) == asked:
        return ""
    return "the form was sent by a page of another origin"


def own(address: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of an address; None where it has none."""
    try:
        parts = urlsplit(address)
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname and parts.username is None else None
