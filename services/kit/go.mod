module github.com/drystone-store/drystone/services/kit

go 1.26

require (
	github.com/drystone-store/drystone/proto v0.0.0
)

replace (
	github.com/drystone-store/drystone/proto => ../../proto
)
