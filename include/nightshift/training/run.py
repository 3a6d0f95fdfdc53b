"""The use cases of a retrain: from the window's published days to a ledger entry.

A window with too few days, or one that the gate of the training set blocks, ends in a recorded refusal, not in a
failure: ``training_set`` or ``gate_training`` leaves the reason, the steps between have nothing to do, and ``promote``
writes it to the ledger.
"""

import logging
from dataclasses import asdict, replace

from nightshift import metrics as statsd
from nightshift.database import advisory_lock
from nightshift.features.recipes import code_of, feature_spec
from nightshift.features.unlabelled import unlabelled_days
from nightshift.gates.report import text_table, warning_lines
from nightshift.job import Job, Outcome, Status
from nightshift.model_manifest import ModelManifest, read_manifest
from nightshift.registry import mlflow
from nightshift.registry.alias import alias_lock, mirrored
from nightshift.registry.decisions import Recorded, Verdict, record_decision
from nightshift.registry.entry import Entry
from nightshift.registry.ledger import Ledger
from nightshift.registry.promotion import refused
from nightshift.specs.calendar import training_days
from nightshift.tables import state
from nightshift.training import training_set as sets
from nightshift.training.approval import conclude, propose
from nightshift.training.challenger import trained
from nightshift.training.comparison import predict_holdout
from nightshift.training.evidence import Evidence, asks, gather
from nightshift.training.gate import audited, blocked_for, unfit
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
    features, labels = state(job.table("features")), state(job.table("labels"))
    never = set(unlabelled_days(job.settings, pipeline, labels)) & set(window)
    unbuilt = gated.get("unbuilt", {})
    left_out = {day: why for why in ("missing", "blocked") for day in gated.get(why, ())} | unbuilt
    # Data that came and was bad is told as that, whatever was recorded before it came.
    left_out |= dict.fromkeys(never - {*gated.get("blocked", ()), *unbuilt}, "unlabelled")
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
    days = tuple(day for day in days if day.ds not in bad)
    rows = replace(rows, days=days, left_out={**without, **bad})
    reason = sets.refusal(pipeline, days, [*gated.get("blocked", ()), *bad], unbuilt)
    job.leave("training_set", {"refused": reason, "training_set": rows.document()})
    counts = {"days": float(len(days)), "left_out": float(len(rows.left_out)), "rows": float(rows.rows)}
    damaged = {day: why for day, why in without.items() if features.damage(day) or labels.damage(day)}
    warnings = tuple(f"{day} is left out: {why}" for day, why in sorted({**damaged, **bad}.items()))
    counts |= {"unlabelled": float(len(never)), "warnings": float(len(warnings))}
    if reason:
        message = f"no training as of {job.day}: {reason}"
        return Outcome("training_set", job.day, "nothing", message, counts, warnings=warnings)
    message = (
        f"training set {rows.fingerprint}: {len(days)} days from {days[0].ds} to {days[-1].ds}, {rows.rows} rows; "
        f"{len(rows.left_out)} days left out"
    )
    return Outcome("training_set", job.day, "done", message, counts, warnings=warnings)


def gate_training(job: Job) -> Outcome:
    """Audit the joined rows; where the gate blocks them, there is no training."""
    left = job.left("training_set")
    if left["refused"]:
        job.leave("gate_training", {"refused": ""})
        return _nothing(job, "gate_training")
    gated = audited(job, TrainingSet.read(left["training_set"]))
    report, links = gated.report, {"gate report": gated.page}
    refused_for = blocked_for(report)
    job.leave("gate_training", {"refused": refused_for})
    if refused_for:
        log.warning("%s\n\n%s", refused_for, text_table(report))
        return replace(_nothing(job, "gate_training"), counts={"rows": float(report.rows)}, links=links)
    counts = {"rows": float(report.rows), "warnings": float(len(report.failed))}
    message = f"{report.rows} rows, gate {report.status}: {len(report.results)} expectations"
    return Outcome("gate_training", job.day, "done", message, counts, links, warnings=warning_lines(report))


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
    if challenger.changes:
        verb += f", anew since its libraries changed: {', '.join(challenger.changes)}"
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
        with advisory_lock(job.settings, f"register {name}") as lock:
            found = mlflow.register(job.settings, name, shown, lock.confirm)
    job.leave("evaluate_and_register", asdict(found))
    verb = "is registered already as" if status == "up_to_date" else "registered as"
    message = f"model {manifest.sha256[:16]} {verb} version {found.version} of {name}"
    return Outcome("evaluate_and_register", job.day, status, message, links={"MLflow run": found.url})


