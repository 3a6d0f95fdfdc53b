"""A finding of ``nightshift ledger verify``: what does not agree, in which place, and what to do."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "entry",  # an entry was changed, removed or put elsewhere in the chain
    "future",  # an entry was recorded at a time that has not come
    "guard",  # the table does not turn down what it must
    "tail",  # the ledger ends before a head that is kept: its end was cut, or it is an older one
    "fork",  # the ledger has another entry than the one whose head is kept
    "head",  # a head beside the lake is gone or changed
    "mlflow",  # MLflow's head is gone, changed or behind
    "manifest",  # a manifest is gone, or not the one that its commit names
    "commit",  # a table's commit is gone, or does not say what its manifest says
    "unknown",  # a manifest names a head that the ledger never had
]


@dataclass(frozen=True)
class Finding:
    """Something that does not agree; ``what`` and ``do`` are sentences without their full stops."""

    kind: Kind
    where: str
    what: str
    do: str = ""

    def __str__(self) -> str:
        done = f" What to do: {self.do}." if self.do else ""
        return f"{self.kind}: {self.where}: {self.what}.{done}"
