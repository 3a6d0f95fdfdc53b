"""``check``: what can be known of specs and feature modules before a night runs."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nightshift.cli.output import Json, emit

if TYPE_CHECKING:
    from nightshift.notices.channels import Channels
    from nightshift.pods.kinds import Kind
    from nightshift.settings import Settings
    from nightshift.specs.check import Finding
    from nightshift.specs.document import Problem
    from nightshift.specs.model import Pipeline

    Template = tuple[Kind, dict[str, Any], list[Problem]]


_FEWEST = 2  # logins: what one orders another approves


def check(
    pipeline: Annotated[str | None, typer.Argument(metavar="PIPELINE", help="Default: all of them.")] = None,
    as_json: Json = False,
) -> None:
    """Check specs, feature modules and the pod templates; problems as file:line.

    Runs nothing and needs no platform. A channel that the platform's file of channels does not have is a problem, and
    so is an approval that is required where fewer than two people can sign in: nobody could approve one's order. Where
    the ledger answers, a champion that tonight's scoring would refuse (its files, or module and spec that are not what
    it was trained with) is a problem, too; else it says that nobody asked. Exit code 1 where there is a problem.

    Example: nightshift check flights
    """
    from nightshift.cli.next_champions import next_champions
    from nightshift.platform.environment import known_logins
    from nightshift.settings import Settings
    from nightshift.specs.check import check_specs

    settings = Settings.from_env()
    templates, (channels, wrong_channels) = _templates(settings), _channels(settings)
    people = known_logins(settings)
    found = check_specs(settings, pipeline, also=partial(_more_findings, templates, channels, people))
    problems = [*found.problems, *(problem for _, _, wrong in templates for problem in wrong), *wrong_channels]
    asked = next_champions(settings, found.good)
    lines = [*map(str, problems), *map(str, asked.refused)]
    warnings = [] if channels or wrong_channels else list(_untold(settings, found.good))
    warnings += list(_unasked(found.good)) if people is None else []
    count = f"{len(lines)} {'problem' if len(lines) == 1 else 'problems'}" if lines else "no problem"
    specs = f"{found.specs} {'spec' if found.specs == 1 else 'specs'}"
    document = {
        "specs": found.specs,
        "problems": [vars(problem) for problem in problems],
        "refused": [vars(refused) for refused in asked.refused],
        "not_asked": asked.not_asked,
        "warnings": warnings,
    }
    for line in (*warnings, *asked.unasked_lines()):
        typer.echo(line, err=True)
    emit(as_json, document, "\n".join([*lines, f"{specs} checked, {count}"]))
    if lines:
        raise typer.Exit(1)


def _templates(settings: "Settings") -> "list[Template]":
    """The pod templates that are there, or that pods are to be made of, and what is wrong with them."""
    from nightshift.pods.kinds import DRIVER, EXECUTOR, SCORING
    from nightshift.pods.template import check_template
    from nightshift.spark import on_kubernetes

    in_pods = on_kubernetes(settings.spark_master)
    templates = (
        (SCORING, settings.pod_template, settings.compute == "kubernetes"),
        (DRIVER, settings.spark_driver_template, in_pods),
        (EXECUTOR, settings.spark_executor_template, in_pods),
    )
    return [(kind, *check_template(path, kind)) for kind, path, used in templates if used or path.is_file()]


def _more_findings(
    templates: "list[Template]", channels: "Channels | None", people: frozenset[str] | None, spec: "Pipeline"
) -> Iterator["Finding"]:
    """What is wrong with a spec that only others than ``specs`` know."""
    from nightshift.pods.kinds import SCORING

    yield from _wrong_parameters(spec)
    if spec.promotion.needs_person and people is not None and len(people) < _FEWEST:
        words = f"promotion.approval: {len(people)} login is known here, and what one person orders another approves"
        yield ("promotion", "approval"), f"{words}; add logins as docs/operating.md says (signing in)"
    for name, words in channels.unknown(spec.notify) if channels else ():
        yield ("notify", name), f"notify: {words}"
    for kind, template, problems in templates:
        if kind is SCORING and not problems:
            yield from _taken_volumes(template["spec"], spec)


def _taken_volumes(pod: "dict[str, Any]", spec: "Pipeline") -> Iterator["Finding"]:
    """Volumes of ``scoring.pod`` that meet one of the template: the API server would refuse every pod of it."""
    from nightshift.pods.kinds import SCORING

    mounts = [
        found
        for item in pod["containers"]
        if item["name"] == SCORING.container
        for found in item.get("volumeMounts", ())
    ]
    names, paths = {item["name"] for item in pod.get("volumes", ())}, {item["mountPath"] for item in mounts}
    for name, volume in spec.scoring.pod.volumes.items():
        at = ("scoring", "pod", "volumes", name)
        if name in names:
            yield at, f"{'.'.join(at)}: the pod template has a volume of that name; take another"
        elif volume.mount in paths:
            yield at, f"{'.'.join(at)}: the pod template has a volume at {volume.mount} already; take another path"


def _wrong_parameters(spec: "Pipeline") -> Iterator["Finding"]:
    """What is wrong with ``training.params``: training knows it, which specs may not import."""
    from nightshift.specs.spelling import nearest
    from nightshift.training.parameters import ALLOWED, PROTECTED

    for name in spec.training.params:
        if name in PROTECTED:
            yield ("training", "params", name), f"training.params.{name} is decided by {PROTECTED[name]}"
        elif name not in ALLOWED:
            words = f"there is no parameter {name}{nearest(name, ALLOWED)}; allowed: {', '.join(sorted(ALLOWED))}"
            yield ("training", "params", name), f"training.params: {words}"


def _channels(settings: "Settings") -> "tuple[Channels | None, list[Problem]]":
    """The channels that people are told by, and what is wrong with their file."""
    from nightshift.errors import NightshiftError
    from nightshift.notices.channels import read_channels
    from nightshift.specs.document import Problem

    try:
        return read_channels(settings), []
    except NightshiftError as error:
        file, _, line = error.where.rpartition(":")
        at = (file, int(line)) if line.isdecimal() else (error.where, 1)
        allowed = f"; allowed: {error.allowed}" if error.allowed else ""
        return None, [Problem(*at, error.what + allowed)]


def _untold(settings: "Settings", specs: "tuple[Pipeline, ...]") -> Iterator[str]:
    """Specs that name channels where this machine knows none: whether there are such, only the platform's can say."""
    if names := [spec.name for spec in specs if spec.notify]:
        yield f"the channels of {', '.join(names)} are not known here, there is no {settings.channels}"


def _unasked(specs: "tuple[Pipeline, ...]") -> Iterator[str]:
    """Specs that want a person's approval where this machine does not know who can sign in."""
    if names := [spec.name for spec in specs if spec.promotion.needs_person]:
        yield f"whether two people can sign in, as promotions of {', '.join(names)} want, is not known here"
