"""An order or a waiver as it is sent to the API server: the fields of its JSON, each checked."""

from datetime import date
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from nightshift.errors import OrderRefused
from nightshift.orders.order import Order, OrderKind
from nightshift.run_day import iso_day


def _printable(text: str) -> str:
    if text and not text.isprintable():
        raise ValueError("it has control characters")
    return text


def _day(value: Any) -> Any:
    """A day, or the text of one: a number would be seconds since 1970, which nobody means."""
    found = iso_day(value) if isinstance(value, str) else value
    if not isinstance(found, date):
        raise ValueError("it is no day like 2013-03-04")
    return found


Day = Annotated[date, BeforeValidator(_day)]
Line = Annotated[str, Field(max_length=200), AfterValidator(_printable)]
Reason = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_printable)]


class AskedOrder(BaseModel):
    """An order; ``seen`` is the hash of the pipeline's newest entry as its giver saw it, None where nobody looked.

    ``claimed`` is whom the order is said to come from, which nobody checks: the actor is who signed in.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: OrderKind
    reason: Reason
    version: Line = ""
    effective_from: Day | None = None
    seen: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] | None = None
    claimed: Line = ""

    def by(self, actor: str) -> Order:
        """The order of an authenticated actor."""
        return Order(self.kind, actor, self.reason, self.version, self.effective_from, self.claimed)


class AskedWaiver(BaseModel):
    """A waiver of the day ``ds`` of a source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Line
    ds: Day
    reason: Reason
    claimed: Line = ""


Asked = TypeVar("Asked", bound=BaseModel)


def asked(model: type[Asked], /, **fields: Any) -> Asked:
    """The order or waiver of these fields. Raises OrderRefused, which names the first that is not allowed."""
    try:
        return model(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise OrderRefused(f"{name}: {first['msg']}", do=f"correct the {name}; nothing was recorded") from None
