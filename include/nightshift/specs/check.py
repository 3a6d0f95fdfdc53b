"""``nightshift check``: everything about specs that can be known without running them."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from nightshift.errors import SpecError
from nightshift.settings import Settings
from nightshift.specs.document import Location, Problem
from nightshift.specs.expectations import check_expectation, pandas_alone
from nightshift.specs.feature_module import lost_names
from nightshift.specs.impure import impurities
from nightshift.specs.load import find_spec, module_problems, read_spec, shown, spec_files
from nightshift.specs.model import Column, Gate, Pipeline, seconds

MAINTENANCE = "maintenance"
"""The DAG that belongs to no pipeline."""

Finding = tuple[Location, str]
"""A location in a spec and what is wrong there."""

Finder = Callable[[Pipeline], Iterable[Finding]]


@dataclass(frozen=True)
class Checked:
    """How many specs were checked, what was found, by file and line, and the pipelines that nothing was found of."""

    specs: int
    problems: tuple[Problem, ...]
    good: tuple[Pipeline, ...]


def check_specs(settings: Settings, name: str | None = None, also: Finder | None = None) -> Checked:
    """Checks the spec of that name, or all; ``also`` finds more in a spec that is valid by itself.

    Raises SpecError where there is no spec, not for what is in them.
    """
    paths = [find_spec(settings, name)] if name is not None else spec_files(settings)
    if not paths:
        raise SpecError("there is no spec", where=shown(settings.pipelines), do="write include/pipelines/<name>.yaml")
    problems: list[Problem] = []
    good: list[Pipeline] = []
    for path in paths:
        before = len(problems)
        pipeline, document, found = read_spec(path)
        problems += found
        if pipeline is not None and document is not None:
            problems += module_problems(settings, pipeline, document, path) or [
                *lost_names(settings, pipeline),
                *impurities(settings, pipeline),
            ]
            found_in_it = [*findings(pipeline), *(also(pipeline) if also else ())]
            places = [(document.place(location), words) for location, words in found_in_it]
            problems += sorted((Problem(shown(path), at.line, words) for at, words in places), key=lambda p: p.line)
            good += [pipeline] * (len(problems) == before)
    return Checked(len(paths), tuple(problems), tuple(good))


def findings(pipeline: Pipeline) -> Iterator[Finding]:
    """The flaws of a spec that is valid by itself."""
    for location, gate, columns in _gates(pipeline):
        for position, item in enumerate(gate.expect):
            for below, words in check_expectation(item, columns):
                yield (*location, "expect", position, *below), words
            yield from _unanswered(pipeline, location, gate, position, columns)
    if pipeline.name == MAINTENANCE:
        yield ("pipeline",), f"pipeline: {MAINTENANCE} is the name of Nightshift's own DAG; take another"
    yield from _sources(pipeline)
    if all(source.snapshot for source in pipeline.label_inputs.values()):
        words = "label.inputs are snapshots alone, which say nothing of what came after a day: name a source with days"
        yield ("label", "inputs"), words
    yield from _days(pipeline)
    yield from _labels(pipeline)
    for part, gate in (("training", pipeline.training.gate), ("scoring", pipeline.scoring.gate)):
        if gate.policy == "quarantine":
            words = f"{part}.gate.policy: rows can leave inputs, features and labels, not {_WHAT[part]}"
            yield (part, "gate", "policy"), f"{words}; allowed: block, warn"


_SCORED = {"score": Column(type="number"), "model": Column(type="string")}
_WHAT = {"training": "a training set", "scoring": "predictions"}


def _gates(pipeline: Pipeline) -> Iterator[tuple[Location, Gate, Mapping[str, Column]]]:
    """Every gate of a spec, with the columns of the dataset that it audits."""
    features, labels = pipeline.feature_contract, pipeline.label_contract
    for name, source in pipeline.inputs.items():
        yield ("inputs", name, "gate"), source.gate, source.columns
    yield ("features", "gate"), pipeline.features.gate, features
    yield ("label", "gate"), pipeline.label.gate, labels
    yield ("training", "gate"), pipeline.training.gate, {**features, **labels}
    yield ("scoring", "gate"), pipeline.scoring.gate, {**pipeline.key_contract, **_SCORED}


def _unanswered(
    pipeline: Pipeline, location: Location, gate: Gate, position: int, columns: Mapping[str, Column]
) -> Iterator[Finding]:
    """An expectation that a day may come to be too large for: above ``gate.rows`` Spark judges, in its own way."""
    part, source = location[0], pipeline.inputs.get(str(location[1]))
    bounding = {str(location[1]): source} if part == "inputs" and source is not None else pipeline.inputs
    most, name = max((item.limits.rows, name) for name, item in bounding.items())
    if part == "training" or most <= gate.rows:
        return
    types = {column: item.type for column, item in columns.items()}
    for expectation, arguments in gate.expect[position].items():
        if words := pandas_alone(expectation, arguments, types):
            gate_rows = ".".join(map(str, (*location, "rows")))
            yield (
                (*location, "expect", position, expectation),
                f"{expectation}: {words}, and Spark judges days of more than {gate_rows}, {gate.rows}; take another "
                f"expectation, lower inputs.{name}.limits.rows, {most}, or raise {gate_rows}, so that none is larger",
            )


def _sources(pipeline: Pipeline) -> Iterator[Finding]:
    read = {*pipeline.feature_inputs, *pipeline.label_inputs}
    if not pipeline.feature_inputs:
        yield ("features", "inputs"), "features.inputs is empty: a night would wait for nothing and read nothing"
    first: dict[str, str] = {}
    for name, source in pipeline.inputs.items():
        if name not in read:
            yield ("inputs", name), f"inputs.{name} is read by neither features.inputs nor label.inputs"
        other = first.setdefault(source.path, name)
        if other != name:
            yield ("inputs", name, "path"), f"inputs.{name}.path is that of inputs.{other}, too"
        if source.absent_allowed > source.lookback:
            words = f"{source.absent_allowed} days may be absent, more than the lookback of {source.lookback}"
            yield ("inputs", name, "missing", "allow"), f"inputs.{name}.missing.allow: {words}"
        elif name == pipeline.features.spine and source.absent_allowed == source.lookback:
            words = (
                f"source {name} is the spine, whose newest day of the lookback is never absent: its rows are the keys"
            )
            yield (
                ("inputs", name, "missing", "allow"),
                f"inputs.{name}.missing.allow: {words}; allowed: up to {source.lookback - 1}",
            )
        if seconds(source.quiet) >= seconds(pipeline.schedule.wait):
            words = f"no run waits for that long: schedule.wait is {pipeline.schedule.wait}"
            yield ("inputs", name, "quiet"), f"inputs.{name}.quiet: {words}"
        for column in source.key:
            if source.columns[column].nulls:
                yield (
                    ("inputs", name, "columns", column, "nulls"),
                    f"inputs.{name}.columns.{column}: a key has no nulls",
                )


def _labels(pipeline: Pipeline) -> Iterator[Finding]:
    """What the gates of label sources and labels may remove, a training set must bear: days on end would block it."""
    removed = {
        f"inputs.{name}.gate.limit": source.gate.limit
        for name, source in pipeline.label_inputs.items()
        if source.gate.limit
    }
    of_sources = min(sum(removed.values()), 1.0)
    if of_labels := pipeline.label.gate.limit:
        removed["label.gate.limit"] = of_labels
    # Rows of different sources may be those of different labels; the labels' own gate sees what these have left.
    least = math.ceil(round((of_sources + (1 - of_sources) * of_labels) * 10_000, 6)) / 10_000
    if pipeline.label.missing < least:
        words = " and ".join(f"{name} {limit:g}" for name, limit in removed.items())
        yield (
            ("label", "missing"),
            f"label.missing: {pipeline.label.missing:g} is less than gates may remove ({words}), so that a row in "
            f"quarantine would block the training set of every window that holds its day; allowed: from {least:g}",
        )


def _days(pipeline: Pipeline) -> Iterator[Finding]:
    schedule, training, lag = pipeline.schedule, pipeline.training, pipeline.label.lag
    trained = training.window - lag + 1
    if trained < training.min_days:
        words = f"a window of {training.window} days whose labels come {lag} days later has {max(trained, 0)} days"
        yield ("training", "window"), f"training.window: {words}, fewer than min_days {training.min_days}"
    if schedule.end is not None and (held := (schedule.end - schedule.start).days + 1) < training.min_days:
        words = f"from start to end there are {held} days, fewer than training.min_days {training.min_days}"
        yield ("schedule", "end"), f"schedule.end: {words}"
