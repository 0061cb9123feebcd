# "make" or "make help" lists the targets.

GO ?= go

# go run builds it from source, so it is the same on every machine. The first time
# takes minutes, after that it comes from the build cache.
GOLANGCI_LINT ?= $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.12.2
LINT = $(GOLANGCI_LINT) run -c '$(CURDIR)/.golangci.yml' ./...

# The latest version whose dependencies the module proxy serves.
GOVULNCHECK ?= $(GO) run golang.org/x/vuln/cmd/govulncheck@v1.8.0
VULNDB ?= https://vuln.go.dev

TESTFLAGS ?=

# What is measured beside this module's store, and what breaks things around it, is
# required by modules of their own.
MODULES = . bench chaos

# $(call each,COMMAND) runs a command in the folder of every module.
each = for module in $(MODULES); do (cd $$module && $(1)) || exit; done

# $(WITH_SERVERS) SERVER... -- COMMAND runs a command with servers.
WITH_SERVERS = GO='$(GO)' ./internal/testenv/with-servers.sh

.PHONY: help
help: ## print the targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: test
test: ## vet, lint and all tests, with PostgreSQL, DynamoDB and Redis in containers
	$(call each,$(GO) vet ./...)
	$(call each,$(LINT))
	$(WITH_SERVERS) postgres dynamodb redis -- $(MAKE) --no-print-directory run-tests

# Four packages at once, since many of their tests wait, and those that take longest first.
# The benchmarks run once each, to see that they work.
.PHONY: run-tests
run-tests:
	$(GO) test -race -timeout 40m -p 4 $(TESTFLAGS) ./store/... ./projection/... ./...
	$(GO) -C bench test -race -timeout 40m $(TESTFLAGS) ./...
	$(GO) -C chaos test -race -timeout 40m $(TESTFLAGS) ./...
	$(GO) test -run '^$$' -bench . -benchtime 1x ./store/memstore ./store/sqlstore ./store/dynamostore ./snapshot

.PHONY: bench
bench: ## measure event stores side by side (see bench/README.md)
	$(WITH_SERVERS) postgres -- $(GO) -C bench run . $(ARGS)

.PHONY: bench-compare
bench-compare: ## compare the benchmarks of BASE, a git ref, with those here (see CONTRIBUTING.md)
	@GO='$(GO)' ./internal/benchcompare/compare.sh

.PHONY: lint
lint: ## run the linters
	$(call each,$(LINT))

# Where the database cannot be reached nothing is known, which is said and is no failure.
.PHONY: vuln
vuln: ## look for known vulnerabilities in what is used, if their database VULNDB can be reached
	@$(call each,if found=$$($(GOVULNCHECK) -db '$(VULNDB)' ./... 2>&1); then echo "$$module: $$found"; \
	elif echo "$$found" | grep -q '^govulncheck: fetching vulnerabilities:'; then \
		echo "$$module: NOT CHECKED: the database of vulnerabilities cannot be reached:"; echo "$$found" | grep '^govulncheck:'; \
	else echo "$$module: $$found"; exit 1; fi)

.PHONY: proof
proof: ## check the models of the protocols with spin (see docs/proof/README.md)
	@docs/proof/check.sh $(ARGS)

# The variables of these two, with their defaults. Without a seed each run has another.
chaos: DURATION ?= 10m
soak: DURATION ?= 1h
KILLS ?= 10m
SEED ?=
LEAK ?=

.PHONY: chaos
chaos: ## break servers, connections and processes at random and check what came of it (DURATION, SEED)
	EVENTSOURCE_CHAOS_DURATION='$(DURATION)' EVENTSOURCE_CHAOS_SEED='$(SEED)' $(WITH_SERVERS) postgres dynamodb -- \
		$(GO) -C chaos test -race -count 1 -timeout 0 -parallel 5 -v -run 'WhateverHappens$$' $(TESTFLAGS) .

# Without the race detector, since it is to be as fast as the machine allows. The
# processes with projections are killed afterwards, since throughput is judged before.
.PHONY: soak
soak: ## save and read as fast as can be, with everything watched that must not grow, then kill projections (DURATION, KILLS, SEED, LEAK)
	EVENTSOURCE_SOAK_DURATION='$(DURATION)' EVENTSOURCE_CHAOS_SEED='$(SEED)' EVENTSOURCE_SOAK_LEAK='$(LEAK)' $(WITH_SERVERS) postgres -- \
		$(GO) -C chaos test -count 1 -timeout 0 -v -run '^TestUnderLoadForALongTime' $(TESTFLAGS) .
	EVENTSOURCE_CHAOS_DURATION='$(KILLS)' EVENTSOURCE_CHAOS_SEED='$(SEED)' $(WITH_SERVERS) postgres dynamodb -- \
		$(GO) -C chaos test -race -count 1 -timeout 0 -v -run '^TestEachEventIsHandled.*WhateverHappens$$' $(TESTFLAGS) .

.PHONY: fmt
fmt: ## format the code
	$(call each,$(GO) fmt ./...)
