// Command etcd is a plain etcd member, built from the same module version that `drystone up` embeds, for meshes
// of separate processes. It takes etcd's own flags.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
