package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/drystone-store/drystone/services/drystone/internal/client"
	"github.com/drystone-store/drystone/services/drystone/internal/datadir"
	"github.com/drystone-store/drystone/services/kit/config"
)

const (
	envEndpoint  = "DRYSTONE_ENDPOINT"
	envToken     = "DRYSTONE_TOKEN"
	envTokenFile = "DRYSTONE_TOKEN_FILE" //nolint:gosec // the name of a variable
)

// globals are what every command has.
type globals struct {
	Streams
	endpoint, token, tokenFile, data string
	json                             bool
}

func (g *globals) flags(f *pflag.FlagSet) {
	f.StringVar(&g.endpoint, "endpoint", "", "front-door to talk to, host:port or URL (default $"+envEndpoint+", else the data folder's)")
	f.StringVar(&g.token, "token", "", "bearer token (default $"+envToken+", else the data folder's; a flag shows in the process list)")
	f.StringVar(&g.tokenFile, "token-file", "", "`file` with the bearer token (default $"+envTokenFile+"); others must have no rights on it")
	f.StringVar(&g.data, "data", "./"+datadir.Default, "data `folder` of drystone up")
	f.BoolVar(&g.json, "json", false, "print one JSON object a line")
}

// connect finds the front-door and the token. The token of a data folder is only sent to the front-door of that
// folder: a root token must not travel to an address that somebody put into the environment.
func (g *globals) connect() (*client.Client, error) {
	dir := datadir.At(g.data)
	endpoint := first(g.endpoint, os.Getenv(envEndpoint))
	token, err := g.givenToken()
	if err != nil {
		return nil, err
	}
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
		return nil, fmt.Errorf("no token for %s: set --token, --token-file, %s or %s (`drystone up` keeps the root token in <data>/token)",
			endpoint, envToken, envTokenFile)
	}
	if strings.ContainsAny(token, " \t\r\n") {
		return nil, usagef("the token holds white space: check --token, --token-file, %s and %s", envToken, envTokenFile)
	}
	c, err := client.New(endpoint, token)
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

// givenToken is the token that flags or the environment name, empty when they name none. Flags go before the environment.
func (g *globals) givenToken() (string, error) {
	if g.token != "" && g.tokenFile != "" {
		return "", usagef("--token and --token-file: give one of them")
	}
	file := g.tokenFile
	if file == "" {
		if token := first(g.token, os.Getenv(envToken)); token != "" {
			return token, nil
		}
		if file = os.Getenv(envTokenFile); file == "" {
			return "", nil
		}
	}
	token, err := config.SecretFile(file).Read()
	if err != nil {
		return "", fmt.Errorf("the token's file: %w", err)
	}
	return string(token), nil
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
