module github.com/drystone-store/drystone/services/tests

go 1.26.0

require (
	github.com/drystone-store/drystone/proto v0.0.0
	github.com/drystone-store/drystone/services/chunkserver v0.0.0
	github.com/drystone-store/drystone/services/datapath v0.0.0
	github.com/drystone-store/drystone/services/drystone v0.0.0
	github.com/drystone-store/drystone/services/frontdoor v0.0.0
	github.com/drystone-store/drystone/services/kit v0.0.0
	github.com/drystone-store/drystone/services/metadata v0.0.0
	github.com/drystone-store/drystone/services/placement v0.0.0
	github.com/drystone-store/drystone/services/repair v0.0.0
)

require (
	github.com/google/go-cmp v0.7.0
	go.yaml.in/yaml/v3 v3.0.6
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
