.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TESTS ?= tests
# Tests wait for processes and timers half of the time.
WORKERS ?= $(shell "$(PYTHON)" -c 'import os; print(min(4, 2 * (os.cpu_count() or 1)))')
# Without bytecode every process of the tests compiles the program anew.
PYTEST = env -u PYTHONDONTWRITEBYTECODE $(BIN)/pytest -n $(WORKERS) --dist worksteal
BUILT := .pulumi
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export FILE
# What a shell may have for other projects: where and how pip installs, and that no module is of this folder.
export PIP_USER := 0
unexport PIP_TARGET PIP_PREFIX PIP_ROOT PIP_DRY_RUN PYTHONSAFEPATH

help: ## show what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.local ## the tour: upload a file, watch the batch it starts (FILE=your.csv)
	@$(BIN)/python -m local demo $${FILE:+-- "$$FILE"}

test: lint ## what must be green before each commit: three minutes
	@$(MAKE) --no-print-directory --jobs 2 types unit

quick: WORKERS := auto
quick: lint ## the part of it for the time between two edits: half a minute
	$(PYTEST) -m "not slow and not browser and not engine" $(addprefix --ignore tests/,local operate batch test_locks.py test_properties.py)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/zizmor --offline --no-progress --quiet .

types: $(VENV)/.dev
	$(BIN)/basedpyright

unit: $(VENV)/.dev
	$(PYTEST) -m "not slow and not browser and not engine" $(TESTS)

slow: $(VENV)/.dev ## the tests that take longer
	$(PYTEST) -m "slow and not browser and not engine" $(TESTS)

# Python 3.12 and 3.13 count lines at no cost; branches take twice the time before 3.14.
LINES = $(shell $(BIN)/python -c 'import sys; print("COVERAGE_CORE=sysmon" * ((3, 12) <= sys.version_info < (3, 14)))')

cover: $(VENV)/.dev ## every test but those that need a browser, and what they leave out
	$(LINES) $(PYTEST) -m "not browser and not engine" --cov $(if $(LINES),,--cov-branch) --cov-report=term $(TESTS)

browser: $(VENV)/.dev ## the tests that drive a Chromium
	$(PYTEST) -m browser $(TESTS)

tools: $(foreach tool,pulumi pulumi-language-yaml,$(if $(shell command -v $(tool)),,$(BUILT)/$(tool))) $(if $(shell command -v go),$(BUILT)/pulumi-sdks)

engine: $(VENV)/.dev tools ## the program on the real Pulumi engine: the one on PATH, or built once with Go
	PATH="$$PATH:$(CURDIR)/$(BUILT)" $(BIN)/pytest -n 3 --dist loadfile -m engine tests/engine

bench: $(VENV)/.dev ## measure this machine
	PATH="$$PATH:$(CURDIR)/$(BUILT)" $(BIN)/python -m benchmarks

# The policy pack first: pulumi-policy takes no newer protobuf, and the stack is tested with what it is
# deployed with. Then all there is, and the others as a part of that. Extras stay, because pip before 24.1
# does not see that a pin of "coverage" is one of "coverage[toml]".
LOCK = $(BIN)/uv pip compile -q --no-header --no-emit-index-url --universal --generate-hashes --no-strip-extras

mutants: $(VENV)/.dev ## what the tests would not notice, in a random sample (MINUTES=20 SEED=1)
	$(BIN)/python .ci/mutants.py --minutes $${MINUTES:-20} --seed $${SEED:-1}

lock: ## pin the dependencies again, with hashes
	$(LOCK) --python-version 3.11 policy/requirements.in -o policy/requirements.txt
	$(LOCK) --python-version 3.11 --extra page --extra local --extra dev --group build pyproject.toml batch/requirements.in -c policy/requirements.txt -o requirements-dev.txt
	$(LOCK) --python-version 3.11 --extra page --extra local --group build pyproject.toml batch/requirements.in -c requirements-dev.txt -o requirements-local.txt
	$(LOCK) --python-version 3.11 pyproject.toml -c requirements-dev.txt -o requirements.txt
	$(LOCK) --python-version 3.13 batch/requirements.in -c requirements-dev.txt -o batch/requirements.txt

clean: ## remove what the targets above made
	rm -rf $(VENV) $(BUILT) .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov

# A lock is complete, so nothing is resolved: a release that came out after it cannot change a thing.
# pip compiles the bytecode as it installs, so the first run is as fast as the second. The clone itself
# is installed with what is there by then.
define install
@echo "Installing $< into $(VENV) (once) ..."
@$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r $<
@PIP_REQUIRE_HASHES=0 $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --no-index --editable .
@broken=$$($(BIN)/python -m pip check) || { echo "$$broken" >&2; exit 1; }
endef

$(VENV)/.local: requirements-local.txt pyproject.toml | $(VENV)/bin/python
	$(install)
	@touch $@

$(VENV)/.dev: requirements-dev.txt pyproject.toml | $(VENV)/bin/python
	$(install)
	@touch $@ $(VENV)/.local

# Static, and without what only the network or a debugger takes: some minutes on two cores, once.

GO_BUILD = CGO_ENABLED=0 go build -C $(<D) -p 2 -trimpath -tags osusergo,grpcnotrace
PULUMI_VERSION = $(shell sed -n 's|.*pulumi/pulumi/sdk/v3 \(v[0-9.]*\).*|\1|p' $<)

$(BUILT)/pulumi: tests/engine/pulumi/go.mod tests/engine/pulumi/go.sum
	@command -v go >/dev/null || { echo "make engine needs pulumi on PATH, or Go to build it with." >&2; exit 1; }
	@echo "Building Pulumi $(PULUMI_VERSION) into $(BUILT) (once) ..."
	@$(GO_BUILD) -ldflags "-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=$(PULUMI_VERSION)" \
		-o $(CURDIR)/$@ github.com/pulumi/pulumi/pkg/v3/cmd/pulumi

$(BUILT)/pulumi-sdks: tests/engine/pulumi/go.mod tests/engine/pulumi/go.sum tests/engine/pulumi/sdks/main.go
	@echo "Building what writes SDKs into $(BUILT) (once) ..."
	@$(GO_BUILD) -ldflags "-s -w" -o $(CURDIR)/$@ ./sdks

$(BUILT)/pulumi-language-yaml: tests/engine/pulumi-yaml/go.mod tests/engine/pulumi-yaml/go.sum
	@echo "Building Pulumi's YAML language host into $(BUILT) (once) ..."
	@$(GO_BUILD) -ldflags "-s -w" -o $(CURDIR)/$@ github.com/pulumi/pulumi-yaml/cmd/pulumi-language-yaml

$(VENV)/bin/python:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fargate-batch needs Python 3.11 or newer: make PYTHON=python3.12")'
	@"$(PYTHON)" -m venv $(VENV)

.PHONY: help demo test quick lint types unit slow cover browser tools engine bench mutants lock clean
