"""A Spark job whose driver and executors are pods: submitted, followed to its end, deleted with its task.

``spark-submit`` makes the driver's pod and is done. Waiting in it would hold a JVM for each job, tell nothing of what
the driver says, and wait for ever for a pod that no node takes (see ``docs/adr``).
"""

import asyncio
import logging
import os
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException

from nightshift.commands import FeaturesCommand
from nightshift.errors import NightshiftError
from nightshift.job import Job
from nightshift.orchestration.pod_lines import PodLines
from nightshift.orchestration.pods import Cluster
from nightshift.pods.kinds import DRIVER, EXECUTOR
from nightshift.pods.spark import IMAGE_HOME, DriverFor, cluster_conf, make_events_folder, write_templates
from nightshift.pods.verdict import Document, failure
from nightshift.specs.model import seconds

if TYPE_CHECKING:
    from kubernetes.client import Configuration

log = logging.getLogger("nightshift.spark")

_LOOK_EVERY_SECONDS = 2
# What a driver takes at most until it asks for executors.
_SPARK_BEGINS_SECONDS = 60
_ENDED = ("Succeeded", "Failed")


class SparkPods:
    """One try of a Spark job in pods. ``deadline`` is how many seconds the driver may take."""

    def __init__(self, job: Job, dag: str, step: str, master: str, deadline: int) -> None:
        self.job, self.master, self.deadline = job, master, deadline
        self.driver = DriverFor(job.pipeline.name, job.day, dag, job.run_id, step, job.attempt)
        self.start = seconds(job.pipeline.features.spark.start)
        self.cluster = Cluster(job.settings.namespace)
        # A signal may come while the other one holds a lock.
        self._cluster_of_stop = Cluster(job.settings.namespace)
        self._submit: subprocess.Popen[str] | None = None
        self._stopped = False
        self._told = ""
        self._executors: NightshiftError | None = None

    def run(self, command: FeaturesCommand) -> None:
        """Runs the job to its end. Raises the error that the driver named, or one that says what became of its pod."""
        self._clear_earlier()
        self._submitted(command)
        name = self.driver.name()
        log.info("driver %s in namespace %s", name, self.cluster.namespace)
        pod = self._followed(name)
        if pod is not None and pod["status"]["phase"] == "Succeeded":
            self.cluster.delete(name)
            return
        raise self._why(name, pod)

    def stop(self) -> None:
        """Ends the job: no driver is left, and with it go its executors, which it owns."""
        self._stopped = True
        if self._submit is not None and self._submit.poll() is None:
            _kill(self._submit)
        for pod in self._cluster_of_stop.pods(self.driver.own("driver")):
            self._cluster_of_stop.delete(pod["metadata"]["name"])

    def _clear_earlier(self) -> None:
        """An earlier try that was killed without a word has left its driver, whose work nobody would take."""
        for pod in self.cluster.pods(self.driver.selector()):
            name = pod["metadata"]["name"]
            if (pod.get("status") or {}).get("phase") not in _ENDED:
                log.info("driver %s of an earlier try is deleted", name)
                self.cluster.delete(name)

    def _submitted(self, command: FeaturesCommand) -> None:
        from nightshift.spark import MAIN, cluster_submit_argv, cluster_submit_environment, spark_conf

        settings = replace(self.job.settings, spark_master=self.master)
        make_events_folder(settings)
        with tempfile.TemporaryDirectory(prefix="nightshift-spark-") as folder:
            write_templates(settings, Path(folder), self.deadline)
            asked = cluster_conf(settings, self.job.pipeline.features.spark, self.driver, Path(folder))
            conf = {**spark_conf(settings), **asked, **self._login(Path(folder)), "spark.app.name": _title(command)}
            argv = cluster_submit_argv(settings, conf, command, f"{IMAGE_HOME}/{MAIN}")
            environment = {**os.environ, **cluster_submit_environment(settings)}
            with subprocess.Popen(
                argv, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                errors="replace", start_new_session=True,
            ) as process:  # fmt: skip
                self._submit = process
                try:
                    if self._stopped:  # before there was a process that could be stopped
                        _kill(process)
                    said, _ = process.communicate()
                except BaseException:
                    self.stop()
                    raise
        if self._stopped:
            self.stop()  # the driver may have been made after the first look for it
            raise NightshiftError("it was stopped while it was submitted", where=f"driver {self.driver.name()}")
        if process.returncode:
            raise _refused(said, process.returncode, self.cluster.namespace)

    def _login(self, folder: Path) -> dict[str, str]:
        """What the connection to the cluster has, in Spark's words; a token is given in a file."""
        known: Configuration = self.cluster.client.api_client.configuration
        prefix = "spark.kubernetes.authenticate.submission"
        files = {"caCertFile": known.ssl_ca_cert, "clientCertFile": known.cert_file, "clientKeyFile": known.key_file}
        login = {f"{prefix}.{name}": str(path) for name, path in files.items() if path}
        if token := known.get_api_key_with_prefix("authorization"):
            path = folder / "token"
            path.touch(mode=0o600)
            path.write_text(token.split()[-1], encoding="utf-8")
            login[f"{prefix}.oauthTokenFile"] = str(path)
        return login

    def _followed(self, name: str) -> Document | None:
        """The driver's pod once it has ended, None where it is gone; its lines go to the task's log meanwhile."""
        from airflow.providers.cncf.kubernetes.utils.pod_manager import PodManager
        from kubernetes.client import V1ObjectMeta, V1Pod
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        manager = PodManager(kube_client=self.cluster.client)
        reference = V1Pod(metadata=V1ObjectMeta(name=name, namespace=self.cluster.namespace))
        lost = (AirflowException, ApiException, HTTPError)
        try:
            asyncio.run(manager.await_pod_start(reference, self.start, self.start))
        except lost:
            pod = self.cluster.pod(name)
            if pod is None or pod["status"]["phase"] == "Pending":
                # A driver that never began does so no more: the next try makes its own.
                self.cluster.delete(name)
                return pod
        over = threading.Event()
        watch = threading.Thread(target=self._watch_executors, args=(name, over), daemon=True)
        watch.start()
        lines = PodLines(self.cluster.client, name, self.cluster.namespace, DRIVER.container)
        try:
            while True:
                for line in lines.follow():
                    self._heard(line)
                pod = self.cluster.pod(name)
                if pod is None or pod["status"].get("phase") in _ENDED or self._stopped:
                    for line in lines.follow():  # where the connection had broken at the end
                        self._heard(line)
                    return pod
                time.sleep(1)
        finally:
            over.set()

    def _heard(self, line: str) -> None:
        from nightshift.spark import is_error_line

        if is_error_line(line):  # it is raised, and whoever catches it says it
            self._told = line
        else:
            log.info("%s", line)

    def _watch_executors(self, name: str, over: threading.Event) -> None:
        """Deletes a driver that no executor ever comes to: it would wait for ever."""
        asked, end = False, time.monotonic() + _SPARK_BEGINS_SECONDS + self.start
        while not over.wait(_LOOK_EVERY_SECONDS):
            with suppress(NightshiftError):  # the cluster does not answer: who follows the driver says so
                found = self.cluster.pods(self.driver.own("executor"))
                if any((pod.get("status") or {}).get("phase") not in (None, "Pending") for pod in found):
                    return
                if found and not asked:
                    asked, end = True, time.monotonic() + self.start
                if time.monotonic() > end:
                    self._executors = self._no_executor(name, found)
                    self.cluster.delete(name)
                    return

    def _no_executor(self, name: str, found: list[Document]) -> NightshiftError:
        if found:
            first = min(found, key=lambda pod: str(pod["metadata"]["name"]))
            return failure(first["metadata"]["name"], first, EXECUTOR)
        return NightshiftError(
            f"it has made no executor in {_SPARK_BEGINS_SECONDS + self.start} s",
            where=f"pod {name}",
            do="see that its account may make pods, and that the quota leaves room for executors",
        )

    def _why(self, name: str, pod: Document | None) -> NightshiftError:
        from nightshift.spark import FAILED, driver_error, is_error_line

        if self._executors is not None:
            return self._executors
        if self._told:
            return driver_error(self._told, FAILED)
        why = failure(name, pod, DRIVER)
        return driver_error(str(why), FAILED) if is_error_line(str(why)) else why


def _title(command: FeaturesCommand) -> str:
    return f"{command.pipeline} {command.first} {command.last}"


def _kill(process: "subprocess.Popen[Any]") -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    except ProcessLookupError:
        return


def _refused(said: str, status: int, namespace: str) -> NightshiftError:
    from nightshift.spark import refusal

    do = "see that Airflow may make pods, services and config maps there, that the quota leaves room, and all is up"
    return NightshiftError(
        f"no driver could be made: {refusal(said) or f'spark-submit ended with status {status}'}",
        where=f"namespace {namespace}",
        do=do,
    )
