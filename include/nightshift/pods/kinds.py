"""The kinds of pods, and the words of each: what its template and its end are told with."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """``container`` of the template does what ``does`` says; the others are settings and keys that people correct."""

    container: str
    does: str
    template: str
    image: str
    more_memory: str
    more_time: str
    more_room: str
    ask: str


SCORING = Kind(
    container="score",
    does="scores",
    template="NIGHTSHIFT_POD_TEMPLATE",
    image="NIGHTSHIFT_SCORING_IMAGE",
    more_memory="nothing: the next try gets more, up to scoring.pod.memory_ceiling; or raise scoring.memory",
    more_time="raise scoring.deadline, or lower scoring.rows_per_shard",
    more_room="lower scoring.cpu and scoring.memory",
    ask="scoring.pod",
)
DRIVER = Kind(
    container="spark",
    does="runs Spark",
    template="NIGHTSHIFT_SPARK_DRIVER_TEMPLATE",
    image="NIGHTSHIFT_SPARK_IMAGE",
    more_memory="raise features.spark.memory",
    more_time="raise features.spark.executors, or look what the job waited for",
    more_room="lower features.spark.cores and features.spark.memory",
    ask="features.spark",
)
EXECUTOR = Kind(
    container="spark",
    does="runs Spark",
    template="NIGHTSHIFT_SPARK_EXECUTOR_TEMPLATE",
    image=DRIVER.image,
    more_memory=DRIVER.more_memory,
    more_time=DRIVER.more_time,
    more_room=DRIVER.more_room,
    ask=DRIVER.ask,
)
