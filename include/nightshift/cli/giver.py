"""The giver of an order on the command line, and its way: by the API server, or from here where there is none."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from nightshift.actor import system_account

if TYPE_CHECKING:
    from nightshift.orders.order import Plan
    from nightshift.platform.signed_in import SignedIn
    from nightshift.registry.entry import Entry
    from nightshift.settings import Settings
    from nightshift.specs.model import Pipeline


@dataclass(frozen=True)
class Giver:
    """The giver of an order: a login of Airflow with the account of this machine as a claim, or that account alone."""

    actor: str
    claimed: str = ""
    server: "SignedIn | None" = None

    def place(self, settings: "Settings", spec: "Pipeline", found: "Plan") -> "Entry":
        """Record a plan and return its entry. Raises NightshiftError."""
        from nightshift import tonight
        from nightshift.orders.asked import AskedOrder, asked
        from nightshift.orders.place import place

        if self.server is None:
            entry = place(settings, spec, found)
            tonight.update(settings, spec)
            return entry
        order = found.order
        sent = asked(
            AskedOrder, kind=order.kind, reason=order.reason, version=order.version, claimed=order.claimed,
            effective_from=order.effective_from, seen=found.seen,
        )  # fmt: skip
        return self.server.order(spec.name, sent)

    def waive(self, settings: "Settings", spec: "Pipeline", source: str, ds: date, reason: str) -> "Entry":
        """Waive a day of a source and return the entry. Raises NightshiftError."""
        from nightshift.inputs.waive import waive
        from nightshift.orders.asked import AskedWaiver, asked

        if self.server is None:
            return waive(settings, spec, source, ds, actor=self.actor, reason=reason)
        sent = asked(AskedWaiver, source=source, ds=ds, reason=reason.strip(), claimed=self.claimed)
        return self.server.waive(spec.name, sent)


@contextmanager
def giver(settings: "Settings", *, local: bool = False) -> Iterator[Giver]:
    """The giver of an order; ``local`` where it is only looked at, for which nobody signs in.

    Raises PlatformError where there is an API server and the login is not right.
    """
    from nightshift.platform.signed_in import sign_in

    server = None if local else sign_in(settings)
    if server is None:
        yield Giver(system_account())
        return
    with server:
        yield Giver(server.actor, server.claimed, server)
