"""Days that a Spark job could not build: each leaves a document beside what is staged, for the run that wants the day.

So the job's other days go on, and the run of such a day fails with the error of its own day, without Spark.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from nightshift import errors, storage
from nightshift.errors import NightshiftError
from nightshift.lineage import Manifest

_DO = "correct the module or its sources"


@dataclass(frozen=True)
class Unbuilt:
    """A day of a dataset that could not be built, and the error's kind and words.

    ``attempt`` and ``run_id`` are those of the job that found it. ``told`` are the runs that failed with it: each does
    so once, and builds the day when it is tried again.
    """

    dataset: str
    ds: str
    fingerprint: str
    attempt: str
    run_id: str
    kind: str
    what: str
    where: str
    allowed: str
    do: str
    told: tuple[str, ...] = ()

    @classmethod
    def of(cls, manifest: Manifest, error: NightshiftError) -> "Unbuilt":
        """The failure of a day whose staged manifest would have been this one."""
        return cls(
            manifest.dataset,
            manifest.ds,
            manifest.fingerprint,
            manifest.attempt,
            manifest.run_id,
            type(error).__name__,
            error.what,
            error.where,
            error.allowed,
            error.do,
        )

    @property
    def why(self) -> str:
        """The error in a line."""
        return f"cannot be built: {f'{self.where}: ' if self.where else ''}{self.what}"

    def error(self, run_id: str) -> NightshiftError:
        """The error as the run ``run_id`` raises it."""
        do = self.do or _DO
        if run_id != self.run_id:
            do += f"; the job of run {self.run_id} found it: clear build_features of this run to build the day again"
        what = f"{self.dataset} of {self.ds} cannot be built: {self.what}"
        return _kind(self)(what, where=self.where, allowed=self.allowed, do=do)


def _kind(item: Unbuilt) -> type[NightshiftError]:
    kind = getattr(errors, item.kind, NightshiftError)
    return kind if issubclass(kind, NightshiftError) else NightshiftError


def together(found: Sequence[Unbuilt], days: Mapping[str, int]) -> NightshiftError:
    """One error for the days of a job that could not be built; ``days`` says how many it had of each dataset.

    It names every day, and each cause once. Of a job of one day it is that day's own.
    """
    causes: dict[tuple[str, str, str, str, str], list[str]] = {}
    for item in found:
        causes.setdefault((item.dataset, item.where, item.what, item.allowed, item.do), []).append(item.ds)
    kinds = {_kind(item) for item in found}
    kind = kinds.pop() if len(kinds) == 1 else NightshiftError
    if len(causes) == 1:
        [((dataset, where, what, allowed, do), failed)] = causes.items()
        if days[dataset] > 1:
            what = f"{_of(failed, days, dataset)} cannot be built: {what}"
        return kind(what, where=where, allowed=allowed, do=do)
    words = [f"{_of(failed, days, dataset)}: {where}: {what}" for (dataset, where, what, *_), failed in causes.items()]
    return kind(f"days cannot be built: {'; '.join(words)}", do=_DO)


def _of(failed: Sequence[str], days: Mapping[str, int], dataset: str) -> str:
    return f"{len(failed)} of {days[dataset]} days of {dataset} ({', '.join(failed)})"


def leave_unbuilt(table: str, item: Unbuilt) -> None:
    """Leaves a day's failure for the runs that want the day."""
    storage.write_json(_uri(table, item.ds, item.fingerprint), asdict(item))


def forget_unbuilt(table: str, ds: str, fingerprint: str) -> None:
    """Takes away the failure of a day that is published: it could be built after all."""
    storage.delete(_uri(table, ds, fingerprint))


def tell(table: str, item: Unbuilt, run_id: str) -> NightshiftError:
    """The error of a day for a run, which builds the day itself when it is tried again."""
    if run_id not in (item.run_id, *item.told):
        leave_unbuilt(table, replace(item, told=(*item.told, run_id)))
    return item.error(run_id)


def find_unbuilt(table: str, ds: str, fingerprint: str) -> Unbuilt | None:
    """The newest failure of a day's recipe, if there is one."""
    try:
        return _read(_uri(table, ds, fingerprint))
    except FileNotFoundError:
        return None


def any_unbuilt(table: str, ds: str) -> Unbuilt | None:
    """The newest failure of any recipe of a day, if there is one."""
    files = storage.list_files(storage.join(table, "_unbuilt", f"ds={ds}"))
    return _read(max(files, key=lambda file: file.mtime_ns).uri) if files else None


def _read(uri: str) -> Unbuilt:
    document: dict[str, Any] = storage.read_json(uri)
    return Unbuilt(**{**document, "told": tuple(document["told"])})


def _uri(table: str, ds: str, fingerprint: str) -> str:
    return storage.join(table, "_unbuilt", f"ds={ds}", f"{fingerprint}.json")
