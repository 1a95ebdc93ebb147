package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/drystone-store/drystone/services/drystone/internal/client"
	"github.com/drystone-store/drystone/services/drystone/internal/datadir"
)

const (
	envEndpoint = "DRYSTONE_ENDPOINT"
	envToken    = "DRYSTONE_TOKEN"
)

// globals are what every command has.
type globals struct {
	Streams
	endpoint, token, data string
	json                  bool
}

func (g *globals) flags(f *pflag.FlagSet) {
	f.StringVar(&g.endpoint, "endpoint", "", "front-door to talk to, host:port or URL (default $"+envEndpoint+", else the data folder's)")
	f.StringVar(&g.token, "token", "", "bearer token (default $"+envToken+", else the data folder's; a flag shows in the process list)")
	f.StringVar(&g.data, "data", "./"+datadir.Default, "data `folder` of drystone up")
	f.BoolVar(&g.json, "json", false, "print one JSON object a line")
}

// connect finds the front-door and the token. The token of a data folder is only sent to the front-door of that
// folder: a root token must not travel to an address that somebody put into the environment.
func (g *globals) connect() (*client.Client, error) {
	dir := datadir.At(g.data)
	endpoint := first(g.endpoint, os.Getenv(envEndpoint))
	token := first(g.token, os.Getenv(envToken))
	local, err := dir.Endpoint()
	switch {
	case endpoint != "":
	case errors.Is(err, datadir.ErrNoEndpoint):
		return nil, fmt.Errorf("no front-door: nothing serves %s now; start `drystone up`, or set --endpoint or %s",
			g.data, envEndpoint)
	case err != nil:
		return nil, err
	default:
		endpoint = local.REST
	}
	if token == "" && err == nil && same(endpoint, local.REST) {
		if token, err = dir.Token(); err != nil && !errors.Is(err, datadir.ErrNoToken) {
			return nil, err
		}
	}
	if token == "" {
		return nil, fmt.Errorf("no token for %s: set --token or %s (`drystone up` keeps the root token in <data>/token)",
			endpoint, envToken)
	}
	if strings.ContainsAny(token, " \t\r\n") {
		return nil, usagef("the token holds white space: check --token and %s", envToken)
	}
	c, err := client.New(endpoint, token)
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// same tells whether two spellings name one endpoint.
func same(a, b string) bool {
	x, errX := client.ParseEndpoint(a)
	y, errY := client.ParseEndpoint(b)
	return errX == nil && errY == nil && *x == *y
}
