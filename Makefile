# The commands of the README. `make help` lists them; each does its own set-up on Debian and Ubuntu with Rust.

CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/signalbox/tools
CARGO ?= cargo
export CACHE
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help test build fmt clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## target/release/signalbox
	@.ci/setup build
	$(CARGO) build --release --locked

test: ## format, lints, docs, every test, dependencies
	@.ci/setup test
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps
	@.ci/deny
	$(CARGO) test --locked

fmt: ## format the sources
	$(CARGO) fmt

clean: ## what builds leave behind
	$(CARGO) clean
