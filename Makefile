# Works with GNU make 3.81 (macOS) and every sh.
BIN := .venv/bin
READY := .venv/ready
COVERAGE := 85
DOCKER := docker
COMPOSE := $(DOCKER) compose
# A model is scored by the xgboost that is locked for its Python, so the images have the platform's.
SCORING_PYTHON = $(shell $(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || echo 3.12)
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

# What a shell carries about other Pythons must not reach this one.
unexport PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE VIRTUAL_ENV CONDA_PREFIX

.PHONY: help setup demo up down test test-fast test-faults scoring-image spark-image airflow-image compose-env compose-demo test-compose test-kubernetes lint types bench lock audit sbom

help: ## What can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "PYTHON=/path/to/python3.12 make setup chooses the interpreter (3.11, 3.12 or 3.13)."

setup: $(READY) ## The environment in .venv, from the locked requirements; costs nothing when it is there
	@:

demo: setup ## The whole story on real data: land, retrain, backfill; leaves the platform up
	@$(BIN)/nightshift demo

up: setup ## Start Postgres, Airflow and MLflow on this machine
	@$(BIN)/nightshift up

down: ## Stop them
	@if [ -x $(BIN)/nightshift ]; then $(BIN)/nightshift down; else echo "nothing was set up"; fi

test-fast: setup ## The pure tests alone: no process, no network, no Java; what one runs at every save
	$(BIN)/pytest tests -m pure --ignore tests/kubernetes --ignore tests/containers -n 2

# The tasks of a backfill have the lowest priority: beside tests of the usual one they would take twice their time.
test: setup ## The suite, with coverage
	nice -n 19 $(BIN)/pytest --ignore tests/faults --ignore tests/kubernetes --ignore tests/containers -n 3 --dist loadgroup --no-loadscope-reorder --durations=15 --cov --cov-report=term:skip-covered --cov-fail-under=$(COVERAGE)

test-faults: setup ## Break a real platform in every way of docs/reliability.md
	$(BIN)/pytest tests/faults --durations=5

scoring-image: ## The image of scoring pods, nightshift-scoring:VERSION
	$(DOCKER) build $(DOCKER_FLAGS) -f include/docker/scoring.Dockerfile -t nightshift-scoring:$(VERSION) \
		--build-arg PYTHON=python:$(SCORING_PYTHON)-slim-bookworm --build-arg VERSION=$(VERSION) --build-arg COMMIT=$$(git rev-parse --short HEAD 2>/dev/null || echo unknown) .

spark-image: ## The image of Spark's pods, nightshift-spark:VERSION
	$(DOCKER) build $(DOCKER_FLAGS) -f include/docker/spark.Dockerfile -t nightshift-spark:$(VERSION) \
		--build-arg PYTHON=python:$(SCORING_PYTHON)-slim-bookworm --build-arg VERSION=$(VERSION) --build-arg COMMIT=$$(git rev-parse --short HEAD 2>/dev/null || echo unknown) .

airflow-image: ## The image of Airflow, its tasks and MLflow, nightshift-airflow:VERSION
	$(DOCKER) build $(DOCKER_FLAGS) -f include/docker/airflow.Dockerfile -t nightshift-airflow:$(VERSION) \
		--build-arg PYTHON=python:$(SCORING_PYTHON)-slim-bookworm --build-arg VERSION=$(VERSION) --build-arg COMMIT=$$(git describe --always --dirty --abbrev=12 --exclude='*' 2>/dev/null) .

compose-env: ## .env, and files with random passwords, for docker-compose.yaml; what is there stays
	@sh include/docker/compose-env.sh

compose-demo: compose-env airflow-image ## What demo does, in containers; leaves them up (SERVICES=… starts some alone)
	$(COMPOSE) up --detach --wait --wait-timeout 600 $(SERVICES)
	$(COMPOSE) exec -T airflow-scheduler nightshift demo

test-compose: setup ## The demonstration in containers of a project of its own; needs docker, compose and the images
	$(BIN)/pytest tests/containers --durations=5

test-kubernetes: setup ## Score and build features by pods, and break them, on the cluster of KUBECONFIG, which has the images
	$(BIN)/pytest tests/kubernetes tests/unit/k8s --durations=5

lint: setup ## Style, format, import contracts, all specs, and the lock of what decides rows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/nightshift check
	$(BIN)/python -m golden --check

types: setup ## Strict types
	$(BIN)/mypy

bench: setup ## Paired benchmarks; writes the tables of docs/benchmarks.md
	$(BIN)/python -m benchmarks >/dev/null

lock: setup ## Lock what pyproject.toml asks for, for Python 3.11 to 3.13
	$(BIN)/uv pip compile --universal --generate-hashes --python-version 3.11 --no-header --quiet \
		--override requirements-overrides.txt --extra platform --extra dev pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile --universal --generate-hashes --python-version 3.11 --no-header --quiet \
		--override requirements-overrides.txt --constraint requirements.txt --extra platform pyproject.toml -o requirements-platform.txt
	$(BIN)/uv pip compile --universal --generate-hashes --python-version 3.11 --no-header --quiet \
		--constraint requirements.txt pyproject.toml -o requirements-scoring.txt
	printf '%s\n' pyspark pyarrow | $(BIN)/uv pip compile --universal --generate-hashes --python-version 3.11 --no-header --quiet \
		--constraint requirements.txt - -o requirements-spark.txt

audit: setup ## Look up known vulnerabilities of all that is locked; what cannot be looked up is called unknown
	@$(BIN)/python -m supply_chain

# A lock is for several Pythons; an image has one.
sbom: setup ## What the images have of Python packages, as CycloneDX in build/sbom
	@mkdir -p build/sbom
	@set -e; for image in platform scoring spark; do \
		$(BIN)/uv pip compile --quiet --no-header --no-deps --generate-hashes --python-version $(SCORING_PYTHON) requirements-$$image.txt | \
		$(BIN)/python -W ignore -m cyclonedx_py requirements --pyproject pyproject.toml --output-reproducible -o build/sbom/$$image.cdx.json -; \
		echo build/sbom/$$image.cdx.json; \
	done

$(READY): requirements.txt requirements-build.txt pyproject.toml include/nightshift/java.py
	@sh include/nightshift/platform/setup.sh
	@touch $@
