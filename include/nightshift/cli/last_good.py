"""The last day before another one that was scored, and what has changed since."""

from collections.abc import Iterator
from datetime import date

from nightshift import tables
from nightshift.errors import InputMissing, NightshiftError
from nightshift.features.build import resolve
from nightshift.features.recipes import Recipes
from nightshift.features.serving import differs
from nightshift.job import Job, table_uri
from nightshift.lineage import Manifest, code_version, libraries, library_changes
from nightshift.model_manifest import read_manifest
from nightshift.registry.champions import champion_as_of
from nightshift.registry.ledger import Ledger
from nightshift.settings import Settings
from nightshift.specs.load import spec_hash
from nightshift.specs.model import Pipeline


def last_good_day(settings: Settings, pipeline: Pipeline, ds: date) -> str | None:
    """The newest day before ``ds`` of which something is scored; None where there is none."""
    scored = tables.state(table_uri(settings, pipeline, "predictions")).partitions
    return max((day for day, item in scored.items() if day < ds.isoformat() and item.rows), default=None)


def since_last_good(settings: Settings, pipeline: Pipeline, ds: date) -> Iterator[str]:
    """The differences of ``ds``, run now, from the last good day: inputs, code, spec, model; a line each."""
    good = last_good_day(settings, pipeline, ds)
    if good is None:
        yield f"no day before {ds} has predictions"
        return
    job = Job(settings, pipeline, ds)
    predictions = _manifest(job, "predictions", good)
    if predictions is None:
        yield f"since {good}: unknown, its manifest is gone"
        return
    yield f"the last good day is {good}"
    recipes = resolve(job)
    yield from _code_and_spec(job, predictions)
    yield from _model(job, predictions)
    yield from _inputs(job, recipes, date.fromisoformat(good))


def _code_and_spec(job: Job, good: Manifest) -> Iterator[str]:
    """Whether scoring would take the model of the good day's predictions now: their features had its code and spec."""
    here = code_version(job.settings.home)
    commits = f" (code {good.code_version} then, {here} now)" if good.code_version != here else ""
    try:
        what = differs(job.settings, job.pipeline, read_manifest(job.settings.models, good.model_sha256))
    except NightshiftError as error:
        yield f"feature code and spec: not known, {error.what}{commits}"
    else:
        yield f"feature code and spec: {f'changed, {what}' if what else 'as then'}{commits}"
    if changes := library_changes(good.libraries, libraries()):
        yield f"libraries, which make nothing stale: {', '.join(changes)}"
    if good.spec_hash != spec_hash(job.pipeline):
        yield "the pipeline's YAML: changed"


def _model(job: Job, good: Manifest) -> Iterator[str]:
    try:
        champion = champion_as_of(Ledger.of(job.settings).entries(job.pipeline.name), job.ds)
    except NightshiftError as error:
        yield f"model: not known ({error.what})"
        return
    if champion is None:
        yield f"model: {good.model_sha256[:16]} then, no champion as of {job.day}"
    elif champion.sha256 != good.model_sha256:
        yield f"model: {good.model_sha256[:16]} then, version {champion.version} ({champion.sha256[:16]}) now"
    else:
        yield f"model: as then (version {champion.version})"


def _inputs(job: Job, recipes: Recipes, good: date) -> Iterator[str]:
    """The rows of the newest day that features read of each source, then and now."""
    for name, source in job.pipeline.feature_inputs.items():
        state = recipes.sources[name]
        if source.snapshot:
            known = list(map(date.fromisoformat, state.partitions))
            days = [str(source.newest_snapshot(known, ds) or "") for ds in (good, job.ds)]
        else:
            days = [source.feature_days(ds)[-1].isoformat() for ds in (good, job.ds)]
        then, now = (_rows(job, state, day) for day in days)
        yield f"{name}: {now}; then {then}" if days[0] != days[1] else f"{name}: as then ({now})"
    try:
        recipes.reads("features", job.ds)
    except InputMissing as error:
        yield error.what


def _rows(job: Job, state: tables.TableState, day: str) -> str:
    if day not in state.partitions:
        return f"{day} is not published" if day else "no snapshot"
    manifest = state.manifest(day)
    gone = manifest.counts.get("quarantined", 0) if manifest else 0
    return f"{day} has {state.partitions[day].rows} rows" + (f" and {gone} in quarantine" if gone else "")


def _manifest(job: Job, dataset: str, day: str) -> Manifest | None:
    return tables.state(job.table(dataset)).manifest(day)
