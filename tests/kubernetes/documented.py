"""The commands of docs/kubernetes.md, which are run."""

import re

from tests.conftest import PROJECT

DOCUMENT = PROJECT / "docs" / "kubernetes.md"


def shown(section: str) -> list[str]:
    """The commands below a heading, without those that are marked as not run."""
    text = DOCUMENT.read_text()
    [found] = re.findall(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    blocks = re.findall(r"^```sh\n(.*?)^```", found, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if "# not run: " not in line]
