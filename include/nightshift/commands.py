"""Typed commands: a dataclass to an argv and back. The same argv runs in a task, in a pod and in a shell."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import ClassVar, Self


@dataclass(frozen=True)
class ScoreCommand:
    """Score one shard of a plan."""

    plan: str
    shard: int

    module: ClassVar[str] = "nightshift.scoring"
    prog: ClassVar[str] = "score"

    def argv(self) -> list[str]:
        """The arguments after ``python -m nightshift.scoring``."""
        return [self.prog, "--plan", self.plan, "--shard", str(self.shard)]

    @classmethod
    def parse(cls, argv: Sequence[str]) -> Self:
        """The command that ``argv()`` made; leaves with status 2 and a usage line where it is not one."""
        parser = _parser(cls.module, cls.prog, "Score one shard of a scoring plan.")
        parser.add_argument("--plan", required=True, help="URI of the plan that plan_scoring wrote")
        parser.add_argument("--shard", required=True, type=int, help="number of the shard, from 0")
        found = parser.parse_args(list(argv))
        return cls(plan=found.plan, shard=found.shard)


@dataclass(frozen=True)
class FeaturesCommand:
    """Build the features and labels of a build plan with Spark. ``first`` and ``last`` are for the reader of a log."""

    pipeline: str
    first: date
    last: date
    plan: str

    module: ClassVar[str] = "spark_jobs/main.py"
    prog: ClassVar[str] = "features"

    def argv(self) -> list[str]:
        """The arguments after ``spark_jobs/main.py``."""
        days = ["--from", self.first.isoformat(), "--to", self.last.isoformat()]
        return [self.prog, "--pipeline", self.pipeline, *days, "--plan", self.plan]

    @classmethod
    def parse(cls, argv: Sequence[str]) -> Self:
        """The command that ``argv()`` made; leaves with status 2 and a usage line where it is not one."""
        parser = _parser(cls.module, cls.prog, "Build features and labels.")
        parser.add_argument("--pipeline", required=True)
        parser.add_argument("--from", dest="first", required=True, type=date.fromisoformat)
        parser.add_argument("--to", dest="last", required=True, type=date.fromisoformat)
        parser.add_argument("--plan", required=True, help="URI of the build plan")
        found = parser.parse_args(list(argv))
        return cls(pipeline=found.pipeline, first=found.first, last=found.last, plan=found.plan)


@dataclass(frozen=True)
class AuditCommand:
    """Audit staged files with Great Expectations' Spark engine, for partitions too large for pandas."""

    request: str

    module: ClassVar[str] = "spark_jobs/main.py"
    prog: ClassVar[str] = "audit"

    def argv(self) -> list[str]:
        """The arguments after ``spark_jobs/main.py``."""
        return [self.prog, "--request", self.request]

    @classmethod
    def parse(cls, argv: Sequence[str]) -> Self:
        """The command that ``argv()`` made; leaves with status 2 and a usage line where it is not one."""
        parser = _parser(cls.module, cls.prog, "Audit staged files.")
        parser.add_argument("--request", required=True, help="URI of the audit request")
        return cls(request=parser.parse_args(list(argv)).request)


def _parser(module: str, prog: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"{module} {prog}", description=description, allow_abbrev=False)
    parser.add_argument("command", choices=[prog])
    return parser
