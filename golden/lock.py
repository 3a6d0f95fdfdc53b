"""The lock: what each part was when its golden rows were made last, and whether that still holds."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from golden.parts import State

FILE = Path(__file__).with_name("lock.json")


def read(file: Path = FILE) -> dict[str, State]:
    """The states in the lock."""
    return {name: State(**item) for name, item in json.loads(file.read_text(encoding="utf-8")).items()}


def write(states: Mapping[str, State], file: Path = FILE) -> None:
    """Write the lock."""
    document = {name: states[name].document() for name in sorted(states)}
    file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def problems(locked: Mapping[str, State], versions: Mapping[str, int], code: Mapping[str, str]) -> Iterator[str]:
    """What of the parts is not as the lock says."""
    for name, version in versions.items():
        was = locked.get(name)
        if was is None:
            yield f"part {name} is not in golden/lock.json; run `python -m golden {name}`"
        elif was.code != code[name] or was.version != version:
            what = "the code" if was.code != code[name] else "the version"
            yield (
                f"{what} of part {name} is not as in golden/lock.json; run `python -m golden {name}`, which makes its "
                "golden rows: if they are others, raise its version in nightshift/parts.py"
            )
    for name in sorted(set(locked) - set(versions)):
        yield f"golden/lock.json has a part {name} that nightshift/parts.py does not declare"


def refusal(was: State | None, now: State) -> str:
    """Why a new state of a part may not be locked; empty where it may."""
    if was is None:
        return ""
    if now.inputs != was.inputs and now.code != was.code:
        return "what makes its golden rows changed together with its code: lock one of them before the other"
    if now.version < was.version:
        return f"its version went from {was.version} back to {now.version}"
    same = now.rows == was.rows or now.inputs != was.inputs
    if not same and now.version == was.version:
        return "its golden rows are others than before: raise its version in nightshift/parts.py, or mend the code"
    if same and now.version > was.version and now.code == was.code:
        return "its version was raised, and neither its code nor its golden rows changed"
    return ""
