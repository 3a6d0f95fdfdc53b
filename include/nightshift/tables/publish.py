"""Publishing: one atomic, zero-copy, compare-and-swap commit of files that are already in place."""

import json
import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pyarrow as pa

from nightshift import storage
from nightshift.errors import NightshiftError, PublishConflict, SchemaChanged
from nightshift.lineage import Manifest, published_uri, recipe_of, sha256
from nightshift.tables.state import TableState, state
from nightshift.tables.store import require_store

log = logging.getLogger("nightshift.tables")

# Of some manifests, the days whose manifest is what the present upstream asks for.
StillWanted = Callable[[Sequence[Manifest]], Collection[str]]
# Raises an error where this process may not publish any more, such as ``Lock.confirm``.
Confirm = Callable[[], None]

_TRIES = 20
_EXPIRY = {"delta.enableExpiredLogCleanup": "false"}


@dataclass(frozen=True)
class Publication:
    """What became of the manifests: the table's version, and the days of each outcome."""

    version: int
    published: tuple[str, ...] = ()
    up_to_date: tuple[str, ...] = ()
    superseded: tuple[str, ...] = ()


def publish(
    table: str,
    schema: pa.Schema,
    manifests: Sequence[Manifest],
    still_wanted: StillWanted | None = None,
    confirm: Confirm | None = None,
) -> Publication:
    """Publishes staged partitions, at most one for each day, in one commit.

    ``outcomes`` says what becomes of each day; it is asked anew after each conflict. Whoever works behind a lock gives
    ``confirm``, which is asked last, before each commit. Raises SchemaChanged, PublishConflict, or NightshiftError
    where a manifest's file is not as it says.
    """
    check_files(table, manifests)
    require_store(table)
    for number in range(_TRIES):
        found = _prepared(table, schema)
        outcome = outcomes(found, manifests, still_wanted)
        wanted = [manifest for manifest in manifests if outcome[manifest.ds] == "publish"]
        version = found.version
        if wanted:
            for manifest in wanted:
                storage.create_json(_place(table, manifest), replace(manifest, digested=True).document())
            if confirm is not None:
                confirm()
            committed = commit(table, found.version, wanted, [manifest.ds for manifest in wanted])
            if committed is None:
                log.info("%s: another publication was first; looking again", table)
                time.sleep(0.02 * number)
                continue
            version = committed
        published, up_to_date, superseded = (
            tuple(manifest.ds for manifest in manifests if outcome[manifest.ds] == name)
            for name in ("publish", "up_to_date", "superseded")
        )
        return Publication(version, published, up_to_date, superseded)
    raise PublishConflict(
        f"other publications were first {_TRIES} times", where=table, do="clear the task once the table is quiet"
    )


def outcomes(
    found: TableState, manifests: Sequence[Manifest], still_wanted: StillWanted | None
) -> dict[str, Literal["publish", "up_to_date", "superseded"]]:
    """The outcome of each manifest's day on a state of the table.

    A day whose published fingerprint is the manifest's is up to date. One that has nothing published, and had nothing
    when the attempt was planned (``Manifest.replaces``), is published. Of all others ``still_wanted`` is asked: that a
    day is as the attempt found it proves nothing, since the upstream may have changed and gone back meanwhile.
    Without ``still_wanted`` a day is superseded where it is no longer as the attempt found it.
    """
    active = {manifest.ds: found.fingerprint(manifest.ds) for manifest in manifests}
    new = [manifest for manifest in manifests if active[manifest.ds] != manifest.fingerprint]
    wanted = {manifest.ds for manifest in new if active[manifest.ds] == manifest.replaces}
    if still_wanted is not None:
        wanted = {ds for ds in wanted if not active[ds]}
        asked = [manifest for manifest in new if manifest.ds not in wanted]
        wanted |= set(still_wanted(asked)) if asked else set()
    others = {manifest.ds for manifest in new} - wanted
    return {ds: "publish" if ds in wanted else "superseded" if ds in others else "up_to_date" for ds in active}


def refuse_overtaken(table: str, manifest: Manifest, step: str, wanted: str) -> None:
    """Raises NightshiftError where a manifest was superseded although nothing newer that is ``wanted`` is published.

    What it was made of has changed: to call the run up to date would hide that. What the attempt found published is
    no proof, since one that is used again found it long ago. ``step`` is the one that makes the attempt anew.
    """
    active = state(table).fingerprint(manifest.ds)
    if active == manifest.replaces or recipe_of(active) != wanted:
        raise NightshiftError(
            f"{manifest.dataset} of {manifest.ds}: what they are made of changed meanwhile, nothing is published",
            where=table,
            do=f"clear {step} of this run and what follows",
        )


