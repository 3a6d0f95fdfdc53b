"""A day with 1, 10 and 100 times the rows: what each step costs, and whether that grows faster than the rows.

The pipeline turbines of the tests; a copy of a site is another site. Each size has landing files and a lake of its
own; all are scored by one champion, which is trained at the smallest size.
"""

import csv
import re
import shutil
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.figures import Figure, Result, Table, Target
from benchmarks.measure import BIN, PROJECT, Cost, process
from benchmarks.nights import backfilled
from benchmarks.session import Session
from tests.e2e.turbines import landing
from tests.live import Live

# What lands for the champion; the day that is measured, and the oldest day that it reads.
FIRST, AS_OF = date(2024, 3, 3), date(2024, 3, 25)
DAY, READS = date(2024, 3, 26), date(2024, 3, 19)
COPIES = 10  # of the four sites: 960 rows a day, as many as flights has
GATE = "scoring: {rows_per_shard: 1000000, deadline: 15m}"
HEADS = ("step", "cpu s x1", "x10", "x100", "wall s x1", "x10", "x100", "MB x1", "x10", "x100")


def run(session: Session) -> Result:
    """One figure: ten times the cpu of the day with a tenth of the rows is the most that is allowed."""
    live = session.live()
    _add_pipeline(live)
    root = Path(live.settings.landing) / "wind"
    session.say("landing files, first champion")
    landing.land(root.parent, FIRST, AS_OF)
    landing.land_sites(root.parent, FIRST)
    _multiply(root, COPIES)
    backfilled(live, "turbines__retrain", AS_OF)
    sizes = (1, 2, 3) if session.quick else (1, 10, 100)
    costs = [_day(session, live, size) for size in sizes]
    table = Table(
        f"A day with {96 * COPIES} rows, and with {sizes[1]} and {sizes[2]} times as many", HEADS, _rows(costs)
    )
    total, less = (sum(cost.cpu for cost in costs[at].values()) for at in (2, 1))
    figure = Figure(
        name=f"a day of {96 * COPIES * sizes[2]:,} rows, all steps",
        unit="cpu s",
        samples=(total,),
        peer=f"the day of {96 * COPIES * sizes[1]:,} rows, times {sizes[2] / sizes[1]:g}",
        peer_samples=(less * sizes[2] / sizes[1],),
        target=Target("at most", 1.0),
    )
    return Result((figure,), (table,))


def _rows(costs: list[dict[str, Cost]]) -> tuple[tuple[str | float, ...], ...]:
    def row(name: str, found: list[Iterable[Cost]]) -> tuple[str | float, ...]:
        taken = [list(one) for one in found]
        cpu, wall = ([sum(getattr(cost, what) for cost in one) for one in taken] for what in ("cpu", "wall"))
        measures = (*cpu, *wall, *(max(cost.rss for cost in one) for one in taken))
        return (name, *(round(value, 3) for value in measures))

    steps = [row(step, [[cost[step]] for cost in costs]) for step in costs[0]]
    return (*steps, row("**all**", [cost.values() for cost in costs]))


def _add_pipeline(live: Live) -> None:
    given, home = PROJECT / "tests" / "e2e" / "turbines", live.settings.home
    shutil.copy(given / "feature_module.py", home / "spark_jobs" / "features" / "turbines.py")
    spec = re.sub(r"^scoring: .*$", GATE, (given / "turbines.yaml").read_text(), flags=re.MULTILINE)
    (home / "include" / "pipelines" / "turbines.yaml").write_text(spec)


def _day(session: Session, live: Live, size: int) -> dict[str, Cost]:
    """Every step of the day as a process of its own, with so many times the rows."""
    from nightshift.steps import STEPS

    session.say(f"a day of {96 * COPIES * size:,} rows")
    folder = session.folder / f"rows-{size}"
    landing.land(folder / "landing", READS, DAY)
    landing.land_sites(folder / "landing", FIRST)
    _multiply(folder / "landing" / "wind", COPIES * size)
    environment = {
        **live.environment,
        "NIGHTSHIFT_LANDING": str(folder / "landing"),
        "NIGHTSHIFT_LAKE": str(folder / "lake"),
    }
    argv = [str(BIN / "nightshift"), "run", "turbines"]
    return {
        name: process(*argv, name, "--ds", str(DAY), "--run-id", "rows", env=environment)
        for name, step in STEPS.items()
        if step.dag == "daily"
    }


def _multiply(folder: Path, copies: int) -> None:
    """Landing files get so many copies of each site, under names of their own."""
    for path in sorted(folder.rglob("*.parquet")):
        rows = pq.read_table(path, partitioning=None)
        many = [
            rows.set_column(0, "site", pc.binary_join_element_wise(rows["site"], str(n), "-")) for n in range(copies)
        ]
        pq.write_table(pa.concat_tables(many), path)
    for path in sorted(folder.rglob("*.csv")):
        with path.open(newline="") as file:
            head, *sites = csv.reader(file, delimiter=";")
        with path.open("w", newline="") as file:
            writer = csv.writer(file, delimiter=";")
            writer.writerow(head)
            writer.writerows([f"{site}-{n}", *rest] for n in range(copies) for site, *rest in sites)
