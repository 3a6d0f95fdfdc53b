"""Every error that Nightshift raises on purpose.

::

    NightshiftError
    ├── SpecError          a pipeline's YAML or feature module is wrong          (never retried)
    ├── InputMissing       landing has not what the spec says it must have
    ├── GateFailed         a gate blocked its dataset                            (never retried)
    ├── SchemaChanged      a dataset's columns differ from its table's           (never retried)
    ├── PartitionDamaged   another program changed a published partition         (never retried)
    ├── PromotionRefused   a promotion that the rule does not allow was asked for (never retried)
    ├── ModelNotFound      no champion as of the day, or its file is gone
    ├── ModelMismatch      model, columns or code differ from the plan            (never retried)
    ├── PublishConflict    a publication lost against another one for good
    ├── LedgerCorrupt      the ledger's hash chain is broken                      (never retried)
    └── PlatformError      a component of the local platform is not as it should be

A message says what was wrong, where, what is allowed and what to do. No message carries the value of a cell.
"""

from typing import ClassVar


class NightshiftError(Exception):
    """Something that was foreseen went wrong.

    ``what`` is a sentence without its full stop; ``where``, ``allowed`` and ``do`` complete the message. ``links``
    are for people, label to URI, as an Outcome's: who raises may add the report that says more.
    """

    retryable: ClassVar[bool] = True

    def __init__(self, what: str, *, where: str = "", allowed: str = "", do: str = "") -> None:
        self.what, self.where, self.allowed, self.do = what, where, allowed, do
        self.links: dict[str, str] = {}
        parts = [f"{where}: {what}" if where else what]
        parts += [f"Allowed: {allowed}"] if allowed else []
        parts += [f"What to do: {do}"] if do else []
        super().__init__(" ".join(part if part.endswith("?") else f"{part.rstrip('.')}." for part in parts))


class SpecError(NightshiftError):
    """A pipeline's YAML or feature module is wrong; ``where`` is ``file:line``."""

    retryable = False


class InputMissing(NightshiftError):
    """Landing has not what the spec says it must have."""


class GateFailed(NightshiftError):
    """A gate blocked its dataset. ``table`` shows which expectations failed, on lines after the message."""

    retryable = False

    def __init__(self, what: str, *, where: str = "", allowed: str = "", do: str = "", table: str = "") -> None:
        super().__init__(what, where=where, allowed=allowed, do=do)
        self.table = table
        self.args = (f"{self.args[0]}\n\n{table}",) if table else self.args


class SchemaChanged(NightshiftError):
    """A column of a dataset has another type than in its table, or lacks values that its contract wants."""

    retryable = False


class PartitionDamaged(NightshiftError):
    """Another program appended, removed or rewrote rows of a published partition."""

    retryable = False
    REPAIR: ClassVar[str] = (
        "run `nightshift repair PIPELINE`, which puts back what was published; the table's history names who wrote"
    )


class PromotionRefused(NightshiftError):
    """A promotion that the rule does not allow was asked for."""

    retryable = False


class ModelNotFound(NightshiftError):
    """There is no champion as of the day, or its file is gone."""


class ModelMismatch(NightshiftError):
    """A model, its columns or its code differ from what the plan says."""

    retryable = False


class PublishConflict(NightshiftError):
    """A publication lost against another one for good."""


class LedgerCorrupt(NightshiftError):
    """The ledger's hash chain is broken; the message names the first bad entry."""

    retryable = False


class PlatformError(NightshiftError):
    """A component of the local platform is not as it should be."""


def said(line: str) -> NightshiftError:
    """The error that another process told in one line, ``Type: message``; a plain NightshiftError for other lines."""
    name, _, message = line.partition(": ")
    known: list[type[NightshiftError]] = [NightshiftError, *NightshiftError.__subclasses__()]
    kinds = {kind.__name__: kind for kind in known}
    return kinds[name](message) if message and name in kinds else NightshiftError(line or "it ended without a word")
