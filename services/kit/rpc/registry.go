package rpc

import (
	"fmt"
	"sync"
)

// Registry knows the servers of this process by name, for "inproc:<name>" targets. The zero value is not usable.
type Registry struct{ servers sync.Map }

// NewRegistry makes an empty registry.
func NewRegistry() *Registry { return &Registry{} }

// Register makes s the server of that name, in place of another one.
func (r *Registry) Register(name string, s *Server) { r.servers.Store(name, s) }

// Remove forgets the name if s still has it.
func (r *Registry) Remove(name string, s *Server) { r.servers.CompareAndDelete(name, s) }

// Lookup finds a server.
func (r *Registry) Lookup(name string) (*Server, bool) {
	s, ok := r.servers.Load(name)
	if !ok {
		return nil, false
	}
	return s.(*Server), true
}

// Ready says which registered server does not serve (Server.SetServing), nil when all do.
func (r *Registry) Ready() error {
	var err error
	r.servers.Range(func(name, s any) bool {
		if !s.(*Server).serving.Load() {
			err = fmt.Errorf("%v does not serve", name)
		}
		return err == nil
	})
	return err
}
