# make help says what there is. Everything that a target needs and the machine lacks, it installs or names.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test check bench bench-fleet rig fmt clippy docs deny units

SCENARIO ?= errors
# Of bench-fleet: how many services, and how many seconds of each phase are measured.
SERVICES ?= 1000
PHASE ?= 90

TOOLS := target/tools
CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := $(TOOLS)/bin/cargo-deny-$(CARGO_DENY_VERSION)

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## A bad release, rolled back before your eyes: SCENARIO=errors|latency|outage|blips|monitoring-down|bad-before-deploy
	cargo build --locked --profile demo
	target/demo/rollbackd demo $(SCENARIO)

test: rig ## Every test, against the real Prometheus and Alertmanager (installed when missing)
	cargo test --locked

check: fmt clippy docs deny units ## What must hold before a commit: format, lints, docs, licences, the systemd unit

bench: ## The measurements (criterion); the numbers land in target/criterion
	cargo bench --locked

bench-fleet: ## The daemon beside Prometheus's rules and vmalert, judging one fleet on one Prometheus: SERVICES=1000 PHASE=90
	tests/rig/prometheus install
	tests/rig/victoria-metrics install
	cargo build --locked --release
	benches/fleet/run.py --services $(SERVICES) --phase $(PHASE) --json target/bench-fleet-$(SERVICES).json

# The servers' programs; the tests start private ones of their own.
rig:
	tests/rig/prometheus install
	tests/rig/alertmanager install
	tests/rig/machine install

fmt:
	cargo fmt --check

clippy:
	cargo clippy --locked --all-targets -- -D warnings

docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items --quiet

# Offline, after fetching what the lock file names for every platform: advisories would need a database from the network.
deny: $(CARGO_DENY)
	cargo fetch --locked --quiet
	$(CARGO_DENY) --offline check --hide-inclusion-graph bans licenses sources

# Built without optimisation or debug info: a minute and a half instead of many, and its work here takes three seconds.
$(CARGO_DENY):
	CARGO_PROFILE_DEV_DEBUG=false CARGO_TARGET_DIR=$(TOOLS)/build \
		cargo install --quiet --locked --debug --root $(TOOLS) --force cargo-deny --version $(CARGO_DENY_VERSION)
	rm -rf $(TOOLS)/build
	mv $(TOOLS)/bin/cargo-deny $@

units:
	tests/rig/systemd install
	systemd/check --self-test
	systemd/check