def decide(job: Job) -> Outcome:
    """Compare challenger, baseline and the champion that a promotion would replace on the same holdout, by the rule.

    Where a person must approve, what the rule would promote becomes a proposal. Raises PromotionRefused where the
    as-of date has not come yet.
    """
    rows = _training_set(job)
    if rows is None:
        left_out = job.left("training_set")["training_set"]["left_out"]
        job.leave("decide", Evidence(refused(_refusal(job), left_out=left_out)).document())
        return _nothing(job, "decide")
    evidence = gather(job, rows, _challenger(job), job.left("evaluate_and_register")["version"])
    if asks(job):
        evidence = _proposed(job, rows, evidence)
    job.leave("decide", evidence.document())
    decision = evidence.decision
    verdict = "to be promoted" if decision.promote else "refused"
    if evidence.proposal is not None:
        verdict = f"proposed in entry {evidence.proposal} of the ledger"
    message = f"version {evidence.version} as of {job.day} is {verdict}: {decision.reason}"
    return Outcome("decide", job.day, "done", message, {"promote": float(decision.promote)})


def promote(job: Job) -> Outcome:
    """Record the decision in the ledger, and let MLflow's alias follow it.

    Where the champion changed since ``decide``, it compares again. A question that has been answered (the same
    challenger against the same champion) is not recorded again. Of a proposal it records what a person answered.
    """
    evidence = Evidence.read(job.left("decide"))
    if evidence.proposal is not None:
        recorded, alias = conclude(job, evidence.proposal)
    else:
        recorded, alias = _ruled(job, evidence)
    entry, stands = recorded.entry, recorded.stands
    if not stands:
        statsd.count(job.settings, "promotion_decisions", 1, pipeline=job.pipeline.name, decision=entry.kind)
    status: Status = "up_to_date" if stands else "done"
    message = f"entry {entry.seq} of the ledger{' stands' if stands else ''}: {_told(entry)}; {alias}"
    return Outcome("promote", job.day, status, message)


def _proposed(job: Job, rows: TrainingSet, evidence: Evidence) -> Evidence:
    """The evidence with the proposal that it became, compared anew while champion or open proposal change."""
    for _ in range(_TRIES):
        if not evidence.decision.promote:
            break
        entry, holds = propose(job, evidence)
        if entry is not None:
            return replace(evidence, proposal=entry.seq)
        if holds:
            break
        log.info("champion or open proposal changed since the comparison: comparing again")
        evidence = gather(job, rows, _challenger(job), evidence.version)
    return evidence


def _ruled(job: Job, evidence: Evidence) -> tuple[Recorded, str]:
    """The entry that the rule makes of the evidence, compared anew while the champion changes; what of the alias."""
    for _ in range(_TRIES):
        recorded, alias = _recorded(job, evidence.verdict(job))
        if recorded is not None:
            return recorded, alias
        log.info("the champion changed since it was compared: comparing again")
        evidence = _compared_again(job, evidence)
    recorded, alias = _recorded(job, evidence.verdict(job, _SUPERSEDED))
    assert recorded is not None  # noqa: S101
    return recorded, alias


def _recorded(job: Job, verdict: Verdict) -> tuple[Recorded | None, str]:
    """The entry of a verdict, and what of the alias; no entry where another champion was compared.

    Of two retrains at once the second must see the entry of the first, and leave the alias where that puts it.
    """
    ledger, name = Ledger.of(job.settings), job.pipeline.name
    with advisory_lock(job.settings, alias_lock(name)) as lock:
        recorded = record_decision(ledger, job.pipeline, verdict)
        if recorded is None:
            return None, ""
        entries = ledger.entries(name)
        lock.confirm()  # of two, the one without it may know less
        alias = mirrored(job.settings, job.pipeline, entries)
    return recorded, alias


def _compared_again(job: Job, evidence: Evidence) -> Evidence:
    rows = _training_set(job)
    assert rows is not None  # noqa: S101  a decision without a training set was compared with nothing
    return gather(job, rows, _challenger(job), evidence.version)


def _training_set(job: Job) -> TrainingSet | None:
    """What ``training_set`` left; None where it was refused, or its gate blocked it."""
    return None if _refusal(job) else TrainingSet.read(job.left("training_set")["training_set"])


def _refusal(job: Job) -> str:
    """Why there is no training; empty where there is."""
    return str(job.left("training_set")["refused"] or job.left("gate_training")["refused"])


def _nothing(job: Job, step: str) -> Outcome:
    return Outcome(step, job.day, "nothing", f"no training as of {job.day}: {_refusal(job)}")


def _challenger(job: Job) -> ModelManifest:
    return read_manifest(job.settings.models, job.left("train")["sha256"])


def _told(entry: Entry) -> str:
    if entry.kind in ("promotion", "approval"):
        return f"version {entry.version} is champion from {entry.effective_from} on ({entry.reason})"
    return f"{entry.kind} as of {entry.as_of} ({entry.reason})"
