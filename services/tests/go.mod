module github.com/drystone-store/drystone/services/tests

go 1.26.0

require (
	github.com/drystone-store/drystone/proto v0.0.0
	github.com/drystone-store/drystone/services/datapath v0.0.0
	github.com/drystone-store/drystone/services/kit v0.0.0 // indirect
)

require (
	github.com/google/go-cmp v0.7.0
	go.yaml.in/yaml/v3 v3.0.6
	google.golang.org/grpc v1.85.0
)

require (
	github.com/klauspost/cpuid/v2 v2.3.0 // indirect
	github.com/klauspost/reedsolomon v1.14.2 // indirect
	golang.org/x/net v0.61.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20261019180522-ce908d29299b // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)

replace (
	github.com/drystone-store/drystone/proto => ../../proto
	github.com/drystone-store/drystone/services/chunkserver => ../chunkserver
	github.com/drystone-store/drystone/services/datapath => ../datapath
	github.com/drystone-store/drystone/services/drystone => ../drystone
	github.com/drystone-store/drystone/services/frontdoor => ../frontdoor
	github.com/drystone-store/drystone/services/kit => ../kit
	github.com/drystone-store/drystone/services/metadata => ../metadata
	github.com/drystone-store/drystone/services/placement => ../placement
	github.com/drystone-store/drystone/services/repair => ../repair
)
