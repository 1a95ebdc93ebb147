module github.com/drystone-store/drystone/services/chunkserver

go 1.26

require (
	github.com/drystone-store/drystone/proto v0.0.0
	github.com/drystone-store/drystone/services/kit v0.0.0
	github.com/drystone-store/drystone/services/datapath v0.0.0
)

replace (
	github.com/drystone-store/drystone/proto => ../../proto
	github.com/drystone-store/drystone/services/kit => ../kit
	github.com/drystone-store/drystone/services/datapath => ../datapath
)
