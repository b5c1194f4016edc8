# make         what can be made
# make demo    the whole thing on this machine, in one process
# make test    the tests; make check: the linters; .ci/run: both, from nothing

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOSEC       := github.com/securego/gosec/v2/cmd/gosec@v2.29.0

CONFIG   ?= configs/tocsin.toml
PKG      ?= ./...
FUZZTIME ?= 30s
BENCH    ?= .
VERSION  ?=
LDFLAGS  := -s -w $(if $(VERSION),-X main.version=$(VERSION))

# What gosec is told to leave out, and why; single lines carry their own reason.
#   G104  errors thrown away: staticcheck and review, and a comment where it is meant
#   G115  integer conversions: each is bounded by a limit that gosec cannot see
#   G304  opening a file whose name is a variable: the names come from the operator
GOSEC_EXCLUDE := G104,G115,G304

.DEFAULT_GOAL := help
.PHONY: help setup demo run build test race check bench profile fuzz torture

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## what the tests need beside Go: Debian packages and npm libraries
	.ci/setup

demo: build ## a simulated fleet, the bridge and a verifying receiver in one process
	bin/tocsin demo

run: build ## the bridge with CONFIG=configs/tocsin.toml
	bin/tocsin run -c $(CONFIG)

build: ## bin/tocsin and bin/firmware-sim
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/tocsin ./cmd/firmware-sim

test: ## every test of PKG=./...
	go test -timeout 20m $(PKG)

# Package torture tries processes of its own, which are not built with the detector.
race: ## every test of PKG=./... under the race detector, the longest in short
	go test -race -short -timeout 20m $$(go list $(PKG) | grep -v '/torture$$')

check: ## gofmt, go vet, staticcheck, gosec, and who may import whom
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "gofmt -w would change:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go run $(STATICCHECK) ./...
	go run $(GOSEC) -quiet -color=false -exclude=$(GOSEC_EXCLUDE) ./...
	go test -count=1 -run '^TestArchitecture' ./cmd/tocsin

bench: ## every benchmark of PKG=./... that matches BENCH=., compiled as bin/tocsin is
	go test -pgo=cmd/tocsin/default.pgo -run '^$$' -bench '$(BENCH)' -benchmem $(PKG)

# What a bridge does most weighs most: readings that change nothing.
profile: ## cmd/tocsin/default.pgo, by which the compiler knows what bin/tocsin does most
	@set -e; dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	profile() { go test -trimpath -run '^$$' -benchtime "$$1" -bench "$$3" -cpuprofile "$$dir/$$(basename $$2).prof" -o "$$dir/test" "$$2"; }; \
	profile 4s ./rules 'LimitRule|P95Rule|Firing|RulesThatDoNotMatch'; \
	profile 1s ./bridge 'Handle|DeliverSettled'; \
	profile 1s ./bridge/decode Decode; \
	profile 1s ./bridge/webhook Send; \
	profile 1s ./broker QoS1; \
	go tool pprof -proto -output cmd/tocsin/default.pgo "$$dir"/*.prof

fuzz: ## every fuzz target for FUZZTIME=30s
	@set -e; grep -roE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sort | sed 's|/[^/]*:func | |' | \
	while read -r package target; do \
		echo "== $$package $$target"; \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$package"; \
	done

# A failure prints the line that repeats it; TOCSIN_SEED repeats the moments of a run.
# TOCSIN_REPORT=FILE keeps the table of scenes. Hours: the scenes are most of it.
torture: export TOCSIN_TORTURE := 1
torture: ## the long forms: each fault of torture with TOCSIN_SEEDS=200, planted bugs, kill -9, power failure, a model of the store
	go test -count=1 -timeout 3h -v ./bridge/store ./bridge/simulate ./cmd/tocsin
	go test -count=1 -timeout 3h -v -skip '^TestTorture$$' ./torture
	TOCSIN_SEEDS=$${TOCSIN_SEEDS:-200} go test -count=1 -timeout 24h -v -run '^TestTorture$$' ./torture
