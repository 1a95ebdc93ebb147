package block

import (
	"slices"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
)

const (
	// SplitOver is the payload, in bytes, above which a record may be split over the columns of a batch that would
	// be uneven otherwise. Smaller ones stay whole: splitting makes a read ask k members instead of one.
	SplitOver = 64 << 10

	// unevenDivisor is how uneven a batch may stay: rows that some column leaves empty cost parity bytes, so up to
	// an eighth of the batch is accepted before a record is split.
	unevenDivisor = 8
)

// Item is a record to be placed: its framed header and its payload, in bytes.
type Item struct {
	Header  int
	Payload int
}

func (it Item) size() int { return it.Header + it.Payload }

// Slot is where a record goes. Rows are counted from the frame's first row.
type Slot struct {
	// Column holds the header and the payload's first piece.
	Column int
	// HeaderRow is the header's first row; the payload follows the header, and further pieces begin at the same
	// row in the next columns.
	HeaderRow int
	// Run is the bytes of each piece; the last one may hold fewer.
	Run int

	item Item
}

// PayloadRow is the payload's first row, in each of its columns.
func (s Slot) PayloadRow() int { return s.HeaderRow + s.item.Header }

// Extent is the payload's address when the frame begins at row in a volume with k data columns.
func (s Slot) Extent(volume uint64, k int, row uint64) *typesv1.Extent {
	return &typesv1.Extent{
		Volume: volume,
		Offset: Address(k, s.Column, row+uint64(s.PayloadRow())),
		Length: uint64(s.item.Payload),
		Run:    uint32(s.Run),
	}
}

// Fill copies a record into the frame that the layout was made for.
func (s Slot) Fill(f *Frame, header, payload []byte) {
	f.Fill(s.Column, s.HeaderRow, header)
	for column := s.Column; len(payload) > 0; column++ {
		n := min(s.Run, len(payload))
		f.Fill(column, s.PayloadRow(), payload[:n])
		payload = payload[n:]
	}
}

// Layout places a batch of records in the rows of one frame.
type Layout struct {
	// Rows is the height of the tallest column, at least 1.
	Rows int
	// Slots has one entry per item, in the items' order.
	Slots []Slot
	// Order lists the items from the top down in every column: the order in which to fill a frame.
	Order []int
}

// Gauge says how many records surely fit into a frame, as they arrive. Its zero value is not ready: use NewGauge.
type Gauge struct {
	k, room, total, largest int
}

// NewGauge measures frames of at most room rows with k data columns.
func NewGauge(k, room int) *Gauge { return &Gauge{k: k, room: room} }

// Add takes one more record in, or says that it may not fit: then the batch is full, or, if it is the first, the
// room is too small for it.
func (g *Gauge) Add(it Item) bool {
	total, largest := g.total+cost(it), max(g.largest, cost(it))
	// The longest-first rule never puts a record on a column above the mean of the others.
	if total/g.k+largest > g.room {
		return false
	}
	g.total, g.largest = total, largest
	return true
}

// cost is what a record takes of a column: an empty payload's address must lie in the block too.
func cost(it Item) int { return it.Header + max(it.Payload, 1) }

// Pack lays records side by side in k columns of at most room rows. The tallest go first, each on the column that is
// lowest, so columns differ by one record at most; while that leaves the batch uneven or too tall, the largest
// record over SplitOver is split over all columns, above the others. It says false if the records do not fit, which
// cannot happen to those that a Gauge took.
func Pack(k, room int, items []Item) (Layout, bool) {
	order := make([]int, len(items))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return items[b].size() - items[a].size() })
	split := make([]int, 0, len(items))
	p := plan(k, items, split, order)
	best, fits := p, p.rows <= room
	for p.uneven() || p.rows > room {
		next := slices.IndexFunc(order, func(i int) bool { return items[i].Payload > SplitOver })
		if next < 0 {
			break
		}
		split = append(split, order[next])
		order = slices.Delete(order, next, next+1)
		p = plan(k, items, split, order)
		if p.rows <= room && (!fits || p.rows < best.rows) {
			best, fits = p, true
		}
	}
	return Layout{Rows: best.rows, Slots: best.slots, Order: best.order}, fits
}

// planned is a placement of all items, perhaps taller than the frame.
type planned struct {
	k, rows, used int
	slots         []Slot
	order         []int
}

// uneven says whether the rows that columns leave empty are more than an unevenDivisor-th of the bytes.
func (p planned) uneven() bool {
	return p.rows*p.k-p.used > p.used/unevenDivisor
}

// plan places the split items from the first column over all, one below the other, and then the whole items.
func plan(k int, items []Item, split, whole []int) planned {
	p := planned{k: k, rows: 1, slots: make([]Slot, len(items)), order: slices.Concat(split, whole)}
	heights := make([]int, k)
	for _, i := range split {
		it := items[i]
		// The first column is the tallest of all so far, because the first piece is the longest.
		s := Slot{Column: 0, HeaderRow: heights[0], Run: SplitRun(it.Payload, k), item: it}
		p.slots[i] = s
		for c, left := 0, it.Payload; left > 0; c++ {
			n := min(s.Run, left)
			heights[c] = s.PayloadRow() + n
			left -= n
		}
		p.used += it.size()
		p.rows = max(p.rows, heights[0])
	}
	for _, i := range whole {
		it := items[i]
		lowest := 0
		for c, h := range heights {
			if h < heights[lowest] {
				lowest = c
			}
		}
		p.slots[i] = Slot{Column: lowest, HeaderRow: heights[lowest], Run: max(it.Payload, 1), item: it}
		// The frame covers the row that an empty payload's address names, so that it lies in this block.
		p.rows = max(p.rows, heights[lowest]+cost(it))
		heights[lowest] += it.size()
		p.used += it.size()
	}
	return p
}

// SplitRun is the run of a payload that is split evenly over k columns: at least 1.
func SplitRun(payload, k int) int { return max((payload+k-1)/k, 1) }
