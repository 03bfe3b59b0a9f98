# Castellan. "make help" lists the targets. They need Linux, git, bash, make and Go; "up" needs Docker.
SHELL := bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
TOOLS := bin/temporal bin/workflowcheck bin/staticcheck bin/gotestsum

# The race detector needs a C compiler; go env says whether there is one.
RACE := $(if $(filter 1,$(shell go env CGO_ENABLED)),-race '-gcflags=modernc.org/...=-d=checkptr=0' '-gcflags=modernc.org/sqlite/lib=-race=false -d=checkptr=0')

# The Temporal CLI that tests start servers with: the pinned one, so that everybody tests the same.
export CASTELLAN_TEMPORAL_CLI ?= $(CURDIR)/bin/temporal

# Tests trade memory for time: garbage is collected less often. The limit keeps the Temporal server that end-to-end
# tests share from growing to more than 3 GiB.
test test-unit test-race test-large test-e2e test-shipped contract campaign: export GOGC ?= 400
test test-e2e test-shipped campaign: export GOMEMLIMIT ?= 1536MiB

.PHONY: help demo test test-unit test-race test-large test-e2e test-sources test-shipped check lint bench bench-code bench-grants bench-feeds bench-reviews contract campaign up story tutorial pictures down pin build tools tools-server clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Try it: Temporal with its Web UI, a simulated organization and a worker (EXIT=1 ends after the tour)
	@CASTELLAN_TEMPORAL_CLI="$$(scripts/temporal-bin)" go run ./demo $(if $(EXIT),--exit)

test: bin/gotestsum bin/temporal ## Run the tests beside the code, and end to end with real processes
	@rm -rf dist/results; failed=0; \
	$(MAKE) --no-print-directory test-unit || failed=1; \
	$(MAKE) --no-print-directory test-e2e || failed=1; \
	scripts/test summary unit e2e || failed=1; \
	exit $$failed

# Lint runs vet already. The slowest package begins first: the tests of workflows run one after the other.
UNIT = ./workflows $$(go list ./... | grep -v '/castellan/e2e')
test-unit: bin/gotestsum ## Run the tests beside the code
	@scripts/in-memory scripts/test unit -vet=off -short -p 3 -timeout 10m $(UNIT)

# The race detector finds nothing where nothing runs concurrently, so it runs for packages that lock or serve, or whose
# tests do. SQLite, which is translated from C, would be some twenty times slower; it shares no memory with our code,
# and is built without the detector.
RACED = $$(go list -f '{{.ImportPath}} {{join .Imports " "}} {{join .TestImports " "}} {{join .XTestImports " "}} ' ./... | \
	grep -E ' (sync(/atomic)?|net/http/httptest) ' | cut -d ' ' -f 1 | grep -Ev '/castellan/(e2e|workflows$$)')
# In one workflow, only one coroutine runs at a time. Only what workflows share can race, so only tests with many
# workflows at once are run.
RACED_WORKFLOWS = TestRecordedHistoriesReplay|TestTemporaryGrantTenThousandGrants|TestAccessReviewManyReviews
test-race: bin/gotestsum ## Run the tests of packages with concurrency under the race detector
	@[ -n "$(RACE)" ] || { echo "the race detector needs a C compiler" >&2; exit 2; }
	@failed=0; \
	scripts/in-memory scripts/test race $(RACE) -vet=off -short -timeout 25m $(RACED) || failed=1; \
	scripts/in-memory scripts/test race-workflows $(RACE) -vet=off -short -timeout 25m -run '^($(RACED_WORKFLOWS))$$' ./workflows || failed=1; \
	exit $$failed

LARGE = $(shell grep -rl --include='*_test.go' 'testing\.Short()' --exclude-dir=e2e .)
test-large: bin/gotestsum ## Run the slow tests beside the code
	@scripts/in-memory scripts/test large -vet=off -timeout 15m -run "^($$(grep -ho '^func Test[A-Za-z0-9_]*' $(LARGE) | cut -c6- | paste -sd '|'))$$" $(sort $(dir $(LARGE)))

# Those that take longest begin first. With -short, long tests (suite.Long) are left to test-shipped.
E2E = ./e2e/sync ./e2e/grants ./e2e/identities ./e2e/reviews ./e2e/rules $$(go list ./e2e/... | grep -Ev "/e2e/(campaign|contract|sources)")
SHORT ?= -short
test-e2e: bin/gotestsum bin/temporal ## Run the end-to-end tests (SHORT= with the long ones)
	@scripts/in-memory go run ./e2e/server scripts/test e2e -vet=off $(SHORT) -count=1 -p 4 -timeout 30m -skip '^TestCampaign' $(E2E)

SOURCES ?= ./e2e/sources/...
test-sources: bin/gotestsum bin/temporal ## Test identity sources with real servers: slapd, Samba (as root), an npm service
	@go run ./e2e/server scripts/test sources -vet=off -count=1 -p 1 -timeout 20m $(SOURCES)

