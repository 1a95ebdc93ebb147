package mesh

import "errors"

// State is a process as it is now.
type State struct {
	Process
	// PID is 0 when it does not run.
	PID int
}

// Status lists all processes in the order of starting.
func (m *Mesh) Status() ([]State, error) {
	states := make([]State, 0, len(m.plan.Processes))
	var errs []error
	for _, proc := range m.plan.Processes {
		pid, err := m.pid(proc)
		errs = append(errs, err)
		states = append(states, State{Process: proc, PID: pid})
	}
	return states, errors.Join(errs...)
}
