"""Nights as they are and as they would be built now: every table, the ledger and each landing folder is read once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from nightshift import tables
from nightshift.errors import NightshiftError, PartitionDamaged
from nightshift.features.build import resolve
from nightshift.features.rebuilds import Rebuild
from nightshift.features.recipes import Dataset, Recipes
from nightshift.features.unbuilt import find_unbuilt
from nightshift.features.unlabelled import overdue, record_of
from nightshift.features.verdict import Verdict, judge
from nightshift.freshness.changes import LANDED, Freshness, State, read_changes
from nightshift.freshness.landing import landing_freshness, stopped
from nightshift.inputs.days import LandingNews, landing_news
from nightshift.inputs.for_labels import is_unseen
from nightshift.inputs.needs import Needs, daily_needs, inside
from nightshift.inputs.snapshots import newest_snapshots
from nightshift.job import Job
from nightshift.lineage import Manifest, Upstream, find_staged, libraries, library_changes, recipe_of
from nightshift.registry.champions import Champion, champion_as_of
from nightshift.registry.entry import Entry
from nightshift.registry.ledger import Ledger
from nightshift.scoring.fit import Built, as_published, model_for
from nightshift.scoring.plan import scoring_code
from nightshift.scoring.planning import predictions_fingerprint
from nightshift.settings import Settings
from nightshift.specs.calendar import label_day
from nightshift.specs.load import spec_hash
from nightshift.specs.model import Pipeline

DATASETS = ("inputs", "features", "labels", "predictions")


@dataclass(frozen=True)
class Night:
    """What the run of ``ds`` would find: its inputs, its features, the labels that mature with it, its predictions."""

    ds: str
    inputs: Freshness
    features: Freshness
    labels: Freshness
    predictions: Freshness

    @property
    def up_to_date(self) -> bool:
        """Return whether the run would publish nothing, and fail nowhere."""
        idle = ("up_to_date", "unlabelled", "outside")
        return self.inputs.state in ("up_to_date", "refused") and all(
            getattr(self, name).state in idle for name in DATASETS[1:]
        )

    def document(self) -> dict[str, Any]:
        """The night as plain data."""
        datasets = {name: getattr(self, name).document() for name in DATASETS}
        return {"ds": self.ds, "up_to_date": self.up_to_date, **datasets}


def look(
    settings: Settings,
    pipeline: Pipeline,
    days: Sequence[date],
    rebuild: Rebuild | None = None,
    *,
    verify_landing: bool = False,
) -> list[Night]:
    """The nights of some days, with ``rebuild`` as if that were ordered.

    Reads no row; of landing only files whose size or time differ are read, unless all are to be verified.

    Raises NightshiftError where the ledger or the feature module cannot be read.
    """
    if not days:
        return []
    job = Job(settings, pipeline, days[0], verify_landing=verify_landing)
    needs = _needs(job, days)
    news = {
        name: landing_news(job, name, sorted({day for item in needs.values() for day in item.days(name)}))
        for name in pipeline.inputs
    }
    recipes = _as_landed(resolve(job), {name: found.coming for name, found in news.items()})
    recipes = replace(recipes, rebuilds=(*recipes.rebuilds, rebuild)) if rebuild else recipes
    found = _Look(job, recipes, news, Ledger.of(settings).entries(pipeline.name))
    return [found.night(ds, needs[ds]) for ds in days]


def _needs(job: Job, days: Sequence[date]) -> dict[date, Needs]:
    newest = newest_snapshots(job, {})
    return {ds: daily_needs(job.pipeline, ds, newest) for ds in days}


def _as_landed(recipes: Recipes, landed: Mapping[str, Mapping[str, str]]) -> Recipes:
    """The recipes as they will be once ``gate_inputs`` has published what landed."""
    sources = {}
    for name, state in recipes.sources.items():
        coming = {day: tables.Partition(day, LANDED, ()) for day in landed[name]}
        sources[name] = replace(state, partitions={**state.partitions, **coming})
    return replace(recipes, sources=sources)


class _Look:
    """One look at a pipeline's tables."""

    def __init__(self, job: Job, recipes: Recipes, news: Mapping[str, LandingNews], entries: Sequence[Entry]) -> None:
        self.job, self.recipes, self.news, self.entries = job, recipes, news, entries
        self.landed = {name: found.coming for name, found in news.items()}
        self.states = {name: tables.state(job.table(name)) for name in ("features", "labels", "predictions")}
        self.code = scoring_code()

    def night(self, ds: date, needs: Needs) -> Night:
        due, states = label_day(self.job.pipeline, ds), self.states
        verdict = stopped(self.job, ds, needs, self.news, self.recipes.sources) or judge(
            self.recipes, "features", ds, states["features"]
        )
        labels = judge(self.recipes, "labels", due, states["labels"])
        features = self._unbuilt("features", self._built("features", ds, verdict), verdict)
        return Night(
            ds.isoformat(),
            landing_freshness(ds, needs, self.news),
            features,
            self._unbuilt("labels", self._built("labels", due, labels), labels),
            self._predictions(ds, verdict, features),
        )

    def _built(self, dataset: Dataset, ds: date, verdict: Verdict) -> Freshness:
        day = ds.isoformat()
        if not inside(self.job.pipeline, ds):
            return Freshness(day, "outside")
        if verdict.state == "missing" and verdict.error:
            return self._lacking(dataset, ds, verdict, verdict.error.what)
        if verdict.state == "up_to_date":
            return Freshness(day, "up_to_date")
        if damage := self.states[dataset].damage(day):
            state: State = "damaged" if verdict.state == "damaged" else "stale"
            return Freshness(day, state, (f"changed by another program: {damage}",))
        if not self.states[dataset].fingerprint(day):
            return self._new(dataset, day)
        rebuild = self.recipes.rebuild(dataset, ds)
        return Freshness(day, "stale", tuple(self._built_otherwise(dataset, day, verdict.reads, rebuild)))

    def _unbuilt(self, dataset: Dataset, found: Freshness, verdict: Verdict) -> Freshness:
        """With the failure of the Spark job that tried to build just this, if there is one: the next may fail, too."""
        table = self.job.table(dataset)
        if found.state not in ("new", "stale") or find_staged(table, found.ds, verdict.fingerprint):
            return found
        left = find_unbuilt(table, found.ds, verdict.fingerprint)
        return replace(found, changes=(*found.changes, f"{left.why} (run {left.run_id})")) if left else found

    def _lacking(self, dataset: Dataset, ds: date, verdict: Verdict, why: str) -> Freshness:
        """A day that waits; one of labels may be waited for no more, or be recorded as that by its next run."""
        never = dataset == "labels" and verdict.lacks_deliveries
        found = record_of(self.job.settings, self.job.pipeline, ds) if never else None
        if found is not None:
            return Freshness(ds.isoformat(), "unlabelled", (found.words,))
        if never and overdue(self.job.pipeline, ds, datetime.now(UTC)):
            records = "the next run of their night records the day as unlabelled"
            why = f"{why}; {'a source cannot be looked at' if is_unseen(self.job, ds) else records}"
        return Freshness(ds.isoformat(), "waits", (why,))

    def _built_otherwise(
        self, dataset: Dataset, day: str, reads: Mapping[str, Upstream], rebuild: Rebuild | None
    ) -> list[str]:
        manifest = self._manifest(dataset, day)
        if manifest is None:
            return ["its manifest is gone: what it was made of is unknown"]
        read = {name.removeprefix("inputs/"): upstream for name, upstream in manifest.upstream.items()}
        changes = read_changes(read, reads, self.landed)
        if rebuild and rebuild.id != manifest.rebuild:
            changes.append(rebuild.words)
        if manifest.rebuild and not rebuild:
            changes.append("the rebuild that it was built for was withdrawn")
        made = self.recipes.fingerprint(dataset, read, manifest.rebuild, manifest.fingerprint)
        if made != recipe_of(manifest.fingerprint):
            # The spec's hash is of the whole file: where it differs, the code may have changed as well.
            same = manifest.spec_hash == spec_hash(self.job.pipeline)
            changes.append(f"{dataset} code" if same else f"spec or {dataset} code")
        # They make no day stale; where one is built again for another reason, its rows may differ for theirs.
        return [*changes, *library_changes(manifest.libraries, libraries())]

    def _predictions(self, ds: date, verdict: Verdict, features: Freshness) -> Freshness:
        day, state = ds.isoformat(), self.states["predictions"]
        if features.state == "outside":
            return Freshness(day, "outside")
        champion = champion_as_of(self.entries, ds)
        if champion is None or verdict.error is not None:
            return Freshness(day, "waits", ("its features" if champion else "no champion as of this day",))
        if why := self._refusal(day, champion, verdict):
            return Freshness(day, "refused", (why,))
        if not state.fingerprint(day):
            return self._new("predictions", day)
        built = self.states["features"].fingerprint(day)
        wanted = predictions_fingerprint(built, champion.sha256, self.code, tables.published_as(state, day))
        changes = [] if features.state == "up_to_date" else ["features"]
        if damage := state.damage(day):
            return self._damaged("predictions", day, "" if changes else wanted, damage)
        if recipe_of(state.fingerprint(day)) != wanted:
            changes += self._scored_otherwise(day, built, champion.sha256, champion.version)
        # A set of names: features that are stale and were republished are one change.
        return Freshness(day, "stale" if changes else "up_to_date", tuple(dict.fromkeys(changes)))

    def _refusal(self, day: str, champion: Champion, verdict: Verdict) -> str:
        """Why ``plan_scoring`` would refuse the day once its features are built as they are wanted; empty if not."""
        try:
            built = Built(day, verdict.reads, verdict.rebuild, verdict.fingerprint)
            if verdict.state == "up_to_date":
                built = as_published(self.states["features"], day)
            model_for(self.job.settings, self.job.pipeline, champion, built)
        except NightshiftError as error:
            return error.what
        return ""

    def _new(self, dataset: str, day: str) -> Freshness:
        """A day of which there is nothing: it was never published, or another program removed it."""
        if damage := tables.damage_of(self.states[dataset], day):
            return Freshness(day, "damaged", (f"changed by another program: {damage}",))
        return Freshness(day, "new")

    def _damaged(self, dataset: str, day: str, wanted: str, damage: str) -> Freshness:
        """A day that another program changed: refused, unless it is stale and so is published anew as a whole."""
        try:
            tables.refuse_damaged(self.states[dataset], day, wanted)
        except PartitionDamaged:
            return Freshness(day, "damaged", (f"changed by another program: {damage}",))
        return Freshness(day, "stale", (f"changed by another program: {damage}",))

    def _scored_otherwise(self, day: str, features: str, sha256: str, version: str) -> list[str]:
        manifest = self._manifest("predictions", day)
        if manifest is None:
            return ["its manifest is gone: what it was made of is unknown"]
        read = manifest.upstream["features"].days[day]
        changes = ["features"] * (read != features)
        if manifest.model_sha256 != sha256:
            changes.append(f"champion (model {manifest.model_sha256[:16]}, now version {version}, {sha256[:16]})")
        made = predictions_fingerprint(read, manifest.model_sha256, self.code, manifest.fingerprint)
        if made != recipe_of(manifest.fingerprint):
            changes.append("scoring code")
        return changes

    def _manifest(self, dataset: str, day: str) -> Manifest | None:
        return self.states[dataset].manifest(day)
