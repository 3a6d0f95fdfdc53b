"""Small file systems for tests, and what fills one."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.needs import skip

# Bytes of a file system that only a test uses.
SMALL = 1 << 30


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """The lake on a file system of 64 MB, where this account may mount one; else where it is."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m,mode=0700", "tmpfs", str(folder)]
    mounted = shutil.which("mount") and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Leaves no room on the file system of a folder, if it is a small one."""
    if shutil.disk_usage(folder).total > SMALL:
        skip(f"{folder} is not on a small file system, and to fill a large one would harm others", "a full disk")
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65_536))
        except OSError:
            pass
    try:
        yield
    finally:
        ballast.unlink()
