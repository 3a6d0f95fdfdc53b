"""What is published of a pipeline's day, read from the tables and the manifests beside them."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

from nightshift import storage, tables
from nightshift.inputs.days import landing_changes
from nightshift.job import Job, table_uri
from nightshift.lineage import GateSummary, Upstream
from nightshift.scoring.coverage import shortfall
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline


@dataclass(frozen=True)
class Published:
    """One published partition. Fields of its manifest are empty where that is gone; ``quarantined`` counts rows.

    ``damage`` says what another program did to it, empty where nobody did: one that it removed has neither rows nor
    fingerprint. ``known``: see ``Manifest``.
    """

    dataset: str
    ds: str
    uri: str
    version: int
    fingerprint: str
    rows: int
    quarantined: int = 0
    gate: GateSummary | None = None
    model_sha256: str = ""
    run_id: str = ""
    attempt: str = ""
    created_at: str = ""
    code_version: str = ""
    libraries: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    upstream: dict[str, Upstream] = field(default_factory=dict)
    damage: str = ""
    known: str = ""

    @property
    def shortfall(self) -> str:
        """The rows that predictions lack of those that landed for them; empty of any other dataset."""
        return shortfall(self.rows, self.counts) if self.dataset == "predictions" else ""

    def document(self) -> dict[str, Any]:
        """The partition as plain data."""
        return {**asdict(self), "shortfall": self.shortfall}


def datasets(pipeline: Pipeline) -> list[str]:
    """The names of the datasets that a night publishes, in its order; each may have a quarantine beside it."""
    return [*(f"inputs/{name}" for name in pipeline.inputs), "features", "labels", "predictions", "monitoring"]


def published(settings: Settings, pipeline: Pipeline, ds: date) -> list[Published]:
    """The partitions of ``ds`` that are published (of a snapshot: the newest one that ``ds`` may read)."""
    found = (_published(settings, pipeline, dataset, ds) for dataset in datasets(pipeline))
    return [partition for partition in found if partition is not None]


def kept_aside(settings: Settings, pipeline: Pipeline, ds: date, found: Sequence[Published]) -> Iterator[str]:
    """A line for each source whose landing files are not what is published of ``ds``: refused by the gate, or not seen.

    Of a snapshot the day that is published is looked at.
    """
    job, here = Job(settings, pipeline, ds), {item.dataset: item for item in found}
    for name, source in pipeline.inputs.items():
        item = here.get(f"inputs/{name}")
        if item is None and source.snapshot:
            continue
        day = item.ds if item else ds.isoformat()
        for why in landing_changes(job, name, [date.fromisoformat(day)]).values():
            page = _refused(settings, pipeline, f"inputs/{name}", day, item)
            state = f"the gate refused the last ones that it saw: {page}" if page else "no gate has seen them yet"
            yield f"inputs/{name} of {day}: the landing files ({why}) are not published, {state}"


def _refused(settings: Settings, pipeline: Pipeline, dataset: str, day: str, item: Published | None) -> str:
    """The page of the newest report that blocked other files than the published ones, after these were published."""
    folder = storage.join(settings.reports, pipeline.name, dataset, f"ds={day}")
    reports = {
        file.uri: storage.read_json(file.uri) for file in storage.list_files(folder) if file.uri.endswith("json")
    }
    since, published = (item.created_at, item.fingerprint) if item else ("", "")
    blocked = [
        (report["created_at"], uri)
        for uri, report in reports.items()
        if report["status"] == "blocked" and report["created_at"] >= since and report["fingerprint"] != published
    ]
    return f"{max(blocked)[1].removesuffix('.json')}.html" if blocked else ""


def _published(settings: Settings, pipeline: Pipeline, dataset: str, ds: date) -> Published | None:
    uri = table_uri(settings, pipeline, dataset)
    state = tables.state(uri)
    day = ds.isoformat()
    if dataset.startswith("inputs/") and pipeline.inputs[dataset.removeprefix("inputs/")].snapshot:
        source = pipeline.inputs[dataset.removeprefix("inputs/")]
        day = str(source.newest_snapshot(map(date.fromisoformat, state.partitions), ds) or day)
    partition, damage = state.partitions.get(day), tables.damage_of(state, day)
    if partition is None:
        return Published(dataset, day, uri, state.version, "", 0, damage=damage) if damage else None
    beside = tables.state(table_uri(settings, pipeline, f"quarantine/{dataset}"))
    quarantine = beside.partitions.get(day)
    # The quarantine of a publication that never came, or that was replaced, has another fingerprint.
    counts = beside.fingerprint(day) == partition.fingerprint
    found = Published(
        dataset=dataset,
        ds=day,
        uri=uri,
        version=state.version,
        fingerprint=state.fingerprint(day),
        rows=partition.rows,
        quarantined=quarantine.rows if quarantine is not None and counts else 0,
        damage=damage,
    )
    manifest = state.manifest(day)
    if manifest is None:
        return found
    fields = ("known", "gate", "model_sha256", "run_id", "attempt", "created_at", "code_version", "counts", "upstream",
              "libraries")  # fmt: skip
    return Published(**{**vars(found), **{name: getattr(manifest, name) for name in fields}})
