"""``nightshift check``: everything about specs that can be known without running them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from nightshift.errors import SpecError
from nightshift.settings import Settings
from nightshift.specs.document import Location, Problem
from nightshift.specs.expectations import check_expectation
from nightshift.specs.feature_module import lost_names
from nightshift.specs.load import find_spec, module_problems, read_spec, shown, spec_files
from nightshift.specs.model import Gate, Pipeline

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
            problems += module_problems(settings, pipeline, document, path) or lost_names(settings, pipeline)
            found_in_it = [*findings(pipeline), *(also(pipeline) if also else ())]
            places = [(document.place(location), words) for location, words in found_in_it]
            problems += sorted((Problem(shown(path), at.line, words) for at, words in places), key=lambda p: p.line)
            good += [pipeline] * (len(problems) == before)
    return Checked(len(paths), tuple(problems), tuple(good))


def findings(pipeline: Pipeline) -> Iterator[Finding]:
    """What is wrong with a spec that is valid by itself."""
    for location, gate, columns in _gates(pipeline):
        for position, item in enumerate(gate.expect):
            for below, words in check_expectation(item, columns):
                yield (*location, "expect", position, *below), words
    if pipeline.name == MAINTENANCE:
        yield ("pipeline",), f"pipeline: {MAINTENANCE} is the name of Nightshift's own DAG; take another"
    yield from _sources(pipeline)
    if all(source.snapshot for source in pipeline.label_inputs.values()):
        words = "label.inputs are snapshots alone, which say nothing of what came after a day: name a source with days"
        yield ("label", "inputs"), words
    yield from _days(pipeline)
    for part, gate in (("training", pipeline.training.gate), ("scoring", pipeline.scoring.gate)):
        if gate.policy == "quarantine":
            words = f"{part}.gate.policy: rows can leave inputs, features and labels, not {_WHAT[part]}"
            yield (part, "gate", "policy"), f"{words}; allowed: block, warn"


_WHAT = {"training": "a training set", "scoring": "predictions"}


def _gates(pipeline: Pipeline) -> Iterator[tuple[Location, Gate, list[str]]]:
    """Every gate of a spec, with the columns of the dataset that it audits."""
    features, labels = pipeline.feature_contract, pipeline.label_contract
    for name, source in pipeline.inputs.items():
        yield ("inputs", name, "gate"), source.gate, list(source.columns)
    yield ("features", "gate"), pipeline.features.gate, list(features)
    yield ("label", "gate"), pipeline.label.gate, list(labels)
    yield ("training", "gate"), pipeline.training.gate, list(features | labels)
    yield ("scoring", "gate"), pipeline.scoring.gate, [*pipeline.key_contract, "score", "model"]


def _sources(pipeline: Pipeline) -> Iterator[Finding]:
    read = {*pipeline.feature_inputs, *pipeline.label_inputs}
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
        for column in source.key:
            if source.columns[column].nulls:
                yield (
                    ("inputs", name, "columns", column, "nulls"),
                    f"inputs.{name}.columns.{column}: a key has no nulls",
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
