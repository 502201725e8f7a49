# The commands of the README. `make help` lists them; each does its own set-up on Debian and Ubuntu with Rust.

CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/signalbox/tools
CARGO ?= cargo
export CACHE
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo fleet drain cost watch faults test backtest bench paths simulate build fuzz fmt clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## target/release/signalbox
	@.ci/setup build
	$(CARGO) build --release --locked

demo: ## a router and calls against it, with a live table (SECONDS=20 ends by itself)
	@.ci/setup build
	$(CARGO) run --release --locked -- demo $(if $(filter-out 0,$(SECONDS)),--seconds $(SECONDS))

fleet: ## three routers on an etcd and a Redis, two media nodes, calls across all of them, a drain (SECONDS=60 ends by itself)
	@.ci/setup fleet
	$(CARGO) build --release --locked
	@deploy/fleet/run $(or $(CARGO_TARGET_DIR),target)/release/signalbox $(or $(SECONDS),0)

drain: ## three routers with 15,000 sessions, one of which drains: who is left when, and whether all that was promised holds (three minutes)
	@.ci/setup fleet
	$(CARGO) build --release --locked
	@deploy/fleet/drain $(or $(CARGO_TARGET_DIR),target)/release/signalbox

cost: ## CPU and P99 within one router of a fleet beside that router alone, P99 across three, commands to Redis an event: medians (RUNS=9)
	@.ci/setup fleet
	$(CARGO) build --release --locked
	@COST_RUNS=$(or $(RUNS),9) deploy/fleet/cost $(or $(CARGO_TARGET_DIR),target)/release/signalbox

watch: ## faults on purpose, and whom the shipped rules tell of them: a real Prometheus and Alertmanager, some three minutes
	@.ci/setup test
	$(CARGO) test --locked --test watch each_fault -- --nocapture

faults: ## what faults of etcd, Redis, the network, links and a router cost three routers under load: a table (RUNS=5, FAULT=redis-kill)
	@.ci/setup test
	@mkdir -p target
	FAULTS_RUNS=$(or $(RUNS),5) FAULTS_ONLY=$(FAULT) FAULTS_JSON=$(CURDIR)/target/faults.json \
		$(CARGO) test --locked --test faults each_fault -- --nocapture

test: ## format, lints, docs, every test, dependencies
	@.ci/setup test
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps
	@.ci/deny
	@$(CARGO) test --locked --no-fail-fast | awk '{ print; fflush() } \
		/^test result:/ { passed += $$4; failed += $$6 } END { print passed " passed, " failed " failed" }'

simulate: ## fleets in virtual time: SEEDS=2000 worlds of KIND=directory, kept, or both; SEED=N alone (TRACE=1: event by event)
	@.ci/setup build
	$(CARGO) test --locked --test simulation in_every -- --nocapture

fuzz: ## fuzz both decoders for SECONDS=60 each, on nightly Rust
	@.ci/setup fuzz
	@for target in decode_json decode_protobuf; do \
		mkdir -p tests/fuzz/corpus-run/$$target; \
		(cd tests/fuzz && PATH="$(CACHE)/bin:$$PATH" $(CARGO) +nightly fuzz run --fuzz-dir . $$target \
			corpus-run/$$target corpus/$$target -- -max_total_time=$(or $(filter-out 0,$(SECONDS)),60) -max_len=4096); \
	done

bench: ## signalbox beside the floor on this machine: CPU, latency, memory; and what measuring costs
	@.ci/setup bench
	$(CARGO) bench --locked --bench floor $(if $(BENCH),-- $(BENCH))

backtest: ## the baseline beside the plain rule on 28 days of made-up P99s: false tickets, delays (SEED=1)
	@.ci/setup build
	$(CARGO) run --release --locked --example backtest -- $(or $(SEED),1)

paths: ## what each step of a signal's way costs by itself: criterion, half a minute (PATHS=decode picks)
	@.ci/setup build
	$(CARGO) bench --locked --bench paths -- $(PATHS)

fmt: ## format the sources
	$(CARGO) fmt

clean: ## what builds leave behind
	$(CARGO) clean
	rm -rf tests/fuzz/target tests/fuzz/corpus-run
