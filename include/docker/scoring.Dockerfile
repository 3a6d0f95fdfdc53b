# What a scoring pod runs: numpy, pyarrow, xgboost, and the few modules of nightshift that `score` imports.
#   docker build -f include/docker/scoring.Dockerfile -t nightshift-scoring:VERSION .
# PYTHON must have the version of the platform's Python: xgboost is locked for each, and a plan names its code's hash.
ARG PYTHON=python:3.12-slim-bookworm

FROM ${PYTHON} AS build
COPY requirements-scoring.txt /tmp/
# Headers, tests and the libraries of pyarrow that Parquet, files and object stores do not need are half of it.
RUN python -m pip install --no-cache-dir --no-compile --no-deps --require-hashes --target /scoring \
        -r /tmp/requirements-scoring.txt \
    && rm -rf /scoring/bin /scoring/pyarrow/include /scoring/pyarrow/tests /scoring/pyarrow/src \
        /scoring/pyarrow/libarrow_flight.so* /scoring/pyarrow/libarrow_substrait.so* \
        /scoring/pyarrow/libarrow_python_flight.so* /scoring/numpy/_core/include \
    && find /scoring -depth -type d -name tests -exec rm -rf {} + \
    && find /scoring -name '*.pyi' -delete
COPY include/nightshift/__init__.py include/nightshift/commands.py include/nightshift/errors.py \
    include/nightshift/lineage.py include/nightshift/model_manifest.py include/nightshift/source_code.py \
    include/nightshift/storage.py /scoring/nightshift/
COPY include/nightshift/tables/__init__.py include/nightshift/tables/publish.py include/nightshift/tables/staging.py \
    include/nightshift/tables/state.py /scoring/nightshift/tables/
COPY include/nightshift/scoring/__init__.py include/nightshift/scoring/__main__.py include/nightshift/scoring/plan.py \
    include/nightshift/scoring/score.py include/nightshift/scoring/worker.py /scoring/nightshift/scoring/
# The hash of a file decides whether its bytecode is current, not its time, which a layer does not keep.
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash /scoring \
    && PYTHONPATH=/scoring python -c "import nightshift.scoring.worker"

FROM ${PYTHON}
ARG VERSION=unknown
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="nightshift-scoring" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${COMMIT}"
COPY --from=build /scoring /scoring
# tzdata, C.UTF-8 and nothing of the account's own: the root file system is read-only, /tmp is a volume.
ENV PYTHONPATH=/scoring PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 OPENBLAS_NUM_THREADS=1 HOME=/tmp
USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["python", "-m", "nightshift.scoring"]
