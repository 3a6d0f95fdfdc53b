"""helm, and our chart by it."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import PROJECT
from tests.needs import needs

CHART = PROJECT / "include" / "k8s" / "chart"
HELM = shutil.which("helm")
needs_helm = needs(
    HELM, "no helm: go install helm.sh/helm/v3/cmd/helm@v3.22.0, or see https://helm.sh", "our chart makes what it says"
)
# A helm that `go install` made takes the cluster for Kubernetes 1.20 where it does not ask one.
KUBERNETES = "1.34.0"


def helm(*arguments: str | Path, check: bool = True, timeout: float = 120) -> "subprocess.CompletedProcess[str]":
    """Runs helm."""
    argv = [str(HELM), *map(str, arguments)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=timeout)
    assert done.returncode == 0 or not check, f"{argv} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done


def render(chart: Path = CHART, *arguments: str, namespace: str = "night") -> list[dict[str, Any]]:
    """The objects that the chart makes in a namespace."""
    done = helm("template", "release", chart, "--namespace", namespace, "--kube-version", KUBERNETES, *arguments)
    return [found for found in yaml.safe_load_all(done.stdout) if found]
