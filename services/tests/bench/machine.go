package bench

import (
	"fmt"
	"hash/crc32"
	"time"
)

// Machine is what one core does with memory that is in no cache. Each byte of a large object is read several times on
// its way, so CPU-seconds per GiB of different machines, or of one machine beside other neighbours, compare only by these.
type Machine struct {
	// Copy and CRC32C are in GiB/s.
	Copy, CRC32C float64
}

// String is a sentence for people.
func (m Machine) String() string {
	return fmt.Sprintf("one core copies %.1f GiB/s and sums %.1f GiB/s (CRC32C) of memory that is in no cache", m.Copy, m.CRC32C)
}

// MeasureMachine takes about a second.
func MeasureMachine() Machine {
	const size, rounds = 128 << 20, 3 // far more than a processor caches
	from, to := make([]byte, size), make([]byte, size)
	for i := range from {
		from[i] = byte(i)
	}
	copy(to, from) // the kernel hands the pages out
	table := crc32.MakeTable(crc32.Castagnoli)
	rate := func(pass func()) float64 {
		begin := time.Now()
		for range rounds {
			pass()
		}
		return rounds * size / time.Since(begin).Seconds() / (1 << 30)
	}
	return Machine{
		Copy:   rate(func() { copy(to, from) }),
		CRC32C: rate(func() { _ = crc32.Checksum(from, table) }),
	}
}
