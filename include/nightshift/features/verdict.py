"""What is to be done of a day of features or labels: one decision, which the build follows and dry runs repeat."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from nightshift.errors import InputMissing, PartitionDamaged, SourceUnseen
from nightshift.features.recipes import Dataset, Recipes, order_id
from nightshift.lineage import Upstream, recipe_of
from nightshift.tables import TableState, published_as, refuse_damaged


@dataclass(frozen=True)
class Verdict:
    """``build`` the day, or it is ``up_to_date``, ``missing`` what it reads, ``damaged``; ``error`` says the last two.

    ``fingerprint`` is the recipe that the day should have, ``reads`` and ``rebuild`` what it is made of.
    """

    state: Literal["build", "up_to_date", "missing", "damaged"]
    fingerprint: str = ""
    reads: Mapping[str, Upstream] = field(default_factory=dict)
    rebuild: str = ""
    error: InputMissing | PartitionDamaged | None = None

    @property
    def lacks_deliveries(self) -> bool:
        """Return whether deliveries are not published that the day reads, and a repair of tables would not help."""
        if self.state != "missing" or self.error is None or isinstance(self.error, SourceUnseen):
            return False
        return self.error.do != PartitionDamaged.REPAIR


def judge(recipes: Recipes, dataset: Dataset, ds: date, published: TableState) -> Verdict:
    """The verdict on a day, by the present recipes and what is published of it."""
    day = ds.isoformat()
    try:
        reads = recipes.reads(dataset, ds)
    except InputMissing as error:
        return Verdict("missing", error=error)
    rebuild = order_id(recipes.rebuild(dataset, ds))
    fingerprint = recipes.fingerprint(dataset, reads, rebuild, published_as(published, day))
    if recipe_of(published.fingerprint(day)) == fingerprint:
        return Verdict("up_to_date", fingerprint, reads, rebuild)
    try:
        refuse_damaged(published, day, fingerprint)
    except PartitionDamaged as error:
        return Verdict("damaged", fingerprint, reads, rebuild, error)
    return Verdict("build", fingerprint, reads, rebuild)
