# What every part of the platform runs but the databases and the scoring pods: Airflow, its tasks, Spark, MLflow and
# the `nightshift` command, from the same lock as `make setup`. `make airflow-image` builds it.
ARG PYTHON=python:3.12-slim-bookworm
FROM ${PYTHON}

# tini hands signals on and collects what tasks leave behind: Python as process 1 does neither.
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*.log /var/log/apt \
    && groupadd --gid 10001 nightshift \
    && useradd --uid 10001 --gid 10001 --home-dir /tmp --no-create-home --shell /usr/sbin/nologin nightshift

ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp

# uv is one of the developers' locked requirements: its lines, with their hashes, install it first, it installs what the
# platform has, and goes again. Bytecode is never looked at twice, so that no file's time matters.
COPY requirements.txt requirements-platform.txt requirements-build.txt /tmp/
RUN python -m venv /opt/venv \
    && awk '/^uv==/ { on = 1 } on { print } on && !/\\$/ { exit }' /tmp/requirements.txt > /tmp/uv.txt \
    && pip install --quiet --disable-pip-version-check --no-cache-dir --no-compile --no-deps \
        --require-hashes -r /tmp/uv.txt \
    && uv pip install --quiet --no-cache --system-certs --python /opt/venv/bin/python --no-deps --require-hashes \
        -r /tmp/requirements-platform.txt -r /tmp/requirements-build.txt \
    && uv pip uninstall --quiet --python /opt/venv/bin/python uv \
    && find /opt/venv -depth -type d -name tests -path '*/site-packages/*' -not -path '*/airflow/*' -exec rm -rf {} + \
    && rm -rf /tmp/*.txt \
    && (python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib > /dev/null || true)

# Images of Python come without the bytecode of its library, and a user who may not write would compile it at each start.
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash \
        "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" > /dev/null || true

# The code, and nothing else of the project; `nightshift` is importable, and a command.
WORKDIR /opt/nightshift
COPY pyproject.toml README.md ./
COPY include include
COPY spark_jobs spark_jobs
COPY plugins plugins
COPY dags dags
RUN pip install --quiet --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation --editable . \
    && python -m compileall -q --invalidation-mode unchecked-hash include spark_jobs plugins dags \
    # Java's class archive: Spark starts seconds sooner.
    && NIGHTSHIFT_VAR=/tmp/var python -m nightshift.spark_local archive \
    && rm -rf /tmp/* /tmp/.[!.]*

ARG VERSION=unknown
ARG COMMIT
LABEL org.opencontainers.image.title="nightshift-airflow" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${COMMIT}"
# Every manifest that this image writes names the commit. A new volume takes its owner from the folder it is mounted on: var,
# lake and models, MLflow's own, and an object store's.
RUN echo "${COMMIT}" > COMMIT \
    && install -d -o 10001 -g 10001 -m 700 /var/lib/nightshift /var/lib/nightshift-people /nightshift /var/lib/mlflow /objects
ENV NIGHTSHIFT_VAR=/var/lib/nightshift
USER 10001:10001
ENTRYPOINT ["tini", "--"]
CMD ["nightshift", "--help"]
