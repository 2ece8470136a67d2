# Everything below sets itself up: Python >= 3.11 and make are enough.
#
#   PYTHON=python3.12 make test     use this Python instead of the first suitable one
#   WORKERS=8 make test             test processes side by side (default 2)
#   SIZES='10 100' make bench-reconstruct        days of so many million deltas
#   OTHERS=1 make check-setup       the environments of the peers and of lakeapi too
#   HYPOTHESIS_PROFILE=thorough make test      search much longer for counter-examples
#   MINUTES=5 SEED=7 make fuzz      that long, from that seed on; FUZZ='--path lake' and more

.DEFAULT_GOAL := help
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory

WORKERS ?= 2
MINUTES ?= 60
SEED ?= 1
MUTATIONS ?= 100000
LOCK := requirements/dev.lock
BIN := .venv/bin
# A virtual environment holds absolute paths: a moved or copied checkout must make its own.
PLACE := $(firstword $(shell pwd -P | cksum))
READY := .venv/.ready-$(PLACE)
LINKED := .venv/.linked-$(PLACE)
PEERS := .venv-peers/.ready-$(PLACE)
LAKEAPI := .venv-lakeapi/.ready-$(PLACE)
FUZZER := .venv-fuzz/.ready-$(PLACE)

COVERAGE := $(CURDIR)/build/coverage
PYTEST := $(BIN)/python -m pytest
MUTATIONS_EXACT := tests/integration/test_mutations_exact.py
COVERED := --cov=lobproof --cov-report=
COMPILED := 'not slow and not real'
PLAIN := 'kernels and not compiled and not slow and not real'

.PHONY: help demo test coverage test-faults fuzz fuzz-bytes fuzz-documents test-lake test-lakeapi lake lint \
	format \
	bench bench-memory bench-acquire bench-lake bench-reconstruct bench-first-hour bench-metrics bench-shapes \
	bench-capture bench-ablation bench-methods mutation mutation-exact lock setup check-setup \
	check-install clean

help: ## this list
	@echo 'make TARGET, where TARGET is one of'
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

demo: setup ## the whole chain on a simulated exchange, ending with a report to open (a minute; three the first time)
	@$(BIN)/lobproof demo

test: setup ## all tests but the slow ones, those of kernels as plain Python too
	@echo '== 1/2 tests, kernels compiled; those on the recordings, where these are'
	@$(PYTEST) -n $(WORKERS) --dist loadfile -m 'not slow'
	@echo '== 2/2 tests of kernels, the kernels run as plain Python'
	@NUMBA_DISABLE_JIT=1 $(PYTEST) -n $(WORKERS) --dist loadfile -m $(PLAIN)
	@echo 'make test: all tests passed.'

# Measured without the recordings, so that it is the same for everybody.
coverage: setup ## the branch coverage of src, at least 90 % (as long as make test, and half as long again)
	@rm -rf build/coverage && mkdir -p build/coverage
	@COVERAGE_FILE=$(COVERAGE)/compiled $(PYTEST) -n $(WORKERS) --dist loadfile -m $(COMPILED) $(COVERED)
	@COVERAGE_FILE=$(COVERAGE)/plain NUMBA_DISABLE_JIT=1 \
		$(PYTEST) -n $(WORKERS) --dist loadfile -m $(PLAIN) $(COVERED)
	@cd build/coverage && $(CURDIR)/$(BIN)/python -m coverage combine --quiet \
		--rcfile=$(CURDIR)/pyproject.toml --data-file=$(COVERAGE)/all compiled plain
	@$(BIN)/python -m coverage report --data-file=$(COVERAGE)/all --fail-under=90

test-faults: setup ## slow tests: kills, drops, load (about an hour)
	@$(PYTEST) -n $(WORKERS) --dist load -m slow --ignore $(MUTATIONS_EXACT)

fuzz: setup ## damaged recordings and derived days, at random, against a truth kept apart (an hour)
	@PYTHONPATH=tests $(BIN)/python -m fuzz --minutes $(MINUTES) --seed $(SEED) $(FUZZ)

mutation: setup ## defects that gates C and D are to find, 200 seeds each (75 minutes of two cores; goes on if killed)
	@PYTHONPATH=tests $(BIN)/python -W ignore::RuntimeWarning -m mutation

fuzz-bytes: $(FUZZER) ## parsers of bytes and of Parquet, guided by their coverage (MINUTES=30)
	@PYTHONPATH=src:tests .venv-fuzz/bin/python -W ignore -m fuzz_bytes \
		--minutes $(if $(filter file,$(origin MINUTES)),30,$(MINUTES)) --seed $(SEED) $(FUZZ)

fuzz-documents: setup ## every document that is read from disk, mutated (MUTATIONS=100000, half an hour)
	@PYTHONPATH=tests $(BIN)/python -W ignore -m fuzz.documents --mutations $(MUTATIONS) --seed $(SEED)

mutation-exact: setup ## every mutation of 200 simulated markets against gates A and B (an hour)
	@$(PYTEST) -m slow $(MUTATIONS_EXACT)

