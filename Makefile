# Everything a developer types. `make` alone lists it. Needs make and Python 3.11 or newer; the rest goes into .venv.

SHELL := bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
PYTHON := $(BIN)/python
PIP := $(PYTHON) -m pip --disable-pip-version-check --quiet install --require-hashes
TEMPLATES := find templates engagement realtime -name '*.html' -print0
FRONTEND_MODULES := frontend/node_modules/.package-lock.json

export HOST ?= 127.0.0.1
export PORT ?= 8000
export TRAFFIC ?= 1
unexport PYTHONDONTWRITEBYTECODE  # as images of Python set it: every process would compile the portal anew

.PHONY: help
help: ## List the commands
	@echo "make <command>:"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- The environment. A stamp file says which lock file is installed, so that a second run takes no time.

$(PYTHON):
	@scripts/make_venv.sh $(VENV)

$(VENV)/installed: requirements.lock | $(PYTHON)
	@echo "Installing what the portal runs on …"
	@$(PIP) -r requirements.lock
	@touch $@

$(VENV)/installed-dev: requirements-dev.lock | $(PYTHON)
	@echo "Installing what tests and tools need …"
	@$(PIP) -r requirements-dev.lock
	@touch $@ $(VENV)/installed

$(FRONTEND_MODULES): frontend/package-lock.json
	@cd frontend && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: install install-dev
install: $(VENV)/installed ## Make .venv with what the portal runs on
	@:
install-dev: $(VENV)/installed-dev ## Make .venv with what tests and tools need as well
	@:

# --- The portal

.PHONY: run
run: install ## Start the portal with demo data and traffic (HOST=127.0.0.1 PORT=8000 TRAFFIC=1)
	@exec $(PYTHON) scripts/run.py

# --- Tests

.PHONY: test test-fast test-sqlite test-postgres
test: install-dev ## Run every test: on SQLite, on PostgreSQL with Redis, and the front end's
	@$(MAKE) --keep-going test-sqlite test-postgres test-frontend

test-fast: install-dev ## Run what needs neither server, browser nor patience, on SQLite
	@$(PYTEST) --numprocesses 2 --dist worksteal --backend sqlite --hypothesis-profile quick \
		-m "not server and not browser and not slow"

# Three at a time: much of a test's time is a server's, a browser's or a wait. Each worker has servers of its own; one
# that has run out of tests takes some from another. Nothing is run a second time: a test that fails now and then is a
# fault to be found, and tests/history.py says which they are.
PYTEST := $(PYTHON) -m pytest --quiet
RUN_TESTS := $(PYTEST) --numprocesses 3 --dist worksteal

test-sqlite: install-dev
	@echo "== Tests on SQLite and the in-memory channel layer"
	@$(RUN_TESTS) --backend sqlite

# Pages, commands, documents and the browser see no database of their own, nor does what is marked `once`: once, above, is
# enough.
test-postgres: install-dev
	@echo "== Tests on PostgreSQL and Redis"
	@$(RUN_TESTS) --backend postgres tests/engagement tests/realtime tests/flows tests/operations

.PHONY: test-loop model coverage
test-loop: install-dev ## Run every test LOOPS times (20) and show how often each one failed
	@for loop in $$(seq $(or $(LOOPS),20)); do echo "== Loop $$loop"; $(MAKE) --keep-going test-sqlite test-postgres || failed=1; \
		done; exit $${failed:-0}

model: install-dev ## Explore the model of delivery: every order of its steps
	@$(PYTHON) -m tests.model

coverage: install-dev ## Measure branch coverage of all tests, servers included
	@scripts/measure_coverage.sh

.PHONY: test-frontend
test-frontend:
	@scripts/with_node.sh "the front end's tests" $(MAKE) run-frontend-tests

.PHONY: run-frontend-tests
run-frontend-tests: $(FRONTEND_MODULES)
	@echo "== Tests of the front end"
	@cd frontend && npm test

# --- Checks, each of which runs even where another one fails

CHECKS := check-format check-lint check-types check-imports check-templates check-django check-migrations check-locks \
	check-advisories check-docs check-frontend

.PHONY: check $(CHECKS)
check: install-dev ## Check format, lint, types, import contracts, templates, settings, migrations, locks, front end
	@$(MAKE) --keep-going $(CHECKS)

check-format:
	@$(BIN)/ruff format --check . || { echo "Not formatted: run \`make format\`."; exit 1; }

check-lint:
	@$(BIN)/ruff check --output-format concise .

check-types:
	@$(BIN)/mypy

check-imports:
	@$(BIN)/lint-imports --no-logo

check-templates:
	@$(TEMPLATES) | xargs -0 -r $(BIN)/djade --target-version 5.2 --check

check-django:
	@$(PYTHON) manage.py check --fail-level WARNING

check-migrations:
	@$(PYTHON) manage.py makemigrations --check --dry-run

check-locks:
	@$(PYTHON) scripts/check_locks.py

check-advisories:
	@$(PYTHON) scripts/check_advisories.py

check-docs:
	@$(PYTHON) scripts/write_docs.py --check

check-frontend:
	@scripts/with_node.sh "the checks of the front end" $(MAKE) --keep-going inspect-frontend compare-frontend

.PHONY: inspect-frontend compare-frontend
inspect-frontend: $(FRONTEND_MODULES)
	@cd frontend && npm run --silent check

compare-frontend: $(FRONTEND_MODULES)
	@scripts/compare_frontend.sh

.PHONY: format
format: install-dev ## Format the code and repair what can be repaired
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix-only --quiet .
	@$(TEMPLATES) | xargs -0 -r $(BIN)/djade --target-version 5.2 || true  # fails where it changed something

# --- Measuring and breaking

.PHONY: bench chaos simulate
bench: install-dev ## Measure fan-out, latency, ingest and memory
	@$(PYTHON) -m benchmarks

chaos: install-dev ## Break servers under load and count what was lost
	@$(PYTHON) -m benchmarks.chaos

simulate: install-dev ## Simulate random runs of hub, sockets and publisher in virtual time (SEEDS=100000)
	@$(PYTHON) -m tests.simulation --seeds $(or $(SEEDS),100000)

# --- Upkeep

.PHONY: frontend docs lock clean
frontend: $(FRONTEND_MODULES) ## Build frontend/ into realtime/static/realtime/ (needs Node)
	@cd frontend && npm run build

docs: install-dev ## Write the parts of docs/ that are made from the code
	@$(PYTHON) scripts/write_docs.py

UV_COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras \
	--no-emit-index-url --custom-compile-command "make lock"

lock: ## Pin requirements*.txt anew into requirements*.lock (UPGRADE=1: at the newest versions)
	@test -x $(BIN)/uv || $(MAKE) install-dev
	@$(UV_COMPILE) $(if $(UPGRADE),--upgrade) requirements.txt --output-file requirements.lock
	@$(UV_COMPILE) $(if $(UPGRADE),--upgrade) requirements-dev.txt --constraint requirements.lock \
		--output-file requirements-dev.lock

clean: ## Remove .venv, the demo database and everything else that was made here
	@rm -rf $(VENV) frontend/node_modules staticfiles .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@rm -f db.sqlite3 db.sqlite3-wal db.sqlite3-shm
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
