"""What becomes of a build whose Spark job could not build every day of its plan."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from nightshift.commands import FeaturesCommand
from nightshift.errors import NightshiftError
from nightshift.features.build_plan import read_plan
from nightshift.features.unbuilt import Unbuilt, find_unbuilt, leave_unbuilt
from nightshift.inputs.needs import inside
from nightshift.job import Job, Outcome
from nightshift.lineage import Manifest, find_staged
from nightshift.specs.calendar import label_day

log = logging.getLogger("nightshift.features")


def go_on(job: Job, planned: Outcome, command: FeaturesCommand, error: NightshiftError) -> Outcome:
    """The outcome of a build step whose job failed, where the run can go on with what the job has built.

    A window goes on without the days that cannot be built, and a day of features without labels: of its own night
    whatever they failed of once no further try comes, since scores must not wait for them; their own gate fails with
    it. Raises ``error`` where the job did not come to its end otherwise, or has not built the features that the run is
    for.
    """
    try:
        plan = read_plan(command.plan)
    except OSError:  # a store that does not answer hides no error
        raise error from None
    tables = {target.dataset: target.table for target in plan.targets}
    found: list[Unbuilt] = []
    lost: list[Manifest] = []
    for manifest in plan.manifests:
        table = tables[manifest.dataset]
        if find_staged(table, manifest.ds, manifest.fingerprint) is not None:
            continue
        unbuilt = find_unbuilt(table, manifest.ds, manifest.fingerprint)
        if unbuilt is None or unbuilt.attempt != plan.attempt:
            lost.append(manifest)
        else:
            found.append(unbuilt)
    if planned.step == "build_features" and any((item.dataset, item.ds) == ("features", job.day) for item in found):
        raise error
    if lost:
        # Before the last try the features are staged: the next one builds the labels alone.
        if planned.step != "build_features" or not _only_own_labels(job, lost) or not job.last_try:
            raise error
        given_up = [Unbuilt.of(manifest, error) for manifest in lost]
        for item in given_up:
            leave_unbuilt(tables[item.dataset], item)
        found += given_up
    log.warning("%s", error)
    return _partly(job, planned, tables, found, error)


def _only_own_labels(job: Job, lost: Sequence[Manifest]) -> bool:
    """Return whether nothing else of a night that has features is lost but the labels that mature with it."""
    return inside(job.pipeline, job.ds) and all(_is_own_labels(job, item) for item in lost)


def _is_own_labels(job: Job, item: Manifest | Unbuilt) -> bool:
    return (item.dataset, item.ds) == ("labels", label_day(job.pipeline, job.ds).isoformat())


def _partly(
    job: Job, planned: Outcome, tables: Mapping[str, str], found: Sequence[Unbuilt], error: NightshiftError
) -> Outcome:
    failed = {dataset: sum(item.dataset == dataset for item in found) for dataset in tables}
    counts = {f"{dataset}_days": planned.counts[f"{dataset}_days"] - number for dataset, number in failed.items()}
    where = f"{error.where}: " if error.where else ""
    message = f"{planned.message}, except {len(found)}: {where}{error.what}"
    warnings = [f"labels of {item.ds} {item.why}" for item in found if _is_own_labels(job, item)]
    if planned.step == "build_features" and warnings:
        counts |= {"warnings": float(len(warnings)), "labels_unbuilt": float(len(warnings))}
        return replace(planned, message=message, counts=planned.counts | counts, warnings=tuple(warnings))
    return replace(planned, message=message, counts=planned.counts | counts)
