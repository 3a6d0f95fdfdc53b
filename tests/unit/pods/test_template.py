from pathlib import Path

import pytest

from nightshift.errors import SpecError
from nightshift.pods.template import check_template, read_template
from tests.conftest import PROJECT

TEMPLATE = PROJECT / "include" / "k8s" / "scoring-pod.yaml"


def test_ours_is_good() -> None:
    template, problems = check_template(TEMPLATE)
    assert problems == []
    assert template["spec"]["automountServiceAccountToken"] is False


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "readOnlyRootFilesystem",
            "readOnlyRootFileSystem",
            ":{line}: spec.containers.0.securityContext: no key 'readOnlyRootFileSystem'; "
            "did you mean readOnlyRootFilesystem?",
        ),
        ("runAsUser: 10001", "runAsUser: root", ":{line}: spec.securityContext.runAsUser: 'root' is not of type "),
        ("kind: Pod", "kind: Pood", ":1: not a pod: kind must be Pod, apiVersion v1"),
        ("apiVersion: v1", "apiVersion: v7", ":1: not a pod: kind must be Pod, apiVersion v1"),
        (
            "- name: score",
            "- name: base",
            ": no container is called 'score', which is the one that scores; found: base",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = TEMPLATE.read_text()
    assert text.count(old) >= 1
    path = tmp_path / "pod.yaml"
    path.write_text(text.replace(old, new))
    line = 1 + text[: text.index(old)].count("\n")
    with pytest.raises(SpecError) as caught:
        read_template(path)
    assert message.format(line=line) in str(caught.value)


def test_a_template_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"pod\.yaml:1: the pod template cannot be read: No such file.*POD_TEMPLATE"):
        read_template(tmp_path / "pod.yaml")
