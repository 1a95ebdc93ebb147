# Drystone: `make help` lists what there is. Needs Go, git and make; every other tool is built from hack/tools into .bin.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

export CGO_ENABLED ?= 0
export PATH := $(CURDIR)/.bin:$(PATH)

# The release has one place, the chart; what is built between releases adds its commit.
RELEASE  := $(shell sed -n 's/^version: //p' charts/drystone/Chart.yaml)
VERSION  ?= $(shell hack/version.sh $(RELEASE))
LDFLAGS  := -s -w -X github.com/drystone-store/drystone/services/kit/app.version=$(VERSION)
GOBUILD  := go build -trimpath -ldflags '$(LDFLAGS)'
# Images are tagged with the release unless told otherwise: it is what the chart asks for.
TAG      ?= $(RELEASE)
SERVICES := frontdoor metadata placement chunkserver repair
MODULES   = $(shell go list -m -f '{{.Dir}}' | grep -v '^$$')
FUZZTIME ?= 20s

.PHONY: help run mesh mesh-down build test race check lint fix proto verify bench fuzz golden clean tools
.PHONY: images kind-up kind-down kind-load kind-install kind-e2e schemas release

help: ## list the targets
	@grep -hE '^[a-z][a-z0-9-]*:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

run: build-drystone ## build, then run everything in one process on ./.drystone
	@exec bin/drystone up --data ./.drystone

mesh: build ## build, then run the mesh as separate processes under ./.mesh
	@bin/mesh up

mesh-down: ## end the mesh that `make mesh` started
	@bin/mesh down

build: build-drystone build-etcd $(SERVICES:%=build-%) ## build all binaries into bin
	@$(GOBUILD) -o bin/mesh ./services/tests/cmd/mesh

.PHONY: build-drystone build-etcd $(SERVICES:%=build-%)
build-drystone:
	@$(GOBUILD) -o bin/drystone ./services/drystone/cmd/drystone
build-etcd $(SERVICES:%=build-%): build-%:
	@$(GOBUILD) -o bin/drystone-$* ./services/$*/cmd/drystone-$*

test: build .bin/helm .bin/kubeconform ## run every module's tests
	@hack/test.sh

race: build .bin/helm .bin/kubeconform ## run every module's tests under the race detector (needs a C compiler)
	@CGO_ENABLED=1 hack/test.sh -race

check: lint verify ## everything that reads the code without running it

TOOLS := buf golangci-lint protoc-gen-go protoc-gen-go-grpc protoc-gen-grpc-gateway protoc-gen-openapiv2
tools: $(TOOLS:%=.bin/%) ## build the pinned tools into .bin

.bin/image: hack/tools/image/go.mod hack/tools/image/main.go
	@cd hack/tools/image && GOWORK=off go build -trimpath -o ../../../.bin/image .

.bin/live: hack/tools/live/go.mod hack/tools/live/main.go
	@cd hack/tools/live && GOOS=linux GOWORK=off go build -trimpath -ldflags '-s -w' -o ../../../.bin/live .

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

# Binaries for images: always Linux, whatever this machine is.
IMAGES := $(foreach s,$(SERVICES) etcd,services/$(s)/cmd/drystone-$(s)) services/drystone/cmd/drystone
images: .bin/image ## pack each binary into an image, bin/images/*.tar, with a bill of materials; pulls nothing
	@mkdir -p bin/linux
	@GOOS=linux go build -trimpath -ldflags '$(LDFLAGS)' -o bin/linux/ $(IMAGES:%=./%)
	@for binary in bin/linux/*; do component=$${binary#bin/linux/}; component=$${component#drystone-}; \
	  .bin/image -binary $$binary -name drystone/$${component/#drystone/cli}:$(TAG) -out bin/images -version $(VERSION) \
	    -revision $$(git rev-parse HEAD 2>/dev/null) -created $$(git log -1 --format=%ct 2>/dev/null || echo 0); done

KIND_CLUSTER ?= drystone
kind-up: ## make a kind cluster of three workers in three zones
	@kind/up.sh $(KIND_CLUSTER)
kind-down: ## remove it, with all its data
	@kind delete cluster --name $(KIND_CLUSTER)
kind-load: images ## load the images of the release into a kind cluster
	@kind/load.sh $(KIND_CLUSTER)
kind-install: .bin/helm ## build what is here and install or upgrade it on a kind cluster (KUBECONFIG, KIND_CLUSTER)
	@$(MAKE) --no-print-directory kind-load TAG=$(VERSION)
	@kind/install.sh $(VERSION)
kind-e2e: .bin/helm .bin/grpcurl ## prove the chart on a kind cluster that is there: install, drills under load, uninstall
	@$(MAKE) --no-print-directory kind-load
	@$(MAKE) --no-print-directory kind-load TAG=$(RELEASE)-next VERSION=$(RELEASE)-next
	@TAG=$(RELEASE) NEXT_TAG=$(RELEASE)-next go run ./services/tests/cmd/kinde2e

schemas: ## make charts/schemas anew from the sources of Kubernetes and the Gateway API
	@cd hack/tools/schemas && GOWORK=off go run . -out ../../../charts/schemas

release: .bin/helm ## images, chart, bills of materials and checksums of the tag that is checked out, in bin/release
	@hack/release.sh $(RELEASE)

clean: ## remove what was built (data in .drystone and .mesh stays)
	@rm -rf bin .bin
