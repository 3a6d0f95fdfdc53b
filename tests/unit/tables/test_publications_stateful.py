"""Any order of publications, races, repairs, prunes and other programs' changes: all agree on who published a day."""

import shutil
import tempfile
from dataclasses import replace

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nightshift import storage, tables
from nightshift.lineage import Manifest, find_published, published_uri
from nightshift.publications import publications
from nightshift.tables.damage import last_publication
from nightshift.tables.prune import prune
from tests.unit.tables.test_publish import SCHEMA, staged

DAYS = st.sampled_from(("2024-02-01", "2024-02-02"))
RECIPES = st.sampled_from(("aa", "bb"))


class Publications(RuleBasedStateMachine):
    """A table of two days; ``published`` is what was published of each, as who did it remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp(prefix="nightshift-")
        self.table = storage.join(self.folder, "predictions")
        self.attempts = 10
        self.published: dict[str, Manifest] = {}
        self.changed: set[str] = set()
        self.versions: dict[int, dict[str, Manifest]] = {}

    @initialize()
    def a_day_is_there(self) -> None:
        self.publish("2024-02-01", "aa")

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def attempt(self) -> str:
        self.attempts += 1
        return str(self.attempts)

    def earlier(self) -> list[int]:
        """The versions before the present one of which all is known."""
        now = tables.state(self.table).version
        return sorted(version for version in self.versions if version < now)

    def took(self, manifest: Manifest, publication: tables.Publication) -> None:
        if manifest.ds in publication.published:
            self.published[manifest.ds] = manifest
            self.changed.discard(manifest.ds)
        if not self.changed:
            self.versions[publication.version] = dict(self.published)

    @rule(ds=DAYS, recipe=RECIPES)
    def publish(self, ds: str, recipe: str) -> None:
        """A run builds a day; one that is damaged is up to date under no recipe, and is published anew."""
        found = tables.state(self.table)
        manifest = staged(self.table, ds, recipe, self.attempt(), replaces=found.fingerprint(ds))
        self.took(manifest, tables.publish(self.table, SCHEMA, [manifest]))

    @rule(ds=DAYS, recipe=RECIPES, winner=st.booleans())
    def race(self, ds: str, recipe: str, winner: bool) -> None:
        """Two runs take the results of the same shards; both have left their manifest when one of them commits."""
        found = tables.state(self.table)
        first = staged(self.table, ds, recipe, self.attempt(), replaces=found.fingerprint(ds))
        number = self.attempt()
        second = replace(first, attempt=number, created_at=f"2024-02-02T00:00:{number:0>2}")
        for manifest in (first, second):
            uri = published_uri(self.table, ds, recipe, manifest.attempt)
            storage.create_json(uri, manifest.document())
        one, other = (second, first) if winner else (first, second)
        self.took(one, tables.publish(self.table, SCHEMA, [one]))
        self.took(other, tables.publish(self.table, SCHEMA, [other]))

    @precondition(lambda self: self.published)
    @rule(ds=DAYS)
    def another_program_appends(self, ds: str) -> None:
        rows = {"key": ["ghost"], "n": [9], "ds": [ds]}
        write_deltalake(self.table, pa.table(rows), mode="append")
        self.changed.add(ds)

    @rule(ds=DAYS)
    def another_program_removes(self, ds: str) -> None:
        there = ds in tables.state(self.table).partitions
        DeltaTable(self.table).delete(f"ds = '{ds}'")
        if there and ds in self.published:
            self.changed.add(ds)
        elif there:
            self.changed.discard(ds)

    @precondition(lambda self: self.earlier())
    @rule(data=st.data())
    def somebody_restores_a_version(self, data: st.DataObject) -> None:
        version = data.draw(st.sampled_from(self.earlier()))
        DeltaTable(self.table).restore(version)
        self.published, self.changed = dict(self.versions[version]), set()

    @rule()
    def repair(self) -> None:
        assert [item.error for item in tables.repair(self.table)] == [""] * len(self.changed)
        self.changed = set()

    @rule()
    def prune(self) -> None:
        prune(self.table, -1)

    @invariant()
    def all_agree(self) -> None:
        found = tables.state(self.table)
        assert set(tables.damaged(found)) == self.changed
        assert {ds: item.attempt for ds, item in publications(self.table).items()} == {
            ds: manifest.attempt for ds, manifest in self.published.items()
        }
        for ds, manifest in self.published.items():
            last = last_publication(self.table, ds)
            assert last is not None
            assert (last.attempt, last.fingerprint, last.files) == (
                manifest.attempt, manifest.fingerprint, manifest.files,
            )  # fmt: skip
            assert all(storage.exists(storage.join(self.table, file.path)) for file in manifest.files)
            if ds in self.changed:
                continue
            assert found.manifest(ds) == last
            assert find_published(self.table, ds, found.fingerprint(ds), found.files(ds)) == last
            assert tables.published_as(found, ds) == manifest.fingerprint


TestPublications = Publications.TestCase
TestPublications.settings = settings(
    max_examples=12, stateful_step_count=8, deadline=None, suppress_health_check=list(HealthCheck)
)
