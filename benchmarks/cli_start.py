"""How long ``nightshift --help`` takes, beside the help of the tools that an operator also types."""

from benchmarks.figures import Figure, Result, Target
from benchmarks.measure import BIN, Cost, each, process, take_turns
from benchmarks.session import Session


def run(session: Session) -> Result:
    """One figure for each tool."""
    return Result(tuple(_beside(session, tool) for tool in ("airflow", "mlflow")))


def _beside(session: Session, tool: str) -> Figure:
    ours, theirs = take_turns(
        lambda: _help("nightshift"), lambda: _help(tool), session.pick(5, 1), session.say, warm=not session.quick
    )
    return Figure(
        name="`nightshift --help`",
        unit="wall s",
        samples=each(ours, lambda cost: cost.wall),
        peer=f"`{tool} --help`",
        peer_samples=each(theirs, lambda cost: cost.wall),
        target=Target("at most", 1.0),
    )


def _help(tool: str) -> Cost:
    return process(BIN / tool, "--help")
