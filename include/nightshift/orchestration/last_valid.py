"""The DAGs of a pipeline as its spec last declared them, kept so that a spec that breaks takes nothing out of sight.

The process that parses the DAGs writes and reads them, on a disk of its own. They are shown and scheduled, and never
run: a task of a broken spec fails, whatever is kept.
"""

import logging
from dataclasses import replace
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from nightshift.errors import SpecError
from nightshift.plan import RETRAIN_SUFFIX, DagPlan, Plan
from nightshift.settings import Settings

log = logging.getLogger("nightshift")

BROKEN = "spec-broken"


def keep_plan(settings: Settings, plan: Plan) -> None:
    """Keeps a plan that a valid spec made. A disk that takes nothing is logged, and costs no DAG."""
    file, content = _file(settings, plan.daily.pipeline), _plans().dump_json(plan)
    try:
        if file.is_file() and file.read_bytes() == content:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        # Another parse reads the whole of the old one or the whole of the new one.
        aside = file.with_suffix(".new")
        aside.write_bytes(content)
        aside.replace(file)
    except OSError as error:
        log.warning("the DAGs of %s are not kept for a spec that breaks: %s", plan.daily.pipeline, error.strerror)


def kept_plan(settings: Settings, pipeline: str, error: SpecError) -> Plan | None:
    """The plan that was kept last, marked as that of a spec that has broken; None where there is none to be read."""
    try:
        plan = _plans().validate_json(_file(settings, pipeline).read_bytes())
    except (OSError, ValidationError):
        return None
    if (plan.daily.name, plan.retrain.name) != (pipeline, pipeline + RETRAIN_SUFFIX):
        return None  # nor does one of another name take the place of that pipeline's DAGs
    return Plan(_marked(plan.daily, error), _marked(plan.retrain, error))


def _marked(plan: DagPlan, error: SpecError) -> DagPlan:
    # Indented: what Markdown shows as it is.
    problems = "\n".join(f"    {line}" for line in str(error).splitlines())
    doc = f"""**The spec of this pipeline is broken. Its nights fail until it is mended.** Below is its last
valid version.

{problems}

**What to do.** Mend the spec, or put its last version back; `nightshift check {plan.pipeline}` says when it is well.
Half a minute later this page is as it was. Then clear the failed tasks of the runs that came meanwhile.

---

{plan.doc}"""
    return replace(plan, doc=doc, tags=(*plan.tags, BROKEN))


def _file(settings: Settings, pipeline: str) -> Path:
    return settings.var / "last-valid" / f"{pipeline}.json"


@cache
def _plans() -> TypeAdapter[Plan]:
    return TypeAdapter(Plan)
