# What CI runs is what a developer runs: .ci/run calls these targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Tools and services are installed here once.
CACHE := $(or $(DRAKKARTEST_CACHE),$(CURDIR)/.cache)
BIN := $(CACHE)/bin
export DRAKKARTEST_CACHE := $(CACHE)

GOLANGCI_VERSION := v2.15.0
WORKFLOWCHECK_VERSION := v0.6.0
GOLANGCI := $(BIN)/golangci-lint-$(GOLANGCI_VERSION)
WORKFLOWCHECK := $(BIN)/workflowcheck-$(WORKFLOWCHECK_VERSION)
SERVICES := $(BIN)/services

GOTEST := go test -race -shuffle=on
# Packages with a test that wants a real service.
REAL = $(shell grep -rlE 'DRAKKARTEST_|servicestest\.' --include='*_test.go' . | xargs -n1 dirname | sort -u)
FUZZTIME ?= 5s
BENCHTIME ?= 5s

.PHONY: help
help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z\/]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: toolchain ## Builds the commands into bin/
	go build -o bin/ ./cmd/...

.PHONY: toolchain
toolchain:
	@command -v go >/dev/null || { echo 'Go is missing: install the version that go.mod names, or a later one' >&2; exit 1; }
	@cc=$$(go env CC); command -v "$${cc%% *}" >/dev/null || { \
		echo "The C compiler $$cc is missing. The Kafka client is written in C: install gcc and libc6-dev (Debian), or set CC." >&2; exit 1; }
	@[ "$$(go env CGO_ENABLED)" = 1 ] || { echo 'CGO_ENABLED is 0. The Kafka client is written in C: set it to 1.' >&2; exit 1; }

.PHONY: services
services: toolchain
	@mkdir -p $(BIN)
	@go build -o $(SERVICES) ./integration/services/cmd

.PHONY: test
test: services ## Runs all tests, with real servers; installs what they need
	$(SERVICES) run all -- $(GOTEST) -timeout 20m ./...

.PHONY: test/unit
test/unit: toolchain ## Runs the tests that need no service
	go test -short -p 4 -parallel 8 ./... # they wait more than they compute; make test looks for races

.PHONY: test/integration
test/integration: services ## Runs the packages that need a real server
	$(SERVICES) run all -- $(GOTEST) -timeout 20m $(REAL)

.PHONY: conformance
conformance: services ## Runs the conformance suite of all sinks and writes docs/conformance.md
	DRAKKARTEST_CONFORMANCE=write $(SERVICES) run kafka,mongo,postgres,redis -- go test -count=1 -timeout 20m -run Conforms ./sinks/...
	go generate ./sinks/sinkstest/conformance

.PHONY: bench/sinks
bench/sinks: services ## Measures each sink beside the bare loop of its driver, over the same server; BENCHTIME is for each
	$(SERVICES) run kafka,mongo,postgres,redis -- go test -p 1 -run '^$$' -bench BenchmarkDeliver -benchtime $(BENCHTIME) ./sinks/...

.PHONY: fuzz
fuzz: toolchain ## Runs each fuzz target for a few seconds (FUZZTIME)
	@grep -rnoE --include='*_test.go' '^func Fuzz\w+' . | sed -E 's/:[0-9]+:func /:/' | while IFS=: read -r file name; do \
		echo "$$(dirname $$file) $$name"; \
		go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$(dirname $$file)"; \
	done

.PHONY: lint
lint: toolchain $(GOLANGCI) $(WORKFLOWCHECK) ## Runs all linters; installs them
	$(GOLANGCI) run ./...
	$(WORKFLOWCHECK) ./workflows/...
	@! grep -rnE '(Errorf|errors\.New)\("[^"]*failed to' --include='*.go' . \
		|| { echo 'Errors say what was being done: "doing x: %w", not "failed to".' >&2; exit 1; }

$(GOLANGCI):
	GOBIN=$(BIN) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv $(BIN)/golangci-lint $@

$(WORKFLOWCHECK):
	GOBIN=$(BIN) go install go.temporal.io/sdk/contrib/tools/workflowcheck@$(WORKFLOWCHECK_VERSION)
	mv $(BIN)/workflowcheck $@

.PHONY: generate
generate: toolchain ## Writes generated code and pages anew
	go generate ./...

# Compares files rather than asking git what changed, so that it also works
# with changes which are not committed yet.
.PHONY: verify
verify: ## Fails when generated files or go.mod are not current
	@mkdir -p $(CACHE)
	@git ls-files -co --exclude-standard -z | xargs -0 sha256sum > $(CACHE)/verify.before
	@$(MAKE) --no-print-directory generate
	@git ls-files -co --exclude-standard -z | xargs -0 sha256sum | diff $(CACHE)/verify.before - \
		|| { echo 'Generated files were not current: commit what make generate has written.' >&2; exit 1; }
	go mod tidy -diff

.PHONY: model
model: toolchain ## Explores the protocol of a partition; ARGS holds its bounds, see ARGS=-help
	@mkdir -p $(BIN)
	@go test -c -o $(BIN)/model.test ./ingest
	@$(BIN)/model.test -model -- $(ARGS)

.PHONY: stats
stats: ## Prints the sizes of files and functions, and fails when they are over the bars
	go run ./integration/stats

.PHONY: demo
demo: build ## Shows the whole product on real input; ARGS holds its flags, see ARGS=-help
	bin/drakkar demo $(ARGS)

.PHONY: chaos
chaos: toolchain ## Kills parts of a real pipeline at random and proves that nothing is lost; ARGS holds its flags, see ARGS=-help
	@mkdir -p $(BIN)
	@go build -o $(BIN)/chaos ./integration/chaos/cmd
	@$(BIN)/chaos $(ARGS)

.PHONY: bench
bench: toolchain ## Measures a real pipeline against what the machine can do; ARGS holds its flags, see ARGS=-help
	@mkdir -p $(BIN)
	@go build -o $(BIN)/bench ./integration/bench/cmd
	@$(BIN)/bench $(ARGS)

.PHONY: clean
clean: ## Removes what was built; installed tools and services stay in .cache
	rm -rf bin

.PHONY: clean/all
clean/all: clean ## Removes installed tools and services too
	rm -rf $(CACHE)