test-lake: setup ## one day of Crypto Lake's free sample through acquire and doctor (needs the network)
	@$(BIN)/python tools/test_lake.py

test-lakeapi: setup $(LAKEAPI) ## our frames of Crypto Lake's tables beside those of the vendor's own package
	@LOBPROOF_LAKEAPI_PYTHON=$(CURDIR)/.venv-lakeapi/bin/python \
		$(PYTEST) -m 'not slow' tests/integration/test_lakeapi_frames.py

lake: setup ## a fake Crypto Lake of simulated days behind a local S3 server, to try acquire on
	@PYTHONPATH=tests $(BIN)/python tools/serve_lake.py

lint: setup ## ruff, mypy, import-linter, licences, and no addresses or machine paths in any file
	@echo '== ruff' && $(BIN)/ruff check . && $(BIN)/ruff format --check .
	@echo '== mypy' && $(BIN)/mypy
	@echo '== import-linter' && $(BIN)/lint-imports
	@echo '== licences' && $(BIN)/python tools/check_licences.py
	@echo '== files' && $(BIN)/python tools/check_files.py
	@echo 'make lint: nothing to complain about.'

check-setup: setup ## the environment with pip old and new, and uv: the lock's packages and no others
	@$(BIN)/python tools/check_setup.py

check-install: setup ## the wheel with each extra, the newest and the oldest versions (QUICK=1: the worst cases)
	@$(BIN)/python tools/check_install.py

format: setup ## let ruff put the sources into shape
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

bench: setup $(PEERS) ## kernels and the whole path beside peers; writes benchmarks/RESULTS.md
	@PYTHONPATH=tests $(BIN)/python -m benchmarks --peers .venv-peers/bin/python

bench-memory: setup ## peak memory of a simulated day of 50 million level changes (minutes, 4 GB of disk)
	@PYTHONPATH=tests $(BIN)/python -m benchmarks --memory

bench-acquire: setup ## downloads beside a plain copy, validation of 100 M rows (minutes, 2 GB of disk)
	@PYTHONPATH=tests $(BIN)/python -m benchmarks --acquire

bench-lake: setup ## Crypto Lake's files to batches, a day of 100 M rows (minutes, 1 GB of disk)
	@PYTHONPATH=tests $(BIN)/python -m benchmarks --lake

bench-reconstruct: setup ## whole days of Crypto Lake files of 10 to 200 M rows (half an hour, 10 GB)
	@PYTHONPATH=tests $(BIN)/python -m benchmarks --reconstruct $(if $(SIZES),--sizes $(SIZES))

bench-first-hour: setup ## first use, golden samples, verify, report, books at instants (a quarter of an hour)
	@PYTHONPATH=tests $(BIN)/python -m benchmarks --first-hour

bench-metrics: setup ## what the metrics of a day of 100 M rows cost (half an hour, 4 GB of disk)
	@PYTHONPATH=tests $(BIN)/python -m benchmarks --metrics

bench-shapes: setup ## imports in each shape of recordings beside the plain one (minutes)
	@PYTHONPATH=tests $(BIN)/python -m benchmarks --shapes

bench-capture: setup ## 50,000 messages a second into a capture, for a minute (two cores)
	@PYTHONPATH=tests $(BIN)/python -m benchmarks --capture

bench-ablation: setup ## techniques that are often recommended beside the plain variants (minutes)
	@PYTHONPATH=tests $(BIN)/python -m benchmarks --ablation

bench-methods: setup ## K-S, bootstrap, fixed threshold and our gates on the same feeds (make mutation first, or an hour)
	@PYTHONPATH=tests $(BIN)/python -W ignore::RuntimeWarning -m benchmarks --methods $(if $(KEPT),--kept $(KEPT))

lock: setup ## pin what pyproject.toml asks for, with hashes (UPGRADE=1: the newest of everything)
	@sh tools/lock.sh $(LOCK)

setup: $(LINKED) ## only make the virtual environment
	@:

$(READY): $(LOCK) tools/setup.sh
	@sh tools/setup.sh .venv $(LOCK)
	@touch $@

$(LINKED): pyproject.toml $(READY)
	@$(BIN)/python -m pip --disable-pip-version-check install -qq \
		--no-deps --no-build-isolation --editable .
	@touch $@

$(PEERS): benchmarks/peers.txt tools/setup.sh
	@sh tools/setup.sh .venv-peers benchmarks/peers.txt
	@touch $@

$(LAKEAPI): benchmarks/lakeapi.txt tools/setup.sh
	@sh tools/setup.sh .venv-lakeapi benchmarks/lakeapi.txt
	@touch $@

$(FUZZER): requirements/fuzz.txt tools/setup.sh
	@sh tools/setup.sh .venv-fuzz requirements/fuzz.txt
	@touch $@

clean: ## remove what make has made: environments, caches, builds
	rm -rf .venv .venv-peers .venv-lakeapi .venv-fuzz build dist .coverage .hypothesis .pytest_cache .mypy_cache \
		.ruff_cache .import_linter_cache
	find src tests benchmarks tools -name __pycache__ -type d -prune -exec rm -rf {} +
