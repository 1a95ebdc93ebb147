module github.com/drystone-store/drystone/hack/tools/live

go 1.26.8
