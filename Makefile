# Two commands do everything on a fresh Debian or Ubuntu (Python 3.11 to 3.13, apt):
#   make run    set up, start the engine on its embedded defaults, take two payments, keep serving (ARGS=--once: exit)
#   make test   set up, run the tests
# Everything else: make help

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV   ?= .venv
# PYTHON=python3.13 chooses another.
PYTHON ?= $(shell deploy/find-python)
BIN    := $(VENV)/bin
SOURCES := $(shell find dsp sip prompts engine benchmarks -name '*.pyx' -o -name '*.pxd') setup.py pyproject.toml
ARGS   ?=
# Recordings for `make bench`, and the speeds at which those without keys are played.
CORPUS ?= $(wildcard ../shared/corpora)
SPEEDS ?= 0.8,0.9,1,1.1,1.25
export PYTHON

.PHONY: help system run test proofs interop fuzz sanitize lint types check bench docs clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# Debian packages, only those that are missing, only when apt may be used.
system:
	@deploy/system-packages

$(VENV)/.created: deploy/system-packages
	@deploy/system-packages
	@python="$${PYTHON:-$$(deploy/find-python)}"; \
	test -n "$$python" || { echo "Python 3.11 to 3.13 is needed: apt install python3 python3-venv python3-dev" >&2; exit 1; }; \
	"$$python" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	@touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml
	$(BIN)/python -m pip install --quiet 'setuptools>=77.0.3' 'Cython>=3.3,<3.4'
	@# Without the compiled parts, which the next step builds in place: pip would build all of them elsewhere, for nothing.
	PAYTONE_ONLY=nothing $(BIN)/python -m pip install --quiet --no-build-isolation --editable '.[softphone,dev]'
	@touch $@

$(VENV)/.built: $(VENV)/.installed $(SOURCES)
	$(BIN)/python setup.py --quiet build_ext --inplace
	@touch $@

run: $(VENV)/.built  ## Start the engine, show two payments being taken, keep serving (ARGS=--once: then exit)
	$(BIN)/paytone demo $(ARGS)

test: $(VENV)/.built  ## Run the tests (unit, standards, property, end to end)
	$(BIN)/python -m pytest -q -n 2 -m "not e2e and not interop and not soak" $(ARGS)
	@# Calls run in real time: two at a time, and no other work beside them.
	$(BIN)/python -m pytest -q -n 2 -m "e2e and not interop and not soak" $(ARGS)

# Two generations of one library share no environment: the third, the last with Ncco.Pay, has a folder of its own.
$(VENV)/.vonage3: $(VENV)/.created
	@rm -rf $(VENV)/vonage3
	$(BIN)/python -m pip install --quiet --target $(VENV)/vonage3 'vonage>=3.18,<4'
	@touch $@

interop: $(VENV)/.built $(VENV)/.vonage3  ## Run the tests against baresip, SIPp, Kamailio, pjsua2 and the vendors' libraries
	@deploy/system-packages --interop
	$(BIN)/python -m pytest -q -m "interop or soak" $(ARGS)

proofs: $(VENV)/.built  ## The reports on safety: kill -9 at every point, digits left in memory, draining webhooks
	$(BIN)/python -m tests.soak.kill_nine
	$(BIN)/python -m tests.soak.kill_nine --gateway stripe --kills 70
	$(BIN)/python -m tests.soak.memory_scan
	$(BIN)/python -m benchmarks.outbox

fuzz: $(VENV)/.built  ## Fuzz every packet parser under AddressSanitizer (SECONDS_EACH=60)
	VENV=$(VENV) deploy/sanitize fuzz

sanitize: $(VENV)/.built  ## Tests under AddressSanitizer, the media plane under ThreadSanitizer
	VENV=$(VENV) deploy/sanitize address
	VENV=$(VENV) deploy/sanitize thread

lint: $(VENV)/.built  ## ruff, import contracts, stubs of the compiled modules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python tests/check_stubs.py

types: $(VENV)/.built  ## mypy, strict
	$(BIN)/mypy

check: lint types test  ## Everything that needs no other software

# The peers, and what the extra `bench` of pyproject.toml names.
$(VENV)/.bench: $(VENV)/.built
	@deploy/system-packages --bench
	$(BIN)/python -c 'import tomllib; \
	print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["bench"], sep="\n")' \
	| $(BIN)/python -m pip install --quiet --requirement /dev/stdin
	@touch $@

bench: $(VENV)/.bench  ## Measure the detector beside others into benchmarks/results (5 minutes), then calls
	nice $(BIN)/python -m benchmarks.dtmf --out benchmarks/results --speeds $(SPEEDS) \
	$(if $(CORPUS),--corpus $(CORPUS)) $(if $(shell command -v valgrind),--callgrind) $(ARGS)
	$(BIN)/python -m benchmarks.calls

docs: $(VENV)/.built  ## Write the state diagrams and docs/pay.md anew from the tables
	$(BIN)/python docs/make_state_diagrams.py
	$(BIN)/python docs/make_pay_tables.py

clean:  ## Remove what was built, but not the ledger (var/)
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find dsp sip prompts engine benchmarks \( -name '*.so' -o -name '__pycache__' \) -prune -exec rm -rf {} +
