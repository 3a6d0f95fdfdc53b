"""The use cases of a retrain: from the window's published days to a ledger entry.

A window with too few days ends in a recorded refusal, not in a failure: ``training_set`` leaves the reason, the steps
between have nothing to do, and ``promote`` writes it to the ledger.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from nightshift import metrics as statsd
from nightshift.database import advisory_lock
from nightshift.features.recipes import code_of, feature_spec
from nightshift.gates.run import enforce
from nightshift.job import Job, Outcome, Status
from nightshift.model_manifest import ModelManifest, read_manifest
from nightshift.registry import mlflow
from nightshift.registry.champions import Champion, alias_target, champion_as_of
from nightshift.registry.entry import Entry
from nightshift.registry.ledger import Ledger
from nightshift.registry.promotion import Decision, live_decision, record_decision, refused
from nightshift.registry.promotion import decide as by_rule
from nightshift.specs.calendar import training_days
from nightshift.tables import state
from nightshift.training import training_set as sets
from nightshift.training.challenger import trained
from nightshift.training.comparison import Compared, compare, predict_holdout
from nightshift.training.gate import audited, unfit
from nightshift.training.record import record
from nightshift.training.training_set import TrainingSet

log = logging.getLogger("nightshift.training")


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
    """Compare challenger, champion as of the day after and baseline on the same holdout, by the spec's rule."""
    rows = _training_set(job)
    if rows is None:
        decision = refused(job.left("training_set")["refused"])
        job.leave("decide", {**_decision_document(decision), "version": "", "sha256": "", "champion": ""})
        return _nothing(job, "decide")
    manifest, version = _challenger(job), job.left("evaluate_and_register")["version"]
    champion = champion_as_of(_ledger(job).entries(job.pipeline.name), job.ds + timedelta(days=1))
    compared = compare(job, rows, predict_holdout(job, rows, manifest), champion)
    decision = _decision(job, compared, champion)
    job.leave(
        "decide",
        {
            **_decision_document(decision),
            "version": version,
            "sha256": manifest.sha256,
            "champion": champion.sha256 if champion else "",
        },
    )
    verdict = "to be promoted" if decision.promote else "refused"
    message = f"version {version} as of {job.day} is {verdict}: {decision.reason}"
    return Outcome("decide", job.day, "done", message, {"promote": float(decision.promote)})


def promote(job: Job) -> Outcome:
    """Record the decision in the ledger, and let MLflow's alias follow it.

    A question that has been answered (the same challenger against the same champion) is not recorded again.
    """
    left, ledger, name = job.left("decide"), _ledger(job), job.pipeline.name
    decision = Decision(left["promote"], tuple(left["reasons"]), left["details"])
    # Of two retrains at once the second must see the entry of the first, and leave the alias where that puts it.
    with advisory_lock(job.settings, f"promote {name}"):
        entries = ledger.entries(name)
        answered = _answered(job, entries, left)
        entry = answered or record_decision(
            ledger,
            job.pipeline,
            job.ds,
            decision,
            version=left["version"],
            model_sha256=left["sha256"],
            run_id=job.run_id,
            actor=job.actor or "retrain",
            history=job.history,
            details={"champion_sha256": left["champion"]},
        )
        champion = alias_target(ledger.entries(name), job.pipeline, datetime.now(UTC))
        mlflow.set_champion(job.settings, name, champion.version if champion else None)
    if answered is None:
        statsd.count(job.settings, "promotion_decisions", 1, pipeline=name, decision=entry.kind)
    status: Status = "up_to_date" if answered else "done"
    alias = f"the alias {mlflow.CHAMPION} names version {champion.version}" if champion else "there is no champion"
    message = f"entry {entry.seq} of the ledger{' stands' if answered else ''}: {_told(entry)}; {alias}"
    return Outcome("promote", job.day, status, message)


def _training_set(job: Job) -> TrainingSet | None:
    """What ``training_set`` left; None where it refused."""
    left = job.left("training_set")
    return None if left["refused"] else TrainingSet.read(left["training_set"])


def _nothing(job: Job, step: str) -> Outcome:
    reason = job.left("training_set")["refused"]
    return Outcome(step, job.day, "nothing", f"no training as of {job.day}: {reason}")


def _challenger(job: Job) -> ModelManifest:
    return read_manifest(job.settings.models, job.left("train")["sha256"])


def _ledger(job: Job) -> Ledger:
    return Ledger.of(job.settings)


def _decision(job: Job, compared: Compared, champion: Champion | None) -> Decision:
    metric = job.pipeline.promotion.metric
    numbers = asdict(compared)
    if not compared.days:
        return refused(compared.why, holdout=numbers)
    if metric not in compared.challenger:
        return refused(f"the holdout has labels of one class alone, which leaves {metric} undefined", holdout=numbers)
    decision = by_rule(
        job.pipeline.promotion,
        challenger=compared.challenger[metric],
        champion=compared.champion[metric] if compared.champion else None,
        baseline=compared.baseline[metric],
    )
    reasons = decision.reasons
    if champion is not None and compared.champion is None:
        reasons = (*reasons, f"the champion cannot be compared: {compared.why}")
    return Decision(decision.promote, reasons, {**decision.details, "holdout": numbers})


def _decision_document(decision: Decision) -> dict[str, Any]:
    return {"promote": decision.promote, "reasons": list(decision.reasons), "details": decision.details}


def _answered(job: Job, entries: Sequence[Entry], left: dict[str, Any]) -> Entry | None:
    """The entry that answers this question already: this challenger is champion, or was refused against the same one.

    A date with a live decision always records that it was run again.
    """
    if job.history and live_decision(entries, job.ds) is not None:
        return None
    champion = champion_as_of(entries, job.ds + timedelta(days=1))
    if champion is not None and champion.sha256 == left["sha256"]:
        return next(entry for entry in entries if entry.seq == champion.seq)
    own = [entry for entry in entries if entry.as_of == job.ds and entry.model_sha256 == left["sha256"]]
    last = next((entry for entry in reversed(own) if entry.kind in ("promotion", "refusal")), None)
    if last is None:
        return None
    if last.effective_from is not None:
        then = champion_as_of(entries, last.effective_from)
        return last if then is not None and then.seq == last.seq else None
    said = (last.details.get("champion_sha256"), last.reason)
    return last if said == (left["champion"], "; ".join(left["reasons"])) and not left["promote"] else None


def _told(entry: Entry) -> str:
    if entry.kind == "promotion":
        return f"version {entry.version} is champion from {entry.effective_from} on ({entry.reason})"
    return f"{entry.kind} as of {entry.as_of} ({entry.reason})"
