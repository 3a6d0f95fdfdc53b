"""What a decision rests on: challenger, baseline and the champion that a promotion would replace, on one holdout."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from nightshift.job import Job
from nightshift.model_manifest import ModelManifest
from nightshift.registry.decisions import Verdict, standing
from nightshift.registry.ledger import Ledger
from nightshift.registry.promotion import Decision, decide, refused
from nightshift.registry.proposals import open_proposal
from nightshift.training.comparison import Compared, compare, predict_holdout
from nightshift.training.training_set import TrainingSet


@dataclass(frozen=True)
class Evidence:
    """The decision; version and SHA-256 of the challenger; the SHA-256 of the champion that it was compared with.

    Each is empty where there was none. ``rival`` is the open proposal that the challenger was compared with as well,
    and ``proposal`` the one that a person decides; None where there is none.
    """

    decision: Decision
    version: str = ""
    sha256: str = ""
    champion: str = ""
    rival: int | None = None
    proposal: int | None = None

    def document(self) -> dict[str, Any]:
        """The evidence as plain data."""
        others = {name: value for name, value in asdict(self).items() if name != "decision"}
        return {**asdict(self.decision), **others}

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "Evidence":
        """The evidence that ``document()`` made."""
        decision = Decision(document["promote"], tuple(document["reasons"]), document["details"])
        numbers = (document.get(name) for name in ("rival", "proposal"))  # an earlier version's has none
        return cls(decision, document["version"], document["sha256"], document["champion"], *numbers)

    def verdict(self, job: Job, reason: str = "") -> Verdict:
        """The verdict to record; with a ``reason``, a refusal for it that rests on no champion."""
        return Verdict(
            as_of=job.ds,
            decision=refused(reason, **self.decision.details) if reason else self.decision,
            version=self.version,
            model_sha256=self.sha256,
            compared=None if reason or not self.sha256 else self.champion,
            run_id=job.run_id,
            actor=job.actor or "retrain",
        )


def gather(job: Job, rows: TrainingSet, challenger: ModelManifest, version: str) -> Evidence:
    """Compares the challenger with the champion that it would replace if it were recorded now.

    A run that would propose it compares it with the open proposal as well: a newer one supersedes that only if the
    rule prefers it. It reads the holdout. Raises PromotionRefused where the as-of date has not come yet.
    """
    entries, now = Ledger.of(job.settings).entries(job.pipeline.name), datetime.now(UTC)
    found = standing(entries, job.pipeline.schedule, job.ds, now)
    predicted = predict_holdout(job, rows, challenger)
    decision = _decision(job, compare(job, rows, predicted, found.champion))
    rival = open_proposal(entries, job.pipeline.schedule, now) if asks(job) and decision.promote else None
    if rival is not None and rival.entry.model_sha256 != challenger.sha256:
        against = _decision(job, compare(job, rows, predicted, rival.model))
        if not against.promote:
            why = f"proposal {rival.seq} of version {rival.entry.version} waits, and the rule does not prefer this one"
            decision = refused(f"{why}: {against.reason}", **decision.details, preferred=rival.seq)
    decision = replace(decision, details={**decision.details, "left_out": rows.left_out})
    return Evidence(decision, version, challenger.sha256, found.champion_sha256, rival.seq if rival else None)


def asks(job: Job) -> bool:
    """Return whether what the rule would promote in this run is a proposal that a person decides."""
    return job.pipeline.promotion.needs_person and job.ordered_by is not None


def _decision(job: Job, compared: Compared) -> Decision:
    metric = job.pipeline.promotion.metric
    numbers = asdict(compared)
    if not compared.days:
        return refused(compared.why, holdout=numbers)
    if metric not in compared.challenger:
        return refused(f"the holdout has labels of one class alone, which leaves {metric} undefined", holdout=numbers)
    decision = decide(
        job.pipeline.promotion,
        challenger=compared.challenger[metric],
        champion=compared.champion[metric] if compared.champion else None,
        baseline=compared.baseline[metric],
        without=compared.why,
    )
    return Decision(decision.promote, decision.reasons, {**decision.details, "holdout": numbers})
