# minigrad: the commands. Each target sets up what it needs; Python >= 3.11 is all that a machine must have.
#
#   make llama       train a small Llama, let it write, then measure tokens/s
#   make test        lint, types and tests
#   make test-opencl the jit's tests and Llama's on an OpenCL device
#   make test-peers  the comparisons with torch and transformers, in an environment of their own
#   make bench       minigrad beside its peers, in about 20 minutes; ARGS=--publish writes README's table and plot
#   make browser     install what looks at pages and draws graphs: Debian's chromium and graphviz (as root)
#   make docs        regenerate the pages that are made from the source
#   make clean       remove environments and caches of this folder

.DEFAULT_GOAL := help
.PHONY: help llama test lint types unit test-opencl test-peers bench browser docs clean
SHELL := /bin/sh

# The first Python on the path that is new enough; `make PYTHON=/path/to/python` overrides it.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python python3.14 python3.13 python3.12 python3.11; do \
    "$$p" -c '$(NEW_ENOUGH)' >/dev/null 2>&1 && command -v "$$p" && break; done)

# Processes that run tests at once, and arguments for pytest: make test JOBS=4 ARGS="-k softmax"
JOBS ?= 2
ARGS ?=

VENV  := .venv
PEERS := .venv-peers
RIVALS := .venv-rivals
POCL  := .pocl
RUN   := $(VENV)/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONUNBUFFERED := 1

help:
	@sed -n 's/^#   //p' Makefile

# $(call install,ENVIRONMENT,EXTRA,WHAT): a virtual environment that holds minigrad, editable, with one of its extras.
define install
	@test -n "$(PYTHON)" || { echo "minigrad needs Python 3.11 or newer: make PYTHON=/path/to/python" >&2; exit 1; }
	@test -x $(1)/bin/python || { echo "==> creating $(1) with $(PYTHON)"; "$(PYTHON)" -m venv $(1); } || { \
	    rm -rf $(1); echo "no virtual environment: is Python's venv module there (Debian: python3-venv)?" >&2; exit 1; }
	@echo "==> installing $(3) into $(1)"
	@$(1)/bin/python -m pip install -qq --editable '.[$(2)]'
	@touch $@
endef

# A stamp is older than pyproject.toml when what it stands for may have changed.
$(VENV)/.llama: pyproject.toml
	$(call install,$(VENV),llama,a C compiler (100 MB) and tokenizers)
$(VENV)/.test: pyproject.toml
	$(call install,$(VENV),test,the checkers and the test tools)
$(PEERS)/.peers: pyproject.toml
	$(call install,$(PEERS),peers,torch and transformers)

# PoCL makes an OpenCL device of the processor. Debian's packages are unpacked, not installed: they bring a clang,
# which would be found on the path and compile the CPU's kernels from then on.
$(POCL)/.unpacked:
	@echo "==> unpacking PoCL into $(POCL)"
	@rm -rf $(POCL) && mkdir -p $(POCL)/partial
	@cd $(POCL) && get="apt-get -qq -o Dir::Cache::archives=$(CURDIR)/$(POCL) -o Debug::NoLocking=1 -o APT::Sandbox::User= \
	    --download-only --no-install-recommends -y install pocl-opencl-icd" && { $$get || { apt-get -qq update && $$get; } ; } \
	    && for package in *.deb; do if test -e "$$package"; then dpkg -x "$$package" . && rm "$$package"; fi; done \
	    || echo "no PoCL: OpenCL is tested only where another platform is installed" >&2
	@touch $@

# The platform that was unpacked, before a command; nothing where none was.
LIBS := $(CURDIR)/$(POCL)/usr/lib/x86_64-linux-gnu
WITH_POCL = $(shell test ! -e $(LIBS)/libpocl.so.2 || echo LD_LIBRARY_PATH=$(LIBS) OCL_ICD_VENDORS=$(LIBS)/libpocl.so.2)

llama: $(VENV)/.llama
	@$(RUN) -m extra.models.llama --demo

test: lint types unit

lint: $(VENV)/.test
	@echo "==> ruff"
	@$(RUN) -m ruff check .

types: $(VENV)/.test
	@echo "==> mypy --strict"
	@$(RUN) -m mypy

unit: $(VENV)/.test $(POCL)/.unpacked
	@echo "==> pytest"
	@$(WITH_POCL) SPEC=1 $(RUN) -m pytest -q -n $(JOBS) --dist worksteal --ignore=test/peers $(ARGS)

test-opencl: $(VENV)/.test $(POCL)/.unpacked
	@echo "==> pytest with DEV=OPENCL"
	@$(WITH_POCL) $(RUN) -c 'from minigrad.runtime.device import get_device; print(get_device("OPENCL").describe())'
	@$(WITH_POCL) SPEC=1 DEV=OPENCL $(RUN) -m pytest -q -n $(JOBS) --dist worksteal test/test_jit.py test/test_llama.py \
	    -k "test_jit or logits_equal or token_by_token or chunks or second_turn" $(ARGS)

test-peers: $(PEERS)/.peers
	@echo "==> pytest test/peers"
	@SPEC=1 $(PEERS)/bin/python -m pytest -q -n $(JOBS) --dist worksteal test/peers $(ARGS)

$(RIVALS)/.rivals: extra/benchmarks/environment.py
	@$(PYTHON) -m extra.benchmarks.environment
	@touch $@

bench: $(VENV)/.llama $(RIVALS)/.rivals
	@$(RUN) -m extra.benchmarks $(ARGS)

browser:
	@command -v chromium >/dev/null && command -v dot >/dev/null || { echo "==> installing chromium and graphviz"; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
	    chromium graphviz >/dev/null; }

docs: $(VENV)/.llama
	@$(RUN) -m tools.env_page > docs/env.md.new && mv docs/env.md.new docs/env.md

clean:
	rm -rf $(VENV) $(PEERS) $(RIVALS) $(POCL) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
