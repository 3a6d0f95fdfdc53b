"""A report of pip-audit, in words: what is vulnerable, what could not be looked up, and the exit status."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NONE_KNOWN, VULNERABLE, UNKNOWN = 0, 1, 2


@dataclass(frozen=True)
class Verdict:
    """Lines for people, and the exit status.

    Status 1: a vulnerability is known. 2: none is known, but of some packages nothing could be looked up.
    """

    lines: tuple[str, ...]
    status: int


def verdict(report: Mapping[str, Any]) -> Verdict:
    """Return the verdict on a report as ``pip-audit --format json`` writes it.

    pip-audit itself calls a package that its database does not have "no known vulnerabilities"; here it is unknown.
    """
    dependencies = report["dependencies"]
    skipped = sorted(item["name"] for item in dependencies if "skip_reason" in item)
    flawed = sorted((item["name"], item["version"], item["vulns"]) for item in dependencies if item.get("vulns"))
    lines = [
        f"{name} {version}: {flaw['id']}{_fixed(flaw['fix_versions'])}"
        for name, version, flaws in flawed
        for flaw in flaws
    ]
    if skipped or not dependencies:
        count = f"{len(skipped)} of {len(dependencies)} packages"
        lines.append(f"UNKNOWN for {count}, which could not be looked up: {', '.join(skipped)}")
    if not lines:
        lines.append(f"no vulnerability is known of {len(dependencies)} packages")
    return Verdict(tuple(lines), VULNERABLE if flawed else UNKNOWN if skipped or not dependencies else NONE_KNOWN)


def _fixed(versions: list[str]) -> str:
    return f", mended in {' and '.join(versions)}" if versions else ", not mended yet"
