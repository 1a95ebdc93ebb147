// Package chart holds the Helm chart to what it promises, by rendering it: nothing here needs a cluster. The tools are
// the pinned ones in .bin; `make test` builds them.
package chart
