# "make" or "make help" lists the targets.

GO ?= go

# go run builds it from source, so it is the same on every machine. The first time
# takes minutes, after that it comes from the build cache.
GOLANGCI_LINT ?= $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.12.2

TESTFLAGS ?=

.PHONY: help
help: ## print the targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 10

.PHONY: test
test: ## vet, lint and all tests, with a PostgreSQL in a container
	@set -e; \
	if [ -z "$$EVENTSOURCE_TEST_POSTGRES" ]; then \
		EVENTSOURCE_POSTGRES_IMAGE=$$(./internal/testenv/docker.sh); \
		export EVENTSOURCE_POSTGRES_IMAGE; \
		echo "image: $$EVENTSOURCE_POSTGRES_IMAGE"; \
	fi; \
	set -x; \
	$(GO) vet ./...; \
	$(GOLANGCI_LINT) run ./...; \
	$(GO) run ./internal/testenv/run -- $(GO) test -race -timeout 20m $(TESTFLAGS) ./...

.PHONY: lint
lint: ## run the linters
	$(GOLANGCI_LINT) run ./...

.PHONY: fmt
fmt: ## format the code
	$(GO) fmt ./...