def check_files(table: str, manifests: Sequence[Manifest]) -> None:
    """Compares the manifests with storage: a file that is gone or cut short must never be committed.

    Raises NightshiftError.
    """
    import pyarrow.parquet as pq

    for manifest in manifests:
        if not manifest.files:
            raise NightshiftError(f"the manifest of {manifest.ds} names no file", where=table)
        for file in manifest.files:
            uri = storage.join(table, file.path)
            system, path = storage.resolve(uri)
            size = system.get_file_info(path).size
            rows = pq.read_metadata(path, filesystem=system).num_rows if size == file.size else None
            if rows != file.rows:
                there = "it is not there" if size is None else f"there are {size} bytes and {rows} rows"
                raise NightshiftError(
                    f"a staged file is not as its manifest says: {file.size} bytes and {file.rows} rows, but {there}",
                    where=uri,
                    do="clear the task that builds it; it will be built again",
                )


def _prepared(table: str, schema: pa.Schema) -> TableState:
    """The table's state once it exists with the wanted columns."""
    from deltalake import DeltaTable
    from deltalake.exceptions import CommitFailedError, DeltaError

    wanted = schema.append(pa.field("ds", pa.string()))
    try:
        present = DeltaTable(table)
    except DeltaError:
        try:
            DeltaTable.create(table, wanted, mode="ignore", partition_by=["ds"], configuration=_EXPIRY)
        except DeltaError as error:
            log.info("%s: another process is creating the table (%s)", table, type(error).__name__)
        present = DeltaTable(table)
    added = _new_columns(table, pa.schema(present.schema().to_arrow()), wanted)
    if added:
        from deltalake import Schema

        try:
            present.alter.add_columns(list(Schema.from_arrow(pa.schema(added)).fields))
        except CommitFailedError:
            # Another process added columns at the same moment: what it added is compared anew.
            return _prepared(table, schema)
    return state(table)


def _new_columns(table: str, present: pa.Schema, wanted: pa.Schema) -> list[pa.Field]:
    """The columns to add. Raises SchemaChanged where one has another type than the table's, or its name in other case.

    A column that was taken out again stays in the table, and is null in what is published from now on: older days
    have its values, and the spec may name it again. The transaction itself takes any schema and would change the
    whole table without a word.
    """
    here, there = ({field.name: field.type for field in item} for item in (present, wanted))
    retyped = [
        f"{name} from {here[name]} to {there[name]}" for name in here if name in there and here[name] != there[name]
    ]
    # Delta and Spark take such a name for the one that is there, pandas and Arrow do not.
    folded = {name.casefold(): name for name in here}
    renamed = [
        f"{folded[name.casefold()]} to {name}" for name in there if name not in here and name.casefold() in folded
    ]
    flaws = {"retyped": retyped, "renamed by case alone": renamed}
    if retyped or renamed:
        raise SchemaChanged(
            "the columns differ from the table's ("
            + "; ".join(f"{what}: {', '.join(names)}" for what, names in flaws.items() if names)
            + ")",
            where=table,
            allowed="the same types and names; columns may be added and taken out",
            do="keep types and names, or raise `generation` in the spec for a new set of tables",
        )
    if gone := [name for name in here if name not in there]:
        log.info("%s: published as null, since the spec names them no more: %s", table, ", ".join(gone))
    return [field for field in wanted if field.name not in here]


def commit(table: str, version: int, manifests: Sequence[Manifest], days: Sequence[str]) -> int | None:
    """One transaction on top of the version that was looked at; None where it conflicts with another one.

    Each of ``days`` has the files of its manifest then, and none where there is no manifest of it. The manifests are
    kept already: the commit names the digest of what lies there.

    The application transaction of each day is what makes two first publications of one day conflict: without
    it Delta sees nothing to remove, and both land.
    """
    from deltalake import DeltaTable
    from deltalake.exceptions import CommitFailedError
    from deltalake.transaction import AddAction, CommitProperties, Transaction

    seen = DeltaTable(table, version=version)
    now = int(time.time()) * 1000
    # The milliseconds are the number of the day's files: ``tables.state`` sees by it whether one is gone.
    actions = [
        AddAction(
            file.path, file.size, {"ds": manifest.ds}, now + len(manifest.files) % 1000, True,
            json.dumps({"numRecords": file.rows}),
        )
        for manifest in manifests
        for file in manifest.files
    ]  # fmt: skip
    transactions = [Transaction(f"ds={day}", (seen.transaction_version(f"ds={day}") or 0) + 1) for day in days]
    try:
        seen.create_write_transaction(
            actions,
            mode="overwrite",
            schema=seen.schema(),
            partition_by=["ds"],
            partition_filters=[("ds", "in", days)],
            commit_properties=CommitProperties(
                custom_metadata={"nightshift": json.dumps(_summary(table, manifests))}, app_transactions=transactions
            ),
        )
    except CommitFailedError:
        return None
    seen.update_incremental()
    return int(seen.version())


def _summary(table: str, manifests: Sequence[Manifest]) -> dict[str, Any]:
    """What the table's own history shows of a publication."""
    return {
        manifest.ds: {
            "fingerprint": manifest.fingerprint,
            "attempt": manifest.attempt,
            "run_id": manifest.run_id,
            "sha256": sha256(storage.read_bytes(_place(table, manifest))),
        }
        for manifest in manifests
    }


def _place(table: str, manifest: Manifest) -> str:
    return published_uri(table, manifest.ds, manifest.fingerprint, manifest.attempt)
