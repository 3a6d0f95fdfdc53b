"""The use cases of a retrain: from the window's published days to a ledger entry.

A window with too few days ends in a recorded refusal, not in a failure: ``training_set`` leaves the reason, the steps
between have nothing to do, and ``promote`` writes it to the ledger.
"""

import logging
from dataclasses import asdict, replace
from datetime import UTC, datetime

from nightshift import metrics as statsd
from nightshift.database import advisory_lock
from nightshift.errors import NightshiftError
from nightshift.features.recipes import code_of, feature_spec
from nightshift.gates.run import enforce
from nightshift.job import Job, Outcome, Status
from nightshift.model_manifest import ModelManifest, read_manifest
from nightshift.registry import mlflow
from nightshift.registry.champions import Champion, alias_target
from nightshift.registry.decisions import Recorded, Verdict, record_decision
from nightshift.registry.entry import Entry
from nightshift.registry.ledger import Ledger
from nightshift.registry.promotion import refused
from nightshift.specs.calendar import training_days
from nightshift.tables import state
from nightshift.training import training_set as sets
from nightshift.training.challenger import trained
from nightshift.training.comparison import predict_holdout
from nightshift.training.evidence import Evidence, gather
from nightshift.training.gate import audited, unfit
from nightshift.training.record import record
from nightshift.training.training_set import TrainingSet

log = logging.getLogger("nightshift.training")

# How often a decision is offered to the ledger, each time with the champion of that moment.
_TRIES = 3
_SUPERSEDED = f"superseded: the champion changed {_TRIES} times while the challenger was compared with it"


def training_set(job: Job) -> Outcome:
    """Pin the table versions, and the days of the window that have features and labels; refuse too few of them."""
    pipeline = job.pipeline
    window = [day.isoformat() for day in training_days(pipeline, job.ds)]
    gated = job.left("gate_window")
    left_out = {day: why for why in ("missing", "blocked") for day in gated.get(why, ())}
    features, labels = state(job.table("features")), state(job.table("labels"))
    days, without = sets.select(window, features, labels, left_out)
    rows = TrainingSet(
        pipeline=pipeline.name,
        as_of=job.day,
        features_table=features.uri,
        features_version=features.version,
        labels_table=labels.uri,
        labels_version=labels.version,
        feature_code=code_of(job.settings.home, pipeline)["features"],
        feature_spec=feature_spec(pipeline),
        days=days,
        left_out=without,
    )
    bad = unfit(job, rows)
    for day, why in bad.items():
        log.warning("%s of %s is left out: %s", pipeline.name, day, why)
    days = tuple(day for day in days if day.ds not in bad)
    rows = replace(rows, days=days, left_out={**without, **bad})
    reason = sets.refusal(pipeline, days, [*gated.get("blocked", ()), *bad])
    job.leave("training_set", {"refused": reason, "training_set": rows.document()})
    counts = {"days": float(len(days)), "left_out": float(len(rows.left_out)), "rows": float(rows.rows)}
    if reason:
        return Outcome("training_set", job.day, "nothing", f"no training as of {job.day}: {reason}", counts)
    message = (
        f"training set {rows.fingerprint}: {len(days)} days from {days[0].ds} to {days[-1].ds}, {rows.rows} rows; "
        f"{len(rows.left_out)} days left out"
    )
    return Outcome("training_set", job.day, "done", message, counts)


def gate_training(job: Job) -> Outcome:
    """Audit the joined rows. Raises GateFailed where the gate blocks."""
    rows = _training_set(job)
    if rows is None:
        return _nothing(job, "gate_training")
    gated = audited(job, rows)
    enforce(gated.report, gated.page)
    report = gated.report
    counts = {"rows": float(report.rows), "warnings": float(len(report.failed))}
    message = f"{report.rows} rows, gate {report.status}: {len(report.results)} expectations"
    return Outcome("gate_training", job.day, "done", message, counts, {"gate report": gated.page})


def train(job: Job) -> Outcome:
    """Train the challenger, unless its recipe is known."""
    rows = _training_set(job)
    if rows is None:
        return _nothing(job, "train")
    challenger = trained(job, rows)
    manifest = challenger.manifest
    job.leave("train", {"sha256": manifest.sha256, "fingerprint": manifest.fingerprint, "known": challenger.known})
    status: Status = "up_to_date" if challenger.known else "done"
    verb = "was trained before" if challenger.known else f"trained, {manifest.rounds} rounds"
    message = f"model {manifest.sha256[:16]} with recipe {manifest.fingerprint} {verb}"
    return Outcome("train", job.day, status, message, {"rounds": float(manifest.rounds)})


