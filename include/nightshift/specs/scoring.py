"""How a day is scored, and what is asked of a cluster for it."""

import re
from pathlib import PurePosixPath
from posixpath import normpath
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from nightshift.specs.contract import Duration, Gate, Model

Size = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*(Mi|Gi)$")]
"""Memory, such as `512Mi`."""
KubernetesName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$")]
"""The name of an object of Kubernetes."""

# The code that a pod runs, and what it is loaded from: the image's, the libraries and programs of the system. Python
# looks for modules in the folder where it starts, too, which is /tmp. The lake and the models lie below /nightshift.
_OURS = (
    *("/scoring", "/tmp", "/nightshift"),  # noqa: S108
    *("/bin", "/dev", "/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/passwd", "/lib", "/lib32", "/lib64", "/proc"),
    *("/run/secrets/kubernetes.io", "/sbin", "/sys", "/usr"),
)
# What Python, its libraries and the system's loader take code from.
_TAKES_CODE = re.compile(r"PYTHON.*|LD_.*|GLIBC_.*|PATH|HOME")


class Toleration(Model):
    """A taint of nodes that scoring pods accept, in Kubernetes' words."""

    key: str | None = None
    """The taint's key; every one where there is none."""
    operator: Literal["Equal", "Exists"] = "Equal"
    """`Exists` takes any value."""
    value: str | None = None
    """The taint's value."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """The taint's effect; every one where there is none."""


class Volume(Model):
    """Something that scoring pods find mounted: of `claim`, `secret` and `config_map` exactly one."""

    mount: Annotated[str, StringConstraints(pattern=r"^/[^:]+$")]
    """The path in the pod."""
    claim: KubernetesName | None = None
    """The name of a persistent volume claim."""
    secret: KubernetesName | None = None
    """The name of a secret, whose keys are files there."""
    config_map: KubernetesName | None = None
    """The name of a config map, whose keys are files there."""
    read_only: bool = True
    """Whether pods cannot write there."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        named = [name for name in (self.claim, self.secret, self.config_map) if name]
        if len(named) != 1:
            raise ValueError(f"{len(named)} of claim, secret and config_map are given, one is needed")
        if _meets_ours(self.mount):
            raise ValueError(f"mount {self.mount} is Nightshift's own: take another path")
        return self


class Pod(Model):
    """What a scoring pod asks of the cluster beside `scoring.cpu`, `scoring.memory` and `scoring.deadline`."""

    start: Duration = "5m"
    """How long a pod may wait for a node, and then for its image, before its try fails."""
    memory_factor: Annotated[float, Field(ge=1)] = 2
    """A pod that was killed for memory is tried again with that many times as much."""
    memory_ceiling: Size | None = None
    """The most memory of any try; four times `scoring.memory` where this is not given."""
    node_selector: dict[str, str] = Field(default={})
    """Labels that a node must have."""
    tolerations: tuple[Toleration, ...] = ()
    """Taints of nodes that pods accept."""
    priority_class: KubernetesName | None = None
    """The priority class of pods."""
    volumes: dict[KubernetesName, Volume] = Field(default={})
    """Volumes beside those of the pod template, by name."""
    environment: dict[Annotated[str, StringConstraints(pattern=r"^[A-Z_][A-Z0-9_]*$")], str] = Field(default={})
    """Environment variables. Not for secrets, which everybody who may look at pods would read: mount them as files."""

    @model_validator(mode="after")
    def _code_stays_the_images(self) -> Self:
        if taken := [name for name in self.environment if _TAKES_CODE.fullmatch(name)]:
            raise ValueError(f"environment {taken[0]} would have a pod run other code than its image's: leave it out")
        return self


class Scoring(Model):
    """How a day is scored."""

    rows_per_shard: Annotated[int, Field(ge=1)] = 1_000_000
    """The greatest number of rows of one file of features, which one process scores."""
    cpu: Annotated[float, Field(gt=0)] = 1
    """How many processors it may use."""
    memory: Size = "1Gi"
    """How much memory it may use, such as `512Mi`."""
    deadline: Duration = "15m"
    """How long it may take; of a pod from the moment that a node has taken it, so that pulling the image counts."""
    pod: Pod = Pod()
    """What a scoring pod asks of the cluster, where shards are scored by pods."""
    gate: Gate = Gate()
    """What is audited before the predictions of a day are published: `block` or `warn`."""

    @model_validator(mode="after")
    def _ceiling_over_memory(self) -> Self:
        ceiling = self.pod.memory_ceiling
        if ceiling is not None and mebibytes(ceiling) < mebibytes(self.memory):
            raise ValueError(f"pod.memory_ceiling {ceiling} is less than memory {self.memory}")
        return self

    def memory_after(self, kills: int) -> int:
        """Mebibytes of the try that follows so many tries that were killed for memory."""
        first = mebibytes(self.memory)
        ceiling = mebibytes(self.pod.memory_ceiling) if self.pod.memory_ceiling else 4 * first
        return int(min(first * self.pod.memory_factor**kills, ceiling))


def _meets_ours(mount: str) -> bool:
    """Return whether a path, however it is written, covers one of ours, or lies below one."""
    path = PurePosixPath(normpath(f"/{mount.lstrip('/')}"))
    return any(path.is_relative_to(ours) or PurePosixPath(ours).is_relative_to(path) for ours in _OURS)


def mebibytes(size: str) -> int:
    """A size such as ``1Gi`` in mebibytes."""
    return int(size[:-2]) * (1024 if size.endswith("Gi") else 1)
