"""The suffix of a fingerprint that says which rows a gate removed, without a way back to their keys.

A key has few values where it is a customer's number: who knows its plain hash tries them all. So the hash needs a key
of the environment, which those have who gate, and no Spark job and no scoring pod.
"""

import hmac
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nightshift import storage
from nightshift.errors import NightshiftError
from nightshift.lineage import canonical, with_removed
from nightshift.settings import Settings

_PLAIN = re.compile(r"[^-]+-[0-9a-f]{8}")


def with_removed_rows(fingerprint: str, keys: Sequence[Sequence[Any]], secret: bytes, published: str = "") -> str:
    """The fingerprint of a partition from which a gate removed the rows with these keys. Pure.

    What is ``published`` under the earlier name of the same rows keeps that name: nothing that reads it is stale.
    """
    if not keys or published == (earlier := with_removed(fingerprint, keys)):
        return earlier if keys else fingerprint
    text = canonical(sorted(canonical(list(key)) for key in keys))
    return f"{fingerprint}-k{hmac.digest(secret, text.encode(), 'sha256').hex()[:15]}"


def is_recoverable(fingerprint: str) -> bool:
    """Return whether a fingerprint has the earlier suffix, of which keys with few values can be found by trying."""
    return _PLAIN.fullmatch(fingerprint) is not None


def removal_key(settings: Settings) -> bytes:
    """The environment's key. Made where it is first needed, if ``var`` holds this platform's secrets.

    Raises NightshiftError where there is none and secrets come from elsewhere, such as into a pod, whose ``var`` goes
    with it: two keys of one lake would name the same rows in two ways.
    """
    file = settings.removal_key_file
    if all(secret.is_relative_to(settings.var) for secret in (file, settings.database_file)):
        make_removal_key(file)
    try:
        found = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        why = str(error.strerror)
    except UnicodeDecodeError:  # its words quote the key
        why = "it is no text"
    else:
        if found:
            return found.encode()
        why = "it is empty"
    raise NightshiftError(
        f"the key for the fingerprints of removed rows cannot be read: {why}",
        where=str(file),
        do="put the environment's key there (a backup has it), or name its file by NIGHTSHIFT_REMOVAL_KEY_FILE; "
        "or make a new one, `openssl rand -hex 32`: days that are published after that are built again by what reads "
        "them",
    )


def make_removal_key(file: Path) -> None:
    """Makes a key, for its owner's eyes alone, unless there is one."""
    if not file.exists():
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        storage.create_bytes(str(file), secrets.token_hex(32).encode())
