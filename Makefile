# make help says what there is. Everything that a target needs and the machine lacks, it installs or names.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test simulate torture mutants wrong-designs check bench bench-fleet bench-cluster detect replay-speed fuzz deb rig fmt clippy docs deny units

SCENARIO ?= errors
# Of simulate: how many incidents, and the seed of the first world.
N ?= 20000
FIRST ?= 0
# Of torture: how often the daemon is killed, besides its other ends; SEED repeats a run.
KILLS ?= 300
# Of mutants: one of how many is tried, and beginning with which. SAMPLE=1 tries all of them.
SAMPLE ?= 8
SEED ?= 0
# Of bench-fleet and replay-speed: how many services. Of bench-fleet: how many seconds of each phase are measured.
SERVICES ?= 1000
PHASE ?= 90

TOOLS := target/tools
CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := $(TOOLS)/bin/cargo-deny-$(CARGO_DENY_VERSION)
CARGO_DEB_VERSION := 3.8.0
CARGO_DEB := $(TOOLS)/bin/cargo-deb-$(CARGO_DEB_VERSION)
CARGO_MUTANTS_VERSION := 27.0.0
CARGO_MUTANTS := $(TOOLS)/bin/cargo-mutants-$(CARGO_MUTANTS_VERSION)
CARGO_FUZZ_VERSION := 0.13.1
CARGO_FUZZ := $(TOOLS)/bin/cargo-fuzz-$(CARGO_FUZZ_VERSION)
# Of detect: labelled faults, and series without one.
LABELLED ?= tests/fixtures/incidents.jsonl
HEALTHY ?= tests/fixtures/healthy.jsonl
# Of fuzz: for how long each target, and which.
FUZZ_S ?= 600
TARGETS ?= $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## A bad release, rolled back before your eyes: SCENARIO=errors|latency|outage|blips|monitoring-down|bad-before-deploy
	cargo build --locked --profile demo --no-default-features
	target/demo/rollbackd demo $(SCENARIO)

# Much of a test's time is waiting for a real daemon's real seconds: three times as many at once as there are cores.
TEST_THREADS ?= $(shell echo $$(( 3 * $$(nproc) )))

test: rig ## Every test, against the real Prometheus, Alertmanager, Kubernetes and databases, and an AWS of the machine's own (installed or built when missing); then simulate
	RUST_TEST_THREADS=$(TEST_THREADS) cargo test --locked --lib --bins --test it --test tidy
	cargo test --locked --profile simulate --no-default-features --test pure
	$(MAKE) --no-print-directory simulate N=20000

simulate: ## Worlds in which everything fails, until N incidents were had: N=300000 FIRST=0 (the first seed)
	cargo test --quiet --locked --profile simulate --no-default-features --test simulate -- $(N) $(FIRST)

torture: ## End the daemon again and again, at random moments and at its writes: KILLS=300 [SEED=...]
	KILLS=$(KILLS) cargo test --locked --test it -- --nocapture ended_at_random_moments

mutants: $(CARGO_MUTANTS) ## The domain, changed in small ways that a test must notice: SAMPLE=8 SEED=0 (one of eight, from the first)
	CARGO_MUTANTS=$(abspath $(CARGO_MUTANTS)) tests/mutants/run $(SEED)/$(SAMPLE)

wrong-designs: ## Eleven designs that are wrong on purpose, and which check notices each
	tests/wrong/run

check: fmt clippy docs deny units ## What must hold before a commit: format, lints, docs, licences, the systemd unit

bench: ## The measurements (criterion); the numbers land in target/criterion
	cargo bench --locked

bench-fleet: ## The daemon beside Prometheus's rules and vmalert, judging one fleet on one Prometheus: SERVICES=1000 PHASE=90
	tests/rig/prometheus install
	tests/rig/victoria-metrics install
	cargo build --locked --release
	benches/fleet/run.py --services $(SERVICES) --phase $(PHASE) --json target/bench-fleet-$(SERVICES).json

detect: ## The labelled faults: what rollbackd finds, beside Prometheus's rules on a real Prometheus
	tests/rig/prometheus install
	cargo build --locked --release
	benches/detect.py --program target/release/rollbackd --labelled $(LABELLED) --healthy $(HEALTHY)

bench-cluster: ## The daemon beside a real API server: with 5,000 Deployments and 25,000 pods; and how soon one is set back
	tests/rig/kubernetes install
	cargo build --locked --release
	benches/cluster/undo.py --json target/bench-undo.json
	benches/cluster/run.py --json target/bench-cluster.json

replay-speed: ## A month of three signals replayed, and a tenth of it beside vmalert's replay: SERVICES=1000
	tests/rig/victoria-metrics install
	cargo build --locked --release
	benches/replay/run.py --program target/release/rollbackd --services $(SERVICES) --json target/replay-speed-$(SERVICES).json

fuzz: $(CARGO_FUZZ) ## Random bytes for every parser of bytes from outside, with the nightly toolchain: FUZZ_S=600 TARGETS=webhook
	for target in $(TARGETS); do fuzz/run $(CARGO_FUZZ) $$target $(FUZZ_S) || exit 1; done

deb: $(CARGO_DEB) ## A Debian package, in target/debian
	$(CARGO_DEB) --locked --output target/debian/

# The servers' programs, of which the tests start private ones of their own, and what packages the daemon.
rig: $(CARGO_DEB)
	tests/rig/prometheus install
	tests/rig/alertmanager install
	tests/rig/registry install
	tests/rig/machine install
	tests/rig/kubernetes install
	tests/rig/postgresql install
	tests/rig/mariadb install
	tests/rig/pgbouncer install
	tests/rig/flyway install
	tests/rig/sqlx install
	tests/rig/aws install

fmt:
	cargo fmt --check

# Also without what is optional, with which nobody tests.
clippy:
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --no-default-features -- -D warnings

docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items --quiet

# Offline, after fetching what the lock file names for every platform: advisories would need a database from the network.
deny: $(CARGO_DENY)
	cargo fetch --locked --quiet
	$(CARGO_DENY) --offline check --hide-inclusion-graph bans licenses sources

# Built without optimisation or debug info: a minute and a half instead of many, and their work here takes seconds.
# $(call tool,NAME,VERSION)
define tool
	CARGO_PROFILE_DEV_DEBUG=false CARGO_TARGET_DIR=$(TOOLS)/build-$1 \
		cargo install --quiet --locked --debug --root $(TOOLS) --force $1 --version $2
	rm -rf $(TOOLS)/build-$1 $(TOOLS)/bin/$1-[0-9]*
	mv $(TOOLS)/bin/$1 $@
endef

$(CARGO_DENY):
	$(call tool,cargo-deny,$(CARGO_DENY_VERSION))

$(CARGO_DEB):
	$(call tool,cargo-deb,$(CARGO_DEB_VERSION))

$(CARGO_FUZZ):
	$(call tool,cargo-fuzz,$(CARGO_FUZZ_VERSION))
$(CARGO_MUTANTS):
	$(call tool,cargo-mutants,$(CARGO_MUTANTS_VERSION))

units:
	tests/rig/systemd install
	systemd/check --self-test
	systemd/check
