"""All places that know of the past, asked and compared: the ledger, heads beside the lake, MLflow, tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from nightshift import storage
from nightshift.errors import LedgerCorrupt, NightshiftError
from nightshift.finding import Finding
from nightshift.registry import compared, mlflow
from nightshift.registry.compared import Chain
from nightshift.registry.entry import Entry
from nightshift.registry.heads import Head, Kept, kept
from nightshift.registry.ledger import Ledger
from nightshift.settings import Settings
from nightshift.tables.commits import Compared, compare, cut_logs
from nightshift.tables.prune import table_roots

_ON_ITS_WAY = timedelta(seconds=10)


@dataclass(frozen=True)
class Places:
    """What was read in each place. None: it could not be asked, and ``unasked`` says why."""

    kept: Kept | None
    models: dict[str, str] | None
    unasked: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verified:
    """The outcome: the ledger's chain, what was read elsewhere, and what does not agree."""

    env: str
    chain: Chain
    places: Places
    tables: tuple[Compared, ...]
    future: tuple[Entry, ...]
    findings: tuple[Finding, ...]

    @property
    def head(self) -> str:
        """The hash of the newest entry that is good."""
        return self.chain.entries[-1].hash if self.chain.entries else ""


def verify(settings: Settings) -> Verified:
    """Compares the ledger with every place that knows of it. Raises PlatformError where the database is away.

    Another place that is away is named in ``unasked``. Reads every manifest and commit, changes nothing.
    """
    ledger = Ledger.of(settings)
    flaws = ledger.flaws()  # without a ledger there is nothing to compare, and nothing to read for long
    tables = tuple(map(compare, tables_of(settings)))
    for _ in range(2):
        places = look(settings)
        chain, findings = _walked(ledger)
        apart = list(_elsewhere(settings, chain, places))
        if not apart or not _is_new(chain):  # of a new entry the head may have been on its way
            break
    findings += flaws
    future = () if chain.broken else tuple(ledger.of_the_future(chain.entries))
    for entry in future:
        what = f"entry {entry.seq} of {entry.pipeline} is of the future: "
        what += f"recorded at {entry.recorded_at:%Y-%m-%d %H:%M} UTC"
        what += f", effective from {entry.effective_from}" if entry.effective_from else ""
        findings.append(Finding("future", f"ledger of {ledger.env}", what))
    heads = {digest: place for table in tables for digest, place in table.heads.items()}
    findings += [*apart, *compared.in_manifests(chain, heads)]
    findings += [finding for table in tables for finding in table.findings]
    findings += cut_logs(tables)
    return Verified(settings.env, chain, places, tables, future, tuple(findings))


def look(settings: Settings) -> Places:
    """The heads that are kept beside the lake and in MLflow."""
    unasked: list[str] = []
    heads: Kept | None = None
    models: dict[str, str] | None = None
    try:
        heads = kept(Ledger.of(settings).place)
    except (OSError, ValueError) as error:
        unasked.append(f"the heads beside the lake: {settings.heads} cannot be read ({type(error).__name__})")
    try:
        models = mlflow.heads(settings)
    except NightshiftError as error:
        unasked.append(f"MLflow: {error.what}")
    return Places(heads, models, tuple(unasked))


def unknown_to(entries: Sequence[Entry], found: Verified) -> dict[str, list[str]]:
    """The hashes that ``found`` knows from anywhere and these entries do not have, by place."""
    here = {entry.hash for entry in entries}
    tags = (Head.read(tag.partition(" ")[2]) for tag in (found.places.models or {}).values())
    by = {
        "heads": [head.hash for head in found.places.kept.heads] if found.places.kept else [],
        "mlflow": [head.hash for head in tags if head],
        "manifests": [digest for table in found.tables for digest in table.heads],
        "ledger": [entry.hash for entry in found.chain.entries],
    }
    return {
        place: left for place, hashes in by.items() if (left := [digest for digest in hashes if digest not in here])
    }


def tables_of(settings: Settings) -> list[str]:
    """Every table of the environment, also of pipelines whose specs are gone."""
    names = [name for name in storage.list_folders(settings.tables) if not name.startswith(("_", "env="))]
    return [root for name in names for root in table_roots(storage.join(settings.tables, name))]


def _is_new(chain: Chain) -> bool:
    return bool(chain.entries) and datetime.now(UTC) - chain.entries[-1].recorded_at < _ON_ITS_WAY


def _walked(ledger: Ledger) -> tuple[Chain, list[Finding]]:
    entries: list[Entry] = []
    try:
        for entry in ledger.walk():
            entries.append(entry)
    except LedgerCorrupt as error:
        return Chain(entries, broken=True), [Finding("entry", error.where, error.what, error.do.rstrip("."))]
    return Chain(entries), []


def _elsewhere(settings: Settings, chain: Chain, places: Places) -> list[Finding]:
    found: list[Finding] = []
    if places.kept is not None:
        found += compared.beside(chain, places.kept)
    if places.models is not None:
        env = settings.env
        pipelines = {entry.pipeline for entry in chain.entries if entry.kind != "restore"}
        names = {name: mlflow.registered_name(settings, name) for name in pipelines}
        ours = {name: tag for name, tag in places.models.items() if name in names.values() or tag.startswith(f"{env} ")}
        found += compared.in_mlflow(chain, env, ours, names)
    return found