# The packages whose tests need a Temporal server.
SHIPPED ?= ./e2e/sync ./e2e/grants ./e2e/rules ./e2e/reviews ./e2e/identities
test-shipped: bin/gotestsum bin/temporal tools-server ## Run the end-to-end tests on the Temporal server that Compose ships (PostgreSQL: CASTELLAN_TEST_POSTGRES)
	@scripts/in-memory go run ./e2e/server --shipped scripts/test shipped -vet=off -count=1 -p 3 -timeout 30m -skip '^TestCampaign' $(SHIPPED)

check: ## Run all that CI runs: lint, all tests in all ways, campaigns
	@scripts/check

lint: bin/staticcheck bin/workflowcheck ## Check formatting, vet, staticcheck, workflow determinism, layout and go.mod
	@scripts/lint

bench: bin/temporal ## Measure the whole system with real processes, as a Markdown table (ARGS=flags of e2e/bench)
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
campaign: bin/gotestsum bin/temporal ## Inject random faults N times, with GRANTS grants in each scenario, and check that all access is right (SEED=first)
	@FORMAT=standard-verbose CASTELLAN_CAMPAIGN=$(N) CASTELLAN_GRANTS=$(GRANTS) CASTELLAN_SEED="$(SEED)" scripts/in-memory scripts/test campaign -count=1 -p 2 -parallel 8 -timeout 3h -run '^TestCampaign' ./e2e/...

bench-grants: bin/gotestsum bin/temporal ## Measure what N open grants cost (5000 take at least ten minutes)
	@FORMAT=standard-verbose CASTELLAN_OPEN_GRANTS=$(N) scripts/test bench-grants -count=1 -timeout 90m -run '^TestManyOpenGrants$$' ./e2e/grants

POSTS ?= 500
bench-feeds: bin/gotestsum bin/temporal ## Measure how soon what a feed posts counts (POSTS=500, at 500 a minute)
	@FORMAT=standard-verbose CASTELLAN_FEED_POSTS=$(POSTS) scripts/test bench-feeds -count=1 -timeout 30m -run '^TestManyPosts$$' ./e2e/identities

REVIEW ?= 10000x300
bench-reviews: bin/gotestsum bin/temporal ## Measure a review with many items and reviewers (REVIEW=10000x300)
	@FORMAT=standard-verbose CASTELLAN_REVIEW=$(REVIEW) scripts/test bench-reviews -count=1 -timeout 30m -run '^TestReviewOfManyItems$$' ./e2e/reviews

# The version, with the characters that an image tag may have.
COMMA := ,
TAG = $(shell printf %s '$(VERSION)' | tr -c 'A-Za-z0-9_.-' -)
up: ## Start PostgreSQL, Temporal, its Web UI and a worker in Docker (SIM=1 with a simulator, REVIEWS=1 with the reviewers' page, WORKERS=3)
	@CASTELLAN_VERSION="$(TAG)" CASTELLAN_ORGANIZATIONS=$(if $(SIM),simulator,atlassian) WORKERS=$(or $(WORKERS),1) \
		COMPOSE_PROFILES=$(if $(SIM),simulator$(COMMA)reviews,$(if $(REVIEWS),reviews)) deploy/up.sh

tutorial: bin/temporal ## Run the commands of docs/first-organization.md one by one
	@scripts/tutorial

pictures: bin/temporal ## Take the screenshots of the demo in docs/images (needs Chromium)
	@go run ./e2e/pictures

story: ## Play the demo's story in the installation that "up SIM=1" has started
	@CASTELLAN_VERSION="$(TAG)" docker compose run --rm --build --no-deps story

down: ## Stop what "up" started; the databases stay
	@docker compose --profile '*' down

pin: ## Pin the images that Compose uses to the current digests of their tags (needs a registry)
	@deploy/pin.sh

build: ## Build static binaries into dist/
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o dist/ ./worker ./starter ./simulator

tools: $(TOOLS) ## Build the pinned tools into bin/, if they are missing or out of date

bin/temporal: tools/go.sum
	@scripts/tool temporal github.com/temporalio/cli/cmd/temporal \
		"-X github.com/temporalio/cli/temporalcli.Version=$$(cd tools && go list -m -f '{{.Version}}' github.com/temporalio/cli | tr -d v)"
tools-server: bin/temporal-server bin/temporal-sql-tool ## Build the Temporal server that Compose ships into bin/
bin/temporal-server: tools/server/go.sum
	@scripts/tool temporal-server go.temporal.io/server/cmd/server "" tools/server
bin/temporal-sql-tool: tools/server/go.sum
	@scripts/tool temporal-sql-tool go.temporal.io/server/cmd/tools/sql "" tools/server
bin/workflowcheck: tools/go.sum
	@scripts/tool workflowcheck go.temporal.io/sdk/contrib/tools/workflowcheck
bin/staticcheck: tools/go.sum
	@scripts/tool staticcheck honnef.co/go/tools/cmd/staticcheck
bin/gotestsum: tools/go.sum
	@scripts/tool gotestsum gotest.tools/gotestsum

clean: ## Remove everything that was built, and the demo's files
	rm -rf bin dist .demo
