# Every target sets up what it needs; a second run does nothing twice. `make` alone tells what there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

# The oldest supported Python first: the lock is tested on it.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.14 python3; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$python"; break; }; done)

VENV := .venv
BIN := $(VENV)/bin
CODE := $(wildcard service tests loadtest)

PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
UV_COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --custom-compile-command 'make lock'

# $(call debian,PROGRAM OR FILE,PACKAGES): install Debian's packages where what they bring is missing.
define debian
	@command -v $(1) >/dev/null || [[ -e $(1) ]] || { \
		if [[ $$(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then \
			echo 'make: there is no $(1); run: sudo apt-get install $(2)' >&2; exit 1; \
		fi; \
		echo 'make: installing $(2)'; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends $(2) >/dev/null; \
	}
endef

.PHONY: help
help:  ## Tell what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(VENV)/.ready  ## Make .venv with all that is needed, from requirements.lock

# Made anew when the lock changes, so that nothing stays which the lock no longer has.
$(VENV)/.packages: requirements.lock
	@test -n '$(PYTHON)' || { echo 'make: no Python 3.11 or newer; install one or name it: make PYTHON=python3.11' >&2; exit 1; }
	@command -v '$(PYTHON)' >/dev/null || { echo 'make: there is no $(PYTHON); name another: make PYTHON=python3.11' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		package=$$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'); \
		if [[ $$(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then \
			echo "make: this Python has no venv; run: sudo apt-get install $$package" >&2; exit 1; \
		fi; \
		echo "make: installing $$package"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "$$package" >/dev/null; \
	}
	@echo 'make: installing the locked packages into $(VENV)'
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP_INSTALL) --require-hashes --requirement requirements.lock
	@touch $@

# The build backend comes from the lock: build isolation would fetch an unpinned one.
$(VENV)/.ready: $(VENV)/.packages pyproject.toml
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m pip check >/dev/null || { $(BIN)/python -m pip check >&2 || true; \
		echo 'make: requirements.lock does not fit pyproject.toml; run: make lock' >&2; exit 1; }
	@touch $@

.PHONY: dev
dev: setup  ## Start a whole cluster on this machine, with a page that shows it
	@exec $(BIN)/slipstream dev

# Tests wait half of their time: one worker more than cores (on 2 cores 3 took 280 s; 4 took 237 s, and real servers
# that starve for seconds behave as they should then, which not every test is about).
WORKERS ?= $(shell echo $$((1 + $$(nproc))))

# Each worker and each process under test reads the same modules; from bytecode that takes 6 s, not 15.
test: export PYTHONDONTWRITEBYTECODE :=

.PHONY: test
test: setup curl  ## Run all tests, then the short proof and some faults on a cluster
	@$(BIN)/python -m pytest -m 'not alone' --numprocesses $(WORKERS) --dist loadfile
	@$(BIN)/python -m pytest -m alone
	@$(BIN)/python -m tests.proof --short
	@$(BIN)/python -m tests.faults --short

# A compressed stream is read by clients that nobody here wrote; this one is not on every machine.
.PHONY: curl
curl:
	$(call debian,curl,curl)

.PHONY: test-browser
test-browser: setup  ## Try the streams in real browsers, Chromium and Firefox (installs both)
	$(call debian,chromium,chromium)
	$(call debian,firefox-esr,firefox-esr)
	@$(BIN)/python -m pytest tests/browser

.PHONY: lint
lint: setup  ## Look for mistakes, bad habits and odd layout (ruff)
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check --quiet $(CODE) || { echo 'make: the layout differs in the files above; run: make format' >&2; exit 1; }

.PHONY: format
format: setup  ## Mend what can be mended by itself (ruff)
	@$(BIN)/ruff check --fix $(CODE)
	@$(BIN)/ruff format $(CODE)

.PHONY: types
types: setup  ## Check the types (mypy, strict)
	@$(BIN)/mypy $(CODE)

.PHONY: contracts
contracts: setup  ## Check who imports whom (import-linter)
	@$(BIN)/lint-imports

.PHONY: proof
proof: setup  ## Prove the promises on real servers
	@$(BIN)/python -m tests.proof

# `make chaos MINUTES=10 SEED=7` injects the same plan again.
MINUTES ?= 10
SEED ?=

.PHONY: chaos
chaos: setup  ## Break a cluster in every way for a while, and lose nothing: make chaos MINUTES=10
	$(call debian,iptables,iptables)
	$(call debian,/usr/bin/faketime,faketime libfaketime)
	@$(BIN)/python -m tests.faults --minutes '$(MINUTES)' $(if $(SEED),--seed '$(SEED)')

.PHONY: security
security: setup  ## Try every known attack, and say which were not refused
	@$(BIN)/python -m tests.security

.PHONY: bench
bench: setup  ## Measure deliveries, latency, memory, storms and laggards on this machine
	$(call debian,cc,gcc libc6-dev)
	@$(BIN)/python -m loadtest.bench
	@$(BIN)/python -m loadtest.laggards
	@$(BIN)/python -m loadtest.lag
	@$(BIN)/python -m loadtest.storm
	@$(BIN)/python -m loadtest.storm --tokens
	@$(BIN)/python -m loadtest.leaks
	@$(BIN)/python -m loadtest.snapshot
	@$(BIN)/python -m loadtest.filters
	@$(BIN)/python -m loadtest.tenants
	@$(BIN)/python -m loadtest.roads
	@$(BIN)/python -m loadtest.masking
	@$(BIN)/python -m loadtest.allocations

# `make loadtest SCENARIO=list` tells what there is; a file works, too: SCENARIO=my.yaml
SCENARIO ?= smoke

.PHONY: loadtest
loadtest: setup  ## Load the cluster: make loadtest SCENARIO=NAME; writes a report with plots
	$(call debian,wrk,wrk)
	@$(BIN)/python -m loadtest --scenario '$(SCENARIO)'

.PHONY: peers
peers: setup  ## Measure nchan, aiohttp-sse and sse-starlette beside Slipstream
	$(call debian,/usr/sbin/nginx,nginx)
	$(call debian,/usr/lib/nginx/modules/ngx_nchan_module.so,libnginx-mod-nchan)
	$(call debian,cc,gcc libc6-dev)
	@$(BIN)/python -m loadtest.peers

.PHONY: reference
reference: setup  ## Write the generated reference, docs/reference/settings.md
	@$(BIN)/python -c 'from slipstream.settings import reference; print(reference(), end="")' > docs/reference/settings.md

.PHONY: lock
lock: $(VENV)/.packages  ## Bring requirements.lock and requirements-runtime.lock up to date
	@$(UV_COMPILE) --upgrade --all-extras --group build --group lock --output-file requirements.lock
	@$(UV_COMPILE) --no-annotate --group build --constraint requirements.lock --output-file requirements-runtime.lock

.PHONY: clean
clean:  ## Remove all that was made here
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build service/*.egg-info
	@find $(CODE) -type d -name __pycache__ -prune -exec rm -rf {} +
