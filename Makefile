# `make demo` and `make test` do all of their own set-up: a virtual environment in .venv, brought up to date when the
# requirements have changed. `make help` lists the targets.
VENV ?= .venv
ARGS ?=
NAME ?= methods
BUDGET ?= tiny

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# An environment once made keeps its Python, until another is asked for.
PYTHON ?= $(shell test -f '$(STAMP)' && '$(BIN)/python' -c '' 2>/dev/null && echo '$(BIN)/python' || echo python3)
INPUTS := requirements.txt requirements/install.sh setup.py pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo study test soak lint docs wheel check-env ops clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 20
	@echo 'Variables: PYTHON=$(PYTHON) (3.10 to 3.12), VENV=$(VENV), ARGS= (passed on by demo, study and test).'

# Bring the environment up to date: its stamp, the files that it depends on, what install.sh is given. The stamp's key
# holds all that an installation depends on; it is written last, so that an interrupted one is done again.
define ensure
version=$$('$(PYTHON)' -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) \
    || { echo "error: '$(PYTHON)' does not run: name Python 3.10, 3.11 or 3.12 with PYTHON=..." >&2; exit 1; }; \
case $$version in 3.10|3.11|3.12) ;; *) \
    echo "error: '$(PYTHON)' is Python $$version, but 3.10, 3.11 or 3.12 is needed: name one with PYTHON=..." >&2; \
    exit 1;; esac; \
key="$$version $(CURDIR) $$(cat $(2) | sha256sum)"; \
if [ "$$key" != "$$(cat '$(1)' 2>/dev/null)" ]; then \
    echo "Setting up $(VENV) with Python $$version: a few minutes"; \
    rm -f '$(1)'; \
    [ "$$('$(BIN)/python' -c 'import pip, sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$$version" ] \
        || '$(PYTHON)' -m venv --clear '$(VENV)' || exit 1; \
    PYTHON='$(abspath $(BIN))/python' bash requirements/install.sh $(3) || exit 1; \
    echo "$$key" > '$(1)'; \
fi
endef

setup: ## create or update the virtual environment
	@$(call ensure,$(STAMP),$(INPUTS),)

setup-dev: setup ## and all that tests, style and documentation need
	@$(call ensure,$(STAMP)-dev,$(INPUTS) $(sort $(wildcard requirements/*.txt)),-r requirements/test.txt)

demo: setup ## generate scenes, pretrain, evaluate; ARGS=--compare adds SimCLR and DenseCL
	@'$(BIN)/python' tools/demo.py $(ARGS)

study: setup ## run one of the poster's studies: NAME=methods BUDGET=tiny
	@'$(BIN)/python' tools/study.py '$(NAME)' --budget '$(BUDGET)' $(ARGS)

# A process a core, each with one thread; tests of a file share what they made, and so a process.
test: setup-dev ## run the tests, on all cores; ARGS goes to pytest
	@OMP_NUM_THREADS=1 '$(BIN)/python' -m pytest -n auto --dist loadfile $(ARGS)

soak: setup-dev ## try to break it: kills, full disks, stopped processes, long runs; an hour on two cores
	@OMP_NUM_THREADS=1 '$(BIN)/python' -m pytest -m soak -n auto --dist loadfile $(ARGS)

lint: setup-dev ## check style and formatting
	@'$(BIN)/python' -m ruff check . && '$(BIN)/python' -m ruff format --check .

docs: setup-dev ## build the documentation site, build/docs/index.html; warnings are errors
	@'$(BIN)/python' -m sphinx -W --keep-going -q -b html docs build/docs

wheel: setup ## build dist/mmdclpp-VERSION-py3-none-any.whl
	@rm -rf build/lib  # else what was deleted since the last time gets in
	@'$(BIN)/python' -m pip wheel --quiet --no-deps --wheel-dir dist .

check-env: setup ## print versions, find broken or mixed installations
	@'$(BIN)/python' tools/check_env.py

ops: setup ## compile mmcv's operators and install mmdet: 10 to 20 minutes on two cores
	@'$(BIN)/python' requirements/compile_ops.py

clean: ## remove the environment and build files; data, .demo and work_dirs stay
	rm -rf '$(VENV)' build dist mmdclpp.egg-info mmdclpp/.mim .pytest_cache .ruff_cache
	find mmdclpp tests tools -name __pycache__ -type d -prune -exec rm -rf {} +
