package rpc

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// BulkFields names, by message, one bytes field that the network transport treats with care: it is sent without a copy
// and received with one, into the buffer that the caller lent (WithBuffer) if there is one. The wire format is
// protobuf's, so either side may do without. In process it means nothing.
//
// Over the network the bytes of a bulk field are still being read after SendMsg returned. So only messages belong here
// whose senders do not write to those bytes again before the peer has answered, and never after a stream that failed:
// the garbage collector frees them then. A message with two alternating buffers (constraint 4) does not belong here,
// the response of a unary call always may.
type BulkFields map[protoreflect.FullName]protoreflect.FieldNumber

// copiedBelow is the size up to which a copy costs less than a buffer of its own.
const copiedBelow = 4 << 10

// codec is gRPC's "proto" codec, except for messages with a bulk field.
type codec struct {
	fields BulkFields
	plain  encoding.CodecV2
	plans  sync.Map // reflect.Type → *bulkPlan; bounded by the number of message types
}

func newCodec(fields BulkFields) *codec {
	return &codec{fields: fields, plain: encoding.GetCodecV2(grpcproto.Name)}
}

// Name says what travels: protobuf.
func (c *codec) Name() string { return grpcproto.Name }

// bulkPlan is how to take one message type apart; nil field: it has no bulk field.
type bulkPlan struct {
	copy   *plan
	number protowire.Number
	index  int // of the bulk field in the struct
	zero   reflect.Value
	heads  *sync.Pool // of messages that hold everything but the bulk field while it is marshalled
}

// plan is nil for messages without a bulk field. Errors: a field that is named as one and is not.
func (c *codec) plan(v any) (*bulkPlan, error) {
	t := reflect.TypeOf(v)
	if known, ok := c.plans.Load(t); ok {
		return known.(*bulkPlan), nil
	}
	p, err := c.newPlan(v, t)
	if err != nil {
		return nil, err
	}
	c.plans.Store(t, p)
	return p, nil
}

func (c *codec) newPlan(v any, t reflect.Type) (*bulkPlan, error) {
	m, ok := v.(proto.Message)
	if !ok || t.Kind() != reflect.Pointer {
		return nil, nil // gRPC's codec says what is wrong with it
	}
	number, ok := c.fields[m.ProtoReflect().Descriptor().FullName()]
	if !ok {
		return nil, nil // no bulk field
	}
	t = t.Elem()
	fast := plans.of(t)
	if !fast.ok {
		return nil, nil // not a generated struct: gRPC's codec can do it
	}
	prefix := "bytes," + strconv.Itoa(int(number)) + ","
	for _, i := range fast.fields {
		f := t.Field(i)
		if strings.HasPrefix(f.Tag.Get("protobuf"), prefix) && f.Type == reflect.TypeFor[[]byte]() {
			return &bulkPlan{
				copy: fast, number: number, index: i, zero: reflect.New(t).Elem(),
				heads: &sync.Pool{New: func() any { return reflect.New(t).Interface() }},
			}, nil
		}
	}
	return nil, fmt.Errorf("bulk field %d of %s: it has no such bytes field", number, m.ProtoReflect().Descriptor().FullName())
}

// Marshal encodes everything but the bulk field and puts that, as it is, behind it.
func (c *codec) Marshal(v any) (mem.BufferSlice, error) {
	p, err := c.plan(v)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return c.plain.Marshal(v)
	}
	from := reflect.ValueOf(v)
	if from.IsNil() || from.Elem().Field(p.index).Len() < copiedBelow {
		return c.plain.Marshal(v)
	}
	bulk := from.Elem().Field(p.index).Bytes()

	head := p.heads.Get().(proto.Message)
	defer p.release(head)
	to := reflect.ValueOf(head).Elem()
	p.copy.copy(to, from.Elem())
	to.Field(p.index).SetZero()
	size := proto.Size(head) + protowire.SizeTag(p.number) + protowire.SizeVarint(uint64(len(bulk)))
	pool := mem.DefaultBufferPool()
	buf := pool.Get(size)
	encoded, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend((*buf)[:0], head)
	if err != nil {
		pool.Put(buf)
		return nil, fmt.Errorf("marshal %T: %w", v, err)
	}
	encoded = protowire.AppendTag(encoded, p.number, protowire.BytesType)
	encoded = protowire.AppendVarint(encoded, uint64(len(bulk)))
	*buf = encoded
	return mem.BufferSlice{mem.NewBuffer(buf, pool), mem.SliceBuffer(bulk)}, nil
}

// release empties a head, which must not keep what it referred to alive.
func (p *bulkPlan) release(head proto.Message) {
	p.copy.copy(reflect.ValueOf(head).Elem(), p.zero)
	p.heads.Put(head)
}

// Unmarshal decodes everything but the bulk field from a small copy, and copies that once: into the buffer that v came
// with, or a new one.
func (c *codec) Unmarshal(data mem.BufferSlice, v any) error {
	p, err := c.plan(v)
	if err != nil {
		return err
	}
	if p == nil {
		return c.plain.Unmarshal(data, v)
	}
	field := reflect.ValueOf(v).Elem().Field(p.index)
	s := splitter{reader: data.Reader(), number: p.number}
	defer s.reader.Close()
	if field.Len() == 0 { // bytes that are there are somebody's, a lent buffer is empty (lend)
		s.bulk = field.Bytes()
	}
	if err := s.split(); err != nil {
		return fmt.Errorf("unmarshal %T: %w", v, err)
	}
	if !s.plain {
		if err := proto.Unmarshal(s.head, v.(proto.Message)); err != nil {
			return fmt.Errorf("unmarshal %T: %w", v, err)
		}
		if s.found {
			field.SetBytes(s.bulk)
		}
		return nil
	}
	return c.plain.Unmarshal(data, v)
}

// lend gives resp the caller's buffer, for Unmarshal.
func (c *codec) lend(resp any, buffer []byte) {
	if p, err := c.plan(resp); err == nil && p != nil {
		reflect.ValueOf(resp).Elem().Field(p.index).SetBytes(buffer[:0])
	}
}
