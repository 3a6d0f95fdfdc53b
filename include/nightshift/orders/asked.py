"""What is sent to the API server for an order or a waiver: the fields of its JSON, each checked."""

from datetime import date
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from nightshift.errors import OrderRefused
from nightshift.orders.order import Order, OrderKind


def _printable(text: str) -> str:
    if text and not text.isprintable():
        raise ValueError("it has control characters")
    return text


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
    effective_from: date | None = None
    seen: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] | None = None
    claimed: Line = ""

    def by(self, actor: str) -> Order:
        """The order of an authenticated actor."""
        return Order(self.kind, actor, self.reason, self.version, self.effective_from, self.claimed)


class AskedWaiver(BaseModel):
    """A waiver of the day ``ds`` of a source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Line
    ds: date
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
