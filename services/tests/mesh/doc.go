// Package mesh runs Drystone as what it is in production, separate processes of the real service binaries, on one
// machine: three etcd members, front-doors, metadata, placement, repair, and chunk-servers in zones. Any of them can
// be killed and started again under the same name, address and data.
//
// Everything lies in one folder:
//
//	token                the root token
//	plan.json            names, addresses and command lines; made once
//	config/NAME.yaml     configuration of a service
//	data/NAME/           its state
//	run/NAME.pid .addr   of a running process; .grpc beside it for front-doors
//	run/NAME.log         what it wrote
//
// A Mesh may be used by several commands, one after the other: what runs is known from the pid files, and a process
// counts as ours only if its command line is the one in the plan.
package mesh
