"""The page of a pipeline: how it stands, all that its ledger says of its models, and plain forms for orders. Pure.

Each form has two steps: the first shows the plan, the second records it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from http import HTTPStatus

from nightshift.orchestration.forms import LONGEST, Form, FormRefused
from nightshift.orchestration.template import filled
from nightshift.orchestration.tonight import Line
from nightshift.orders.order import OrderKind
from nightshift.orders.report import WHO_SCORES, Report
from nightshift.registry.champions import retirement_of
from nightshift.registry.entry import Entry
from nightshift.registry.interventions import freeze_in_force
from nightshift.registry.models import Model, models, named, was_promoted

FEW = 50

_TITLES: Mapping[OrderKind, tuple[str, str]] = {
    "rollback": ("Roll back", "An earlier champion scores again, instead of all that came after it."),
    "retirement": ("Retire a version", "It never scores again; the newest champion before it that can serve follows."),
    "override": ("Override the rule", "A version scores against the rule, from the next night on, marked so."),
    "freeze": ("Freeze promotions", "No retrain promotes until somebody unfreezes; the rule's promotions are refused."),
    "unfreeze": ("Unfreeze promotions", "Retrains promote again. What was refused meanwhile stays refused."),
}
_OF_VERSIONS = ("rollback", "retirement", "override")
# What makes a token for a form of a kind.
Token = Callable[[OrderKind], str]


@dataclass(frozen=True)
class Shown:
    """The knowledge of the page. ``entries`` are the pipeline's; ``next_day`` is the next one to be scored.

    ``troubles`` are sentences on what could not be read. Without ``token`` the reader may give no orders.
    """

    line: Line
    entries: Sequence[Entry]
    now: datetime
    next_day: str = ""
    troubles: tuple[str, ...] = ()
    token: Token | None = None
    everything: bool = False


def page(shown: Shown) -> str:
    """The page of a pipeline."""
    name = shown.line.pipeline
    content = "".join(f'<p class="card failed">{escape(trouble)}</p>' for trouble in shown.troubles)
    content += _headline(shown.line, shown.entries)
    if shown.token is not None:
        content += f"<h2>Orders</h2>{''.join(_forms(shown, shown.token))}"
    content += f"<h2>What was decided</h2>{_timeline(name, shown.entries, shown.everything)}"
    under = f'As of {shown.now:%Y-%m-%d %H:%M} UTC · <a href="/nightshift/tonight">Tonight</a>'
    return filled("pipeline.html", title=escape(name), under=under, content=content)


def plan_page(report: Report, form: Form, token: str) -> str:
    """The page that shows a plan, with the form that records it. ``form`` has the digest of the plan."""
    name = report.plan.new.pipeline
    fields = {
        "kind": form.kind, "version": form.version, "effective_from": str(form.effective_from or ""),
        "reason": form.reason, "seen": form.seen, "plan": form.plan, "token": token,
    }  # fmt: skip
    content = (
        f'<p class="summary">{escape(report.heading())}</p>{_report(report)}'
        f'<div class="card"><p>By {escape(report.plan.order.actor)}, because: {escape(report.plan.order.reason)}</p>'
        f'<form class="confirm" method="post" action="order">{_hidden(fields)}'
        '<button class="record">Record this order</button>'
        "<p>It counts at once. This form is good for ten minutes, and for the ledger as it is now.</p></form></div>"
        f'<p><a href="../{escape(name)}">Record nothing, back to {escape(name)}</a></p>'
    )
    return filled(
        "pipeline.html", title=escape(f"{name}: {_TITLES[form.kind][0].lower()}?"), under="A plan", content=content
    )


def done_page(report: Report) -> str:
    """The page of an order that was recorded."""
    name = report.plan.new.pipeline
    content = (
        f'<p class="summary">{escape(report.heading())}</p>{_report(report)}'
        "<p>MLflow's alias and the page Tonight follow.</p>"
        f'<p><a href="../{escape(name)}">Back to {escape(name)}</a></p>'
    )
    return filled("pipeline.html", title=escape(name), under="Recorded; it counts from now on", content=content)


def refusal_page(refused: FormRefused) -> str:
    """The page of a form that was not carried out."""
    status = HTTPStatus(refused.status)
    content = (
        f'<p class="summary failed">{escape(refused.what)}</p><dl class="facts">'
        f"<dt>Where<dd>{escape(refused.where)}<dt>What to do<dd>{escape(refused.do)}</dl>"
    )
    under = f"{status.value} {escape(status.phrase)}"
    return filled("pipeline.html", title="Nothing was recorded", under=under, content=content)


def _headline(line: Line, entries: Sequence[Entry]) -> str:
    frozen = freeze_in_force(entries)
    facts = [
        ("Champion", escape(line.champion or "nobody")),
        ("Readers see", escape(line.readers or "nothing")),
        ("Promotions", escape(_frozen(frozen)) if frozen else "not frozen"),
        ("Owner", escape(line.owner)),
        ("Next", f"<code>{escape(line.next)}</code>" if line.next else "nothing to do"),
    ]
    night = f'<a href="{escape(line.run)}">{escape(line.day)}</a>' if line.run else escape(line.day)
    what = "; ".join(line.what)
    state = f'<b class="state {line.state.name.lower()}">{escape(line.state)}</b>'
    listed = "".join(f"<dt>{label}<dd>{value}" for label, value in facts if value)
    return f'<p class="summary">{state} {night} {escape(what)}</p><dl class="facts card">{listed}</dl>'


def _frozen(entry: Entry) -> str:
    since = f"{entry.recorded_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return f"frozen since {since} by {entry.by}: {entry.reason} (entry {entry.seq})"


def _timeline(pipeline: str, entries: Sequence[Entry], everything: bool) -> str:
    if not entries:
        return "<p>The ledger has no entry of this pipeline.</p>"
    shown = list(reversed(entries))[: None if everything else FEW]
    head = "<tr><th>Entry<th>Recorded (UTC)<th>What<th>From<th>By<th>Why</tr>"
    more = len(entries) - len(shown)
    link = f'<p><a href="{escape(pipeline)}?show=all">Show all {len(entries)} entries</a></p>' if more else ""
    return f'<div class="scroll"><table>{head}{"".join(map(_row, shown))}</table></div>{link}'


def _row(entry: Entry) -> str:
    of = f"version {entry.version}" if entry.version else ""
    digest = f"<small>{escape(entry.model_sha256[:16])}</small>" if entry.model_sha256 else ""
    as_of = f"<small>as of {entry.as_of}</small>" if entry.as_of else ""
    return (
        f"<tr><td>{entry.seq}<td>{entry.recorded_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        f'<td><span class="kind {escape(entry.kind)}">{escape(entry.kind)}</span> {escape(of)}{digest}'
        f'<td class="day">{entry.effective_from or ""}{as_of}<td class="who">{escape(entry.by)}'
        f'<td class="why">{escape(entry.reason)}</tr>'
    )


def _report(report: Report) -> str:
    content = "".join(f"<p>{escape(line)}</p>" for line in report.plan.found)
    if rows := report.who_scores():
        head = "".join(f"<th>{name}" for name in WHO_SCORES)
        body = "".join(f"<tr>{''.join(f'<td>{_cell(cell)}' for cell in row)}</tr>" for row in rows)
        content += f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'
    content += "".join(_lines(report.days()))
    return content + "".join(f"<p>{escape(line)}</p>" for line in report.rest())


def _cell(value: object) -> str:
    return escape(str(value)) if value else "-"


def _lines(lines: Iterable[str]) -> Iterable[str]:
    """Lines of a report: an indented one is a command."""
    return (
        f"<pre>{escape(line.strip())}</pre>" if line.startswith(" ") else f"<p>{escape(line)}</p>" for line in lines
    )


def _forms(shown: Shown, token: Token) -> Iterator[str]:
    seen = shown.entries[-1].hash if shown.entries else ""
    needless = "freeze" if freeze_in_force(shown.entries) else "unfreeze"
    action = f"{escape(shown.line.pipeline)}/plan"
    for kind, (title, means) in _TITLES.items():
        choices = _choices(shown.entries, kind)
        if kind == needless or (kind in _OF_VERSIONS and not choices):
            continue
        fields = _hidden({"kind": kind, "seen": seen, "token": token(kind)}) + _inputs(kind, choices, shown.next_day)
        yield (
            f'<details class="card"><summary>{title}</summary><small>{means}</small>'
            f'<form method="post" action="{action}">{fields}<button>Show the plan</button></form></details>'
        )


def _inputs(kind: OrderKind, choices: Sequence[tuple[str, str]], next_day: str) -> str:
    fields = ""
    if choices:
        listed = "".join(f'<option value="{escape(value)}">{escape(label)}</option>' for value, label in choices)
        select = f'<select id="{kind}-version" name="version">{listed}</select>'
        fields += f'<label for="{kind}-version">Version</label>{select}'
    if kind in ("rollback", "retirement"):
        fields += (
            f'<label for="{kind}-from">First day</label><input id="{kind}-from" type="date" name="effective_from">'
            f"<p>Empty: the next one to be scored, {escape(next_day)}. A past one may be named, too.</p>"
        )
    return fields + (
        f'<label for="{kind}-reason">Reason</label>'
        f'<input id="{kind}-reason" name="reason" required maxlength="{LONGEST}" autocomplete="off">'
    )


def _choices(entries: Sequence[Entry], kind: OrderKind) -> list[tuple[str, str]]:
    """The versions that an order may name, newest first, with how each is called; none for a freeze."""
    if kind not in _OF_VERSIONS:
        return []
    known = [model for model in reversed(models(entries)) if not retirement_of(entries, model.sha256)]
    if kind == "rollback":
        known = [model for model in known if was_promoted(entries, model)]
    listed = [(_name(entries, model), _label(model)) for model in known]
    return [("", "the champion before the present one"), *listed] if kind == "rollback" and listed else listed


def _name(entries: Sequence[Entry], model: Model) -> str:
    """Return what names it without doubt: its version, or where several have that the first digits of its SHA-256."""
    return model.version if len(named(entries, model.version)) == 1 else model.sha256[:16]


def _label(model: Model) -> str:
    as_of = f", as of {model.as_of}" if model.as_of else ""
    return f"version {model.version}{as_of} ({model.sha256[:16]})"


def _hidden(fields: Mapping[str, str]) -> str:
    return "".join(f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in fields.items())
