// Package survey judges every volume of the map against the topology. It is pure: the same map and topology give the
// same findings.
package survey

import (
	"maps"
	"slices"
	"time"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
)

// TermLength bounds how long a writer may append to volumes of one term (services/README.md, "term"). A volume that
// has not been sealed by then has no writer: its lease is gone whatever became of the process.
const TermLength = 10 * time.Minute

// Disks tells which disks can be read now.
type Disks interface {
	// Readable says whether what lies on a disk can be read: it is known, not failed or missing, and its node is up.
	Readable(disk string) bool
}

// Findings sum up a survey.
type Findings struct {
	// Spares counts sealed volumes by the number of columns that may still be lost before bytes are. It is below 0
	// where bytes cannot be read now. The most fragile come first.
	Spares []Spare
	// Unsealed counts volumes that their writers have left behind.
	Unsealed int64
}

// Spare is one bar of the histogram.
type Spare struct {
	Columns int
	Volumes int64
}

// Survey collects findings, volume by volume.
type Survey struct {
	disks    Disks
	now      time.Time
	spares   map[int]int64
	unsealed int64
}

// New begins a survey at the time now.
func New(disks Disks, now time.Time) *Survey {
	return &Survey{disks: disks, now: now, spares: make(map[int]int64)}
}

// Add judges one volume.
func (s *Survey) Add(v *placementv1.Volume) {
	switch v.GetState() {
	case placementv1.VolumeState_VOLUME_STATE_SEALED:
		s.spares[Spares(v, s.disks)]++
	case placementv1.VolumeState_VOLUME_STATE_OPENING, placementv1.VolumeState_VOLUME_STATE_OPEN:
		if s.now.Sub(time.UnixMilli(v.GetChangedMs())) > TermLength {
			s.unsealed++
		}
	case placementv1.VolumeState_VOLUME_STATE_UNSPECIFIED:
		// Written by a version that knows states which this one does not.
	}
}

// Spares is how many columns of a volume may still be lost: its m, less those that cannot be read now.
func Spares(v *placementv1.Volume, disks Disks) int {
	spares := int(v.GetScheme().GetM())
	for _, m := range v.GetMembers() {
		if !disks.Readable(m.GetDisk()) {
			spares--
		}
	}
	return spares
}

// Findings returns what was found so far.
func (s *Survey) Findings() Findings {
	f := Findings{Unsealed: s.unsealed}
	for _, columns := range slices.Sorted(maps.Keys(s.spares)) {
		f.Spares = append(f.Spares, Spare{Columns: columns, Volumes: s.spares[columns]})
	}
	return f
}
