# What a scoring pod runs: numpy, pyarrow, xgboost, and the few modules of nightshift that `score` imports.
# `make scoring-image` builds it.
# PYTHON has the version of the platform's Python: other versions of xgboost are locked for others.
ARG PYTHON=python:3.12-slim-bookworm

FROM ${PYTHON} AS build
COPY requirements-scoring.txt /tmp/
# What only builders of other packages and tests need goes, and Arrow's client for Flight; of scipy, xgboost knows
# sparse matrices alone.
RUN python -m pip install --no-cache-dir --no-compile --no-deps --require-hashes --target /scoring \
        -r /tmp/requirements-scoring.txt \
    && rm -rf /scoring/bin /scoring/pyarrow/include /scoring/pyarrow/src /scoring/numpy/_core/include \
        /scoring/pyarrow/*flight* /scoring/scipy/stats /scoring/scipy/signal /scoring/scipy/ndimage \
        /scoring/scipy/interpolate /scoring/scipy/integrate /scoring/scipy/io \
    && find /scoring -depth -type d -name tests -exec rm -rf {} + \
    && find /scoring -name '*.py[ix]' -o -name '*.px[di]' | xargs rm -f
COPY include/nightshift/__init__.py include/nightshift/collector.py include/nightshift/commands.py include/nightshift/earlier_scheme.py include/nightshift/errors.py \
    include/nightshift/lineage.py include/nightshift/model_manifest.py include/nightshift/parts.py include/nightshift/publications.py \
    include/nightshift/storage.py /scoring/nightshift/
COPY include/nightshift/tables/__init__.py include/nightshift/tables/damage.py include/nightshift/tables/publish.py \
    include/nightshift/tables/rows.py include/nightshift/tables/staging.py include/nightshift/tables/state.py \
    include/nightshift/tables/store.py /scoring/nightshift/tables/
COPY include/nightshift/scoring/__init__.py include/nightshift/scoring/__main__.py include/nightshift/scoring/plan.py \
    include/nightshift/scoring/score.py include/nightshift/scoring/worker.py /scoring/nightshift/scoring/

FROM ${PYTHON}
ARG VERSION=unknown
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="nightshift-scoring" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${COMMIT}"
COPY --from=build /scoring /scoring
ENV PYTHONPATH=/scoring PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 OPENBLAS_NUM_THREADS=1 HOME=/tmp
# The bytecode of what scoring imports, and of nothing else; never looked at again, so that no file's time matters.
RUN python -c "import sys, py_compile, nightshift.scoring.__main__, nightshift.scoring.worker, xgboost.core; \
[py_compile.compile(file, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH) \
 for file in {getattr(module, '__file__', None) or '' for module in list(sys.modules.values())} if file.endswith('.py')]"
USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["python", "-m", "nightshift.scoring"]
