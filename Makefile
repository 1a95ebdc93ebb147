# Drystone: `make help` lists what there is. Needs Go, git and make; every other tool is built from hack/tools into .bin.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

export CGO_ENABLED ?= 0
export PATH := $(CURDIR)/.bin:$(PATH)

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -s -w -X github.com/drystone-store/drystone/services/kit/app.version=$(VERSION)
GOBUILD  := go build -trimpath -ldflags '$(LDFLAGS)'
SERVICES := frontdoor metadata placement chunkserver repair
MODULES   = $(shell go list -m -f '{{.Dir}}' | grep -v '^$$')
FUZZTIME ?= 20s

.PHONY: help run mesh mesh-down build test race check lint fix proto verify bench fuzz golden clean tools

help: ## list the targets
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

run: build-drystone ## build, then run everything in one process on ./.drystone
	@exec bin/drystone up --data ./.drystone

mesh: build ## build, then run the mesh as separate processes under ./.mesh
	@bin/mesh up

mesh-down: ## end the mesh that `make mesh` started
	@bin/mesh down

build: build-drystone $(SERVICES:%=build-%) bin/etcd ## build all binaries into bin
	@$(GOBUILD) -o bin/mesh ./services/tests/cmd/mesh

.PHONY: build-drystone $(SERVICES:%=build-%)
build-drystone:
	@$(GOBUILD) -o bin/drystone ./services/drystone/cmd/drystone
$(SERVICES:%=build-%): build-%:
	@$(GOBUILD) -o bin/drystone-$* ./services/$*/cmd/drystone-$*

bin/etcd: hack/tools/etcd/go.mod hack/tools/etcd/main.go
	@cd hack/tools/etcd && GOWORK=off go build -trimpath -ldflags '-s -w' -o ../../../bin/etcd .

test: build ## run every module's tests
	@hack/test.sh

race: build ## run every module's tests under the race detector (needs a C compiler)
	@CGO_ENABLED=1 hack/test.sh -race

check: lint verify ## everything that reads the code without running it

TOOLS := buf golangci-lint protoc-gen-go protoc-gen-go-grpc protoc-gen-grpc-gateway protoc-gen-openapiv2
tools: $(TOOLS:%=.bin/%) ## build the pinned tools into .bin

.bin/%: hack/tools/%/go.mod
	@echo "building $* (pinned in $<)"
	@cd hack/tools/$* && GOWORK=off go build -trimpath -o ../../../.bin/$* $$(GOWORK=off go list -f '{{.ImportPath}}' tool)

lint: .bin/golangci-lint .bin/buf ## lint Go and protos
	@hack/lint.sh
	@cd proto && buf lint

fix: .bin/golangci-lint proto ## mend what can be mended by a tool: formatting, lint fixes, go.mod, generated code
	@hack/lint.sh --fix
	@hack/tidy.sh
	@cd proto && buf format -w

proto: .bin/buf .bin/protoc-gen-go .bin/protoc-gen-go-grpc .bin/protoc-gen-grpc-gateway .bin/protoc-gen-openapiv2 ## generate code from the protos
	@hack/proto.sh

verify: .bin/buf .bin/protoc-gen-go .bin/protoc-gen-go-grpc .bin/protoc-gen-grpc-gateway .bin/protoc-gen-openapiv2 ## check that what is generated is current and the rules hold
	@for v in hack/verify/*.sh; do $$v || { echo "$$v failed; see its output above" >&2; exit 1; }; done

bench: build ## measure PUT, GET, STAT, LIST, DELETE against a fresh store; prints a table
	@go run ./services/tests/cmd/bench

fuzz: ## fuzz every parser of foreign bytes for FUZZTIME each
	@hack/fuzz.sh $(FUZZTIME)

golden: ## rewrite the golden files from what the code does now
	@hack/golden.sh

clean: ## remove what was built (data in .drystone and .mesh stays)
	@rm -rf bin .bin
