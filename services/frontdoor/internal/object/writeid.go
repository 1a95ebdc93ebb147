package object

import (
	"crypto/rand"
	"fmt"
)

// writeIDSize in bytes: random ids of this size never meet.
const writeIDSize = 16

// mintWriteID names an attempt for ever.
func mintWriteID() ([]byte, error) {
	id := make([]byte, writeIDSize)
	if _, err := rand.Read(id); err != nil {
		return nil, fmt.Errorf("mint a write id: %w", err)
	}
	return id, nil
}
