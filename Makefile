# Castellan. "make help" lists what can be done; Go and make are all it needs, and Docker for "up".
SHELL := bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
TOOLS := bin/temporal bin/workflowcheck bin/staticcheck bin/gotestsum

# The race detector needs a C compiler; go env says whether there is one.
RACE := $(if $(filter 1,$(shell go env CGO_ENABLED)),-race '-gcflags=modernc.org/...=-d=checkptr=0' '-gcflags=modernc.org/sqlite/lib=-race=false -d=checkptr=0')

# The Temporal CLI that tests start servers with: the pinned one, so that everybody tests the same.
export CASTELLAN_TEMPORAL_CLI ?= $(CURDIR)/bin/temporal

.PHONY: help demo test test-unit test-e2e lint bench bench-code bench-grants bench-reviews contract campaign up down build tools clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Try it: Temporal with its Web UI, a simulated organization and a worker (EXIT=1 ends after the tour)
	@CASTELLAN_TEMPORAL_CLI="$$(scripts/temporal-bin)" go run ./demo $(if $(EXIT),--exit)

test: tools ## Run all tests: those beside the code, end to end with real processes, and the contract if SPECS is given
	@rm -rf dist/results; failed=0; \
	$(MAKE) --no-print-directory test-unit || failed=1; \
	$(MAKE) --no-print-directory test-e2e || failed=1; \
	if [ -n "$(SPECS)" ]; then $(MAKE) --no-print-directory contract || failed=1; \
	else echo "left out: the check against the vendor's OpenAPI files (make contract SPECS=dir)" >&2; fi; \
	scripts/test summary unit large e2e contract || failed=1; \
	exit $$failed

# With the race detector -short; the files with large tests then run without it. SQLite is translated from C, and under the
# detector some twenty times slower: that code alone, which shares nothing with ours, is built without. Lint vets already.
LARGE = $(shell grep -rl --include='*_test.go' 'testing\.Short()' --exclude-dir=e2e .)
test-unit: bin/gotestsum ## Run the tests beside the code
	@[ -n "$(RACE)" ] || echo "no C compiler found: testing without the race detector" >&2
	@scripts/test unit $(RACE) -vet=off -short -timeout 15m $$(go list ./... | grep -v '/castellan/e2e')
	@scripts/test large -vet=off -timeout 15m -run "^($$(grep -ho '^func Test[A-Za-z0-9_]*' $(LARGE) | cut -c6- | paste -sd '|'))$$" $(sort $(dir $(LARGE)))

test-e2e: bin/gotestsum bin/temporal ## Run the end-to-end tests
	@scripts/test e2e -vet=off -count=1 -p 1 -timeout 30m -skip '^TestCampaign' $$(go list ./e2e/... | grep -v /e2e/contract)

lint: bin/staticcheck bin/workflowcheck ## Check formatting, vet, staticcheck, workflow determinism, layout and go.mod
	@scripts/lint

bench: bin/temporal ## Measure the whole with real processes, as a Markdown table (ARGS=flags of e2e/bench)
	@go run ./e2e/bench $(ARGS)

BENCH ?= .
PKG ?= ./...
bench-code: ## Run the benchmarks beside the code (BENCH=pattern, PKG=packages)
	@go test -run '^$$' -bench '$(BENCH)' -benchmem -timeout 30m $(PKG)

# Tests find the folder in CASTELLAN_SPECS; SPECS is its name on make's command line.
SPECS ?= $(CASTELLAN_SPECS)
contract: bin/gotestsum ## Check every request and simulated answer against the vendor's OpenAPI files (SPECS=dir)
	@[ -n "$(SPECS)" ] || { echo "say where the vendor's OpenAPI files are: make contract SPECS=dir" >&2; exit 2; }
	@[ -d "$(SPECS)" ] || { echo "SPECS: there is no folder $(SPECS)" >&2; exit 2; }
	@CASTELLAN_SPECS="$(abspath $(SPECS))" FORMAT=standard-verbose scripts/test contract -count=1 -timeout 5m ./e2e/contract/...

N ?= 20
GRANTS ?= 40
campaign: bin/gotestsum bin/temporal ## Break things at random N times, lend GRANTS grants in each weather, check that all access is right (SEED=first)
	@FORMAT=standard-verbose CASTELLAN_CAMPAIGN=$(N) CASTELLAN_GRANTS=$(GRANTS) CASTELLAN_SEED="$(SEED)" scripts/test campaign -count=1 -p 1 -timeout 60m -run '^TestCampaign' ./e2e/...

bench-grants: bin/gotestsum bin/temporal ## Measure what N open grants cost (5000 take ten minutes and more)
	@FORMAT=standard-verbose CASTELLAN_OPEN_GRANTS=$(N) scripts/test bench-grants -count=1 -timeout 90m -run '^TestManyOpenGrants$$' ./e2e/grants

REVIEW ?= 10000x300
bench-reviews: bin/gotestsum bin/temporal ## Measure a review of so many items and reviewers (REVIEW=10000x300)
	@FORMAT=standard-verbose CASTELLAN_REVIEW=$(REVIEW) scripts/test bench-reviews -count=1 -timeout 30m -run '^TestALargeReview$$' ./e2e/reviews

up: ## Start PostgreSQL, Temporal, its Web UI and a worker in Docker (SIM=1: and the simulator)
	@deploy/secrets.sh
	@$(if $(SIM),CASTELLAN_ATLASSIAN_URL=http://127.0.0.1:8085) docker compose $(if $(SIM),--profile simulator) up --build --detach --wait
	@echo "Temporal Web UI: http://127.0.0.1:8080   Temporal: 127.0.0.1:7233   worker metrics and health: http://127.0.0.1:9090"

down: ## Stop what "up" started; the databases stay
	@docker compose --profile simulator down

build: ## Build static binaries into dist/
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o dist/ ./worker ./starter ./simulator

tools: $(TOOLS) ## Build the pinned tools into bin/, if they are missing or out of date

bin/temporal: tools/go.sum
	@scripts/tool temporal github.com/temporalio/cli/cmd/temporal \
		"-X github.com/temporalio/cli/temporalcli.Version=$$(cd tools && go list -m -f '{{.Version}}' github.com/temporalio/cli | tr -d v)"
bin/workflowcheck: tools/go.sum
	@scripts/tool workflowcheck go.temporal.io/sdk/contrib/tools/workflowcheck
bin/staticcheck: tools/go.sum
	@scripts/tool staticcheck honnef.co/go/tools/cmd/staticcheck
bin/gotestsum: tools/go.sum
	@scripts/tool gotestsum gotest.tools/gotestsum

clean: ## Remove everything that was built, and the demo's files
	rm -rf bin dist .demo
