"""On what the benchmarks ran."""

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import psutil

PACKAGES = ("xgboost-cpu", "pyarrow", "numpy", "apache-airflow", "pyspark", "mlflow", "pandas", "great-expectations")


def machine() -> dict[str, str]:
    """The machine, by words that stand in the page."""
    return {
        "cpu": f"{_cpu()}, {os.cpu_count()} cores",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """What is installed of what the figures depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def _cpu() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
