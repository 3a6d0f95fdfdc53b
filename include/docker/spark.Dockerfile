# What the driver and the executors of a Spark job on Kubernetes run: Java, pyspark, pyarrow, `spark_jobs`, and the few
# modules of nightshift that it imports. `make spark-image` builds it.
# PYTHON has the version of the platform's Python: a feature module's hash is that of its syntax tree.
# A feature module that imports more (pandas, for a pandas_udf) needs an image made FROM this one.
ARG PYTHON=python:3.12-slim-bookworm

FROM ${PYTHON} AS build
COPY requirements-spark.txt /tmp/
# What only builders of other packages and tests need goes, Arrow's client for Flight, and of Spark its examples and what
# is for streams, Hive, machine learning and Spark Connect.
RUN python -m pip install --no-cache-dir --no-compile --no-deps --require-hashes --target /packages \
        -r /tmp/requirements-spark.txt \
    && rm -rf /packages/bin /packages/pyarrow/include /packages/pyarrow/src /packages/pyarrow/*flight* \
        /packages/numpy/_core/include /packages/pyspark/examples /packages/pyspark/data /packages/pyspark/tests \
    && cd /packages/pyspark/jars && rm -f rocksdbjni-* hive-* derby* spark-hive* spark-mllib_* breeze* spire* cats-kernel* \
        spark-connect_* spark-streaming_* && cd / \
    && find /packages -depth -type d -name tests -exec rm -rf {} + \
    && find /packages -name '*.py[ix]' -o -name '*.px[di]' | xargs rm -f
COPY include/nightshift/__init__.py include/nightshift/commands.py include/nightshift/errors.py include/nightshift/exit_status.py \
    include/nightshift/java.py include/nightshift/lineage.py include/nightshift/parts.py include/nightshift/publications.py include/nightshift/settings.py \
    include/nightshift/source_code.py include/nightshift/spark.py include/nightshift/storage.py /packages/nightshift/
COPY include/nightshift/syntax/__init__.py include/nightshift/syntax/bindings.py include/nightshift/syntax/effects.py \
    include/nightshift/syntax/modules.py include/nightshift/syntax/names.py include/nightshift/syntax/normal.py include/nightshift/syntax/reach.py \
    include/nightshift/syntax/uses.py /packages/nightshift/syntax/
COPY include/nightshift/features/__init__.py include/nightshift/features/build_plan.py \
    include/nightshift/features/unbuilt.py /packages/nightshift/features/
COPY include/nightshift/tables/__init__.py include/nightshift/tables/damage.py include/nightshift/tables/publish.py \
    include/nightshift/tables/rows.py include/nightshift/tables/staging.py include/nightshift/tables/state.py \
    include/nightshift/tables/store.py /packages/nightshift/tables/

FROM ${PYTHON}
ARG VERSION=unknown
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="nightshift-spark" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${COMMIT}"
# tini hears SIGTERM and collects processes that ended; libnss-wrapper gives a name to whatever account a pod has, which
# Hadoop asks for.
RUN mkdir -p /usr/share/man/man1 \
    && apt-get update && apt-get install -y --no-install-recommends openjdk-17-jre-headless tini libnss-wrapper \
    && rm -rf /var/lib/apt/lists/* /usr/share/man
# Spark asks Java for a module that only linear algebra of its MLlib uses; with it each job begins with a warning.
RUN printf '#!/bin/sh\nfor word do shift; [ "$word" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$word"; done\n\
exec %s "$@"\n' "$(readlink -f /usr/bin/java)" >/usr/local/bin/java && chmod 755 /usr/local/bin/java
COPY --from=build /packages /packages
COPY spark_jobs /nightshift-jobs/spark_jobs
COPY include/docker/spark-entrypoint.sh /usr/local/bin/spark-entrypoint
ENV PYTHONPATH=/nightshift-jobs:/packages PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PYTHONWARNINGS=ignore \
    PYSPARK_PYTHON=/usr/local/bin/python3 SPARK_HOME=/packages/pyspark JAVA_HOME=/usr/local HOME=/tmp
# The bytecode of what a job imports, and of nothing else; never looked at again, so that no file's time matters.
RUN python -c "import sys, py_compile, spark_jobs.main, spark_jobs.building, pyspark.daemon, pyspark.worker; \
[py_compile.compile(file, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH) \
 for file in {getattr(module, '__file__', None) or '' for module in list(sys.modules.values())} if file.endswith('.py')]"
USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["/usr/local/bin/spark-entrypoint"]
