"""The models that a pipeline's entries name, and which of them people have withdrawn. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from nightshift.registry.champions import MAKES, champion_as_of, reigns_from, timeline
from nightshift.registry.entry import Entry

_DIGITS = 8  # fewer of a SHA-256 name no model


@dataclass(frozen=True)
class Model:
    """A registered version and its model; ``as_of`` is None where no entry names its date."""

    version: str
    sha256: str
    as_of: date | None


def models(entries: Iterable[Entry]) -> list[Model]:
    """Each version with its model, whatever was decided about it.

    A version may name several models: a registered model that was deleted in MLflow counts from 1 again.
    """
    found: dict[tuple[str, str], Model] = {}
    for entry in entries:
        if entry.version and entry.model_sha256:
            name = entry.version, entry.model_sha256
            as_of = entry.as_of or (found[name].as_of if name in found else None)
            found[name] = Model(entry.version, entry.model_sha256, as_of)
    return list(found.values())


def named(entries: Iterable[Entry], name: str) -> list[Model]:
    """The models that a version names, each once; where it is none, those whose SHA-256 begins with these digits."""
    known = models(entries)
    found = [model for model in known if model.version == name]
    found = found or [model for model in known if len(name) >= _DIGITS and model.sha256.startswith(name)]
    return list({model.sha256: model for model in found}.values())


def was_promoted(entries: Iterable[Entry], model: Model) -> bool:
    """Return whether any entry ever made it champion, voided since or not."""
    return any(entry.kind in MAKES and entry.model_sha256 == model.sha256 for entry in entries)


def withdrawals(entries: Sequence[Entry]) -> dict[str, Entry]:
    """By SHA-256 the models that people have withdrawn: the rollback that took one out of force, or its retirement.

    What a rollback replaces from its date on is withdrawn: who scored then, and whoever would have scored later. A
    model that was put back since is not, unless it is retired.
    """
    found: dict[str, Entry] = {}
    for number, entry in enumerate(entries):
        if entry.kind in MAKES:
            found.pop(entry.model_sha256, None)
        if entry.kind == "rollback" and entry.effective_from is not None:
            gone = {champion.sha256 for _, champion in reigns_from(entries[:number], entry.effective_from) if champion}
            found |= dict.fromkeys(gone - {entry.model_sha256}, entry)
    retired = {entry.model_sha256: entry for entry in entries if entry.kind == "retirement" and entry.model_sha256}
    return {**found, **retired}


def champions_before(entries: Sequence[Entry], sha256: str, ds: date) -> list[Model]:
    """The models that scored before the reign of ``sha256`` around or after ``ds``, newest first, without withdrawn.

    Each is named once. Where ``sha256`` reigns nowhere from ``ds`` on there are none.
    """
    reigns = timeline(entries)
    own = [day for day, champion in reigns if champion and champion.sha256 == sha256]
    now = champion_as_of(entries, ds)
    own = [day for day in own if day >= ds or (now and now.sha256 == sha256 and day <= ds)]
    if not own:
        return []
    first = max([day for day in own if day <= ds], default=min(own))
    earlier = [champion for day, champion in reversed(reigns) if day < first and champion is not None]
    found = {
        champion.sha256: Model(champion.version, champion.sha256, champion.as_of) for champion in reversed(earlier)
    }
    gone = {sha256, *withdrawals(entries)}
    return [found[digest] for digest in dict.fromkeys(champion.sha256 for champion in earlier) if digest not in gone]
