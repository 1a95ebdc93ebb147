package kubeinit

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/drystone-store/drystone/services/kit/kube"
)

// Keys of etcd's Secrets.
const (
	keyCA                          = "ca.crt"
	keyCAKey                       = "ca.key"
	keyServer, keyServerKey        = "server.crt", "server.key"
	keyClient, keyClientKey        = "client.crt", "client.key"
	nameCA, nameServer, nameClient = "drystone etcd CA", "drystone etcd member", "drystone etcd client"
)

// etcd makes the CA if there is none, then the certificates that it signs.
func (r *runner) etcd(ctx context.Context) error {
	name, caName := r.options.EtcdSecret, r.options.EtcdCASecret
	hosts, err := parseHosts(r.options.EtcdHosts)
	if err != nil {
		return err
	}
	secret, err := r.ensure(ctx, caName, func(have map[string][]byte) (map[string][]byte, error) { return r.caKeys(ctx, have) })
	if err != nil {
		return fmt.Errorf("secret %s: %w", caName, err)
	}
	ca, err := parsePair(secret.Data[keyCA], secret.Data[keyCAKey])
	if err != nil {
		return fmt.Errorf("secret %s: %w", caName, err)
	}
	if left := ca.cert.NotAfter.Sub(r.now()); left < leafLife/renewAtFraction {
		return fmt.Errorf("secret %s: the CA ends at %s: remove the secrets %s and %s, run this again (helm upgrade does), and restart etcd and all that use it",
			caName, ca.cert.NotAfter.UTC().Format("2006-01-02"), caName, name)
	}
	_, err = r.ensure(ctx, name, func(have map[string][]byte) (map[string][]byte, error) {
		return r.leafKeys(ca, hosts, have)
	})
	if err != nil {
		return fmt.Errorf("secret %s: %w", name, err)
	}
	return nil
}

// caKeys says what the CA's Secret lacks: all or nothing.
func (r *runner) caKeys(ctx context.Context, have map[string][]byte) (map[string][]byte, error) {
	if err := filled(have, keyCA, keyCAKey); err != nil {
		return nil, err
	}
	switch {
	case have[keyCA] != nil && have[keyCAKey] != nil:
		return nil, nil
	case have[keyCA] != nil || have[keyCAKey] != nil:
		return nil, fmt.Errorf("it has one of %s and %s: add the other, or remove the secret for a new CA", keyCA, keyCAKey)
	}
	// A new CA under certificates of an old one would part the members that run from those that restart.
	old, err := r.api.Secret(ctx, r.options.EtcdSecret)
	switch {
	case errors.Is(err, kube.ErrNotFound):
	case err != nil:
		return nil, err
	case old.Data[keyCA] != nil:
		return nil, fmt.Errorf("the CA's key is gone, and secret %s has certificates of it: put it back; or remove that secret too, run this again (helm upgrade does), and restart etcd and all that use it",
			r.options.EtcdSecret)
	}
	ca, err := newCA(r.now())
	if err != nil {
		return nil, err
	}
	return map[string][]byte{keyCA: ca.certPEM, keyCAKey: ca.keyPEM}, nil
}

// leafKeys says which certificates a Secret lacks or has too old.
func (r *runner) leafKeys(ca pair, hosts hosts, have map[string][]byte) (map[string][]byte, error) {
	set := map[string][]byte{}
	if !bytes.Equal(have[keyCA], ca.certPEM) {
		set[keyCA] = ca.certPEM
	}
	for _, leaf := range []struct {
		cert, key string
		want      wanted
	}{
		// Members call each other with the certificate that they serve with.
		{keyServer, keyServerKey, wanted{name: nameServer, hosts: hosts, server: true}},
		// Without hosts etcd does not ask where a client calls from.
		{keyClient, keyClientKey, wanted{name: nameClient}},
	} {
		if leaf.want.servedBy(ca, have[leaf.cert], have[leaf.key], r.now()) {
			continue
		}
		made, err := ca.sign(leaf.want, r.now())
		if err != nil {
			return nil, err
		}
		set[leaf.cert], set[leaf.key] = made.certPEM, made.keyPEM
	}
	return set, nil
}
