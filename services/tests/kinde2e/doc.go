// Package kinde2e proves the Helm chart on a real Kubernetes cluster: it installs the chart, reads and writes without a
// pause, checks every byte, and meanwhile does to the cluster what happens to clusters.
//
// What it counts: a read may be tried twice, then it has failed; of writes the longest time is taken in which none was
// acknowledged. Connecting is not a try: until Kubernetes has noticed that a Node is gone, which takes most of a minute,
// it sends new connections there, too, so that a client has to give a connection up after a second and make another.
package kinde2e
