"""Pod templates, strictly: a key that Kubernetes does not know is an error here, which it would drop in silence."""

from pathlib import Path
from typing import Any

from nightshift.pods.kinds import SCORING, Kind
from nightshift.specs.document import Document, Problem, read_document
from nightshift.specs.load import shown, spec_error
from nightshift.specs.spelling import nearest


def read_template(path: Path, kind: Kind = SCORING) -> dict[str, Any]:
    """The template. Raises SpecError, which lists what is wrong by file and line."""
    template, problems = check_template(path, kind)
    if problems:
        raise spec_error(problems)
    return template


def check_template(path: Path, kind: Kind = SCORING) -> tuple[dict[str, Any], list[Problem]]:
    """The template as far as it could be read, and its problems."""
    file = shown(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        words = f"the pod template cannot be read: {why}; set {kind.template} to another"
        return {}, [Problem(file, 1, words)]
    document, problems = read_document(file, text)
    if document is None:
        return {}, problems
    if not isinstance(document.data, dict) or document.data.get("kind") != "Pod":
        return {}, [*problems, Problem(file, 1, "not a pod: kind must be Pod, apiVersion v1")]
    return document.data, [*problems, *_unknown(document, file), *_missing(document, file, kind)]


def _unknown(document: Document, file: str) -> list[Problem]:
    """What is not of the schema of the newest Kubernetes that is known here."""
    import kubernetes_validate

    try:
        kubernetes_validate.validate(document.data, kubernetes_validate.latest_version(), strict=True)
    except kubernetes_validate.ValidationError as error:
        location = list(error.absolute_path)
        where = ".".join(map(str, location)) or "the pod"
        known = error.schema.get("properties", {})
        if error.validator != "additionalProperties" or not known:
            return [Problem(file, document.place(location).line, f"{where}: {error.message}")]
        return [
            Problem(file, document.place([*location, key]).line, f"{where}: no key {key!r}{nearest(key, known)}")
            for key in error.instance
            if key not in known
        ]
    except (KeyError, kubernetes_validate.SchemaNotFoundError):
        return [Problem(file, 1, "not a pod: kind must be Pod, apiVersion v1")]
    return []


def _missing(document: Document, file: str, kind: Kind) -> list[Problem]:
    """What Nightshift needs of a template."""
    spec = document.data.get("spec")
    containers = spec.get("containers") if isinstance(spec, dict) else None
    names = [found.get("name") for found in containers or () if isinstance(found, dict)]
    if kind.container in names:
        return []
    found = ", ".join(map(str, names))
    words = f"no container is called {kind.container!r}, which is the one that {kind.does}; found: {found}"
    return [Problem(file, document.place(["spec", "containers"]).line, words)]