def evaluate_and_register(job: Job) -> Outcome:
    """Evaluate the challenger and the baseline on the holdout; register the version, unless it is registered."""
    rows = _training_set(job)
    if rows is None:
        return _nothing(job, "evaluate_and_register")
    manifest, name = _challenger(job), job.pipeline.name
    found = mlflow.find_version(job.settings, name, manifest.fingerprint)
    status: Status = "up_to_date" if found else "done"
    if found is None:
        # Built outside the lock: it reads the holdout and draws.
        shown = record(job, rows, manifest, predict_holdout(job, rows, manifest))
        with advisory_lock(job.settings, f"register {name}"):
            found = mlflow.register(job.settings, name, shown)
    job.leave("evaluate_and_register", asdict(found))
    verb = "is registered already as" if status == "up_to_date" else "registered as"
    message = f"model {manifest.sha256[:16]} {verb} version {found.version} of {name}"
    return Outcome("evaluate_and_register", job.day, status, message, links={"MLflow run": found.url})


def decide(job: Job) -> Outcome:
    """Compare challenger, baseline and the champion that a promotion would replace on the same holdout, by the rule.

    Raises PromotionRefused where the as-of date has not come yet.
    """
    rows = _training_set(job)
    if rows is None:
        job.leave("decide", Evidence(refused(job.left("training_set")["refused"])).document())
        return _nothing(job, "decide")
    evidence = gather(job, rows, _challenger(job), job.left("evaluate_and_register")["version"])
    job.leave("decide", evidence.document())
    decision = evidence.decision
    verdict = "to be promoted" if decision.promote else "refused"
    message = f"version {evidence.version} as of {job.day} is {verdict}: {decision.reason}"
    return Outcome("decide", job.day, "done", message, {"promote": float(decision.promote)})


def promote(job: Job) -> Outcome:
    """Record the decision in the ledger, and let MLflow's alias follow it.

    Where the champion changed since ``decide``, it compares again. A question that has been answered (the same
    challenger against the same champion) is not recorded again.
    """
    name = job.pipeline.name
    evidence = Evidence.read(job.left("decide"))
    for _ in range(_TRIES):
        recorded, alias = _recorded(job, evidence.verdict(job))
        if recorded is not None:
            break
        log.info("the champion changed since it was compared: comparing again")
        evidence = _compared_again(job, evidence)
    else:
        recorded, alias = _recorded(job, evidence.verdict(job, _SUPERSEDED))
    assert recorded is not None  # noqa: S101
    entry, stands = recorded.entry, recorded.stands
    if not stands:
        statsd.count(job.settings, "promotion_decisions", 1, pipeline=name, decision=entry.kind)
    status: Status = "up_to_date" if stands else "done"
    message = f"entry {entry.seq} of the ledger{' stands' if stands else ''}: {_told(entry)}; {alias}"
    return Outcome("promote", job.day, status, message)


def _mirrored(job: Job, champion: Champion | None) -> str:
    """What of the alias, which shows the ledger's champion to people: a mirror, and never a reason to fail."""
    try:
        version = mlflow.set_champion(job.settings, job.pipeline.name, champion)
    except NightshiftError as error:
        log.warning("MLflow's alias %s was not set, the ledger holds: %s", mlflow.CHAMPION, error)
        return f"the alias {mlflow.CHAMPION} was not set"
    if champion is None:
        return "there is no champion"
    if version is None:
        log.warning(
            "version %s, which is champion, was deleted in MLflow: nothing has the alias %s. It scores on. What to do: "
            "`nightshift retrain %s --as-of %s` registers its model again if its rows are as they were",
            champion.version, mlflow.CHAMPION, job.pipeline.name, champion.as_of,
        )  # fmt: skip
        return f"version {champion.version} is champion and was deleted in MLflow: nothing has the alias"
    return f"the alias {mlflow.CHAMPION} names version {version}"


def _recorded(job: Job, verdict: Verdict) -> tuple[Recorded | None, str]:
    """The entry of a verdict, and what of the alias; no entry where another champion was compared.

    Of two retrains at once the second must see the entry of the first, and leave the alias where that puts it.
    """
    ledger, name = Ledger.of(job.settings), job.pipeline.name
    with advisory_lock(job.settings, f"promote {name}") as lock:
        recorded = record_decision(ledger, job.pipeline, verdict)
        if recorded is None:
            return None, ""
        champion = alias_target(ledger.entries(name), job.pipeline, datetime.now(UTC))
        lock.confirm()  # of two, the one without it may know less
        alias = _mirrored(job, champion)
    return recorded, alias


def _compared_again(job: Job, evidence: Evidence) -> Evidence:
    rows = _training_set(job)
    assert rows is not None  # noqa: S101  a decision without a training set was compared with nothing
    return gather(job, rows, _challenger(job), evidence.version)


def _training_set(job: Job) -> TrainingSet | None:
    """What ``training_set`` left; None where it refused."""
    left = job.left("training_set")
    return None if left["refused"] else TrainingSet.read(left["training_set"])


def _nothing(job: Job, step: str) -> Outcome:
    reason = job.left("training_set")["refused"]
    return Outcome(step, job.day, "nothing", f"no training as of {job.day}: {reason}")


def _challenger(job: Job) -> ModelManifest:
    return read_manifest(job.settings.models, job.left("train")["sha256"])


def _told(entry: Entry) -> str:
    if entry.kind == "promotion":
        return f"version {entry.version} is champion from {entry.effective_from} on ({entry.reason})"
    return f"{entry.kind} as of {entry.as_of} ({entry.reason})"
