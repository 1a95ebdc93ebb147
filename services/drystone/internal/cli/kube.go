package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/drystone-store/drystone/services/drystone/internal/kubeinit"
	"github.com/drystone-store/drystone/services/kit/kube"
)

// newKube has the commands that the chart's pods run; people need none of them.
func newKube(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:    "kube",
		Short:  "What the Helm chart's pods run",
		Hidden: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("there is no command \"kube %s\"", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newKubeInit(g))
	return cmd
}

func newKubeInit(g *globals) *cobra.Command {
	var o kubeinit.Options
	var labels []string
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make the Secrets that pods need, and renew certificates",
		Long: `Runs in a pod, with a service account that may get, create and patch Secrets of its namespace; for renewals get and
patch are enough. Makes what is missing:

  --root-secret     keys "token" (the root token) and "credentials" (an AWS shared-credentials file)
  --etcd-secret     certificates of etcd and its clients: ca.crt, server.crt, server.key, client.crt, client.key
  --etcd-ca-secret  what signs them: ca.crt, ca.key; no pod needs it

Keys of the root Secret that are there stay as they are. Certificates are renewed under the same CA when less than a third
of their year is left, or when they lack one of --etcd-hosts. Run it as often as you like, also twice at once.`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.Labels, err = parseLabels(labels); err != nil {
				return err
			}
			if err := checkSecrets(o); err != nil {
				return err
			}
			api, err := kube.InCluster()
			if err != nil {
				return err
			}
			return kubeinit.Run(cmd.Context(), api, o, g.printSecret)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.RootSecret, "root-secret", "", "`name` of the Secret with the root token and credentials")
	f.StringVar(&o.EtcdSecret, "etcd-secret", "", "`name` of the Secret with the certificates of etcd and its clients")
	f.StringVar(&o.EtcdCASecret, "etcd-ca-secret", "", "`name` of the Secret with the CA that signs them")
	f.StringSliceVar(&o.EtcdHosts, "etcd-hosts", nil, "host `names` and addresses of etcd's members, comma-separated; *.x covers one label")
	f.StringArrayVar(&labels, "label", nil, "label `NAME=VALUE` of Secrets that are made; may be given several times")
	return cmd
}

func checkSecrets(o kubeinit.Options) error {
	some := o.EtcdSecret != "" || o.EtcdCASecret != "" || len(o.EtcdHosts) > 0
	all := o.EtcdSecret != "" && o.EtcdCASecret != "" && len(o.EtcdHosts) > 0
	switch {
	case some && !all:
		return usagef("--etcd-secret, --etcd-ca-secret and --etcd-hosts come together")
	case o.RootSecret == "" && !all:
		return usagef("nothing to make: name --root-secret, or --etcd-secret, --etcd-ca-secret and --etcd-hosts")
	case o.EtcdSecret != "" && (o.EtcdSecret == o.EtcdCASecret || o.EtcdSecret == o.RootSecret) || o.RootSecret != "" && o.RootSecret == o.EtcdCASecret:
		return usagef("--root-secret, --etcd-secret and --etcd-ca-secret are different Secrets: none is for the readers of another")
	}
	return nil
}

func parseLabels(pairs []string) (map[string]string, error) {
	out := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, usagef("--label %q: write NAME=VALUE", pair)
		}
		out[name] = value
	}
	return out, nil
}

func (g *globals) printSecret(d kubeinit.Done) error {
	if g.json {
		return writeJSON(g.Out, d)
	}
	if d.Action == kubeinit.Kept {
		return writeln(g.Out, fmt.Sprintf("secret %s has what is needed", d.Secret))
	}
	return writeln(g.Out, fmt.Sprintf("%s secret %s: %s", d.Action, d.Secret, strings.Join(d.Keys, ", ")))
}
