package rpc

import (
	"fmt"
	"reflect"
	"sync"

	"google.golang.org/protobuf/proto"
)

// handover gives the receiver's message dst the content of src without copying what src refers to: byte slices, lists,
// maps and nested messages are shared afterwards.
//
// For generated messages of one Go type, which is the rule, the exported fields are copied one by one, unknown fields
// by protoreflect. Internal state (lazily built type information, cached sizes) is left alone, since others may read
// src at the same time. Different Go types of one message (dynamicpb) take the way over bytes.
func handover(dst, src any) error {
	to, from := reflect.ValueOf(dst), reflect.ValueOf(src)
	if to.Kind() != reflect.Pointer || to.IsNil() || from.Kind() != reflect.Pointer || from.IsNil() {
		return fmt.Errorf("hand over a %T as a %T: need two messages", src, dst)
	}
	if to.Type() == from.Type() {
		if p := plans.of(to.Type().Elem()); p.ok {
			p.copy(to.Elem(), from.Elem())
			return nil
		}
	}
	return convert(dst, src)
}

// convert goes over bytes.
func convert(dst, src any) error {
	to, ok := dst.(proto.Message)
	from, ok2 := src.(proto.Message)
	if !ok || !ok2 {
		return fmt.Errorf("hand over a %T as a %T: not messages", src, dst)
	}
	if a, b := from.ProtoReflect().Descriptor().FullName(), to.ProtoReflect().Descriptor().FullName(); a != b {
		return fmt.Errorf("hand over a %s as a %s: not the same message", a, b)
	}
	b, err := proto.Marshal(from)
	if err != nil {
		return fmt.Errorf("hand over a %T: %w", src, err)
	}
	if err := proto.Unmarshal(b, to); err != nil {
		return fmt.Errorf("hand over a %T as a %T: %w", src, dst, err)
	}
	return nil
}

// plan says how to copy messages of one generated struct.
type plan struct {
	ok      bool
	fields  []int
	unknown int
}

// planCache is filled by use; the number of message types bounds it.
type planCache struct{ byType sync.Map }

var plans planCache // pure function of a type, remembered

func (c *planCache) of(t reflect.Type) *plan {
	if p, ok := c.byType.Load(t); ok {
		return p.(*plan)
	}
	p, _ := c.byType.LoadOrStore(t, newPlan(t))
	return p.(*plan)
}

// newPlan knows structs of protoc-gen-go's open API: exported fields beside `state`, `sizeCache`, `unknownFields`.
// Everything else (extensions, the opaque API, hand-written messages) is not ok.
func newPlan(t reflect.Type) *plan {
	p := &plan{unknown: -1}
	if t.Kind() != reflect.Struct {
		return p
	}
	for i := range t.NumField() {
		f := t.Field(i)
		switch {
		case f.IsExported():
			p.fields = append(p.fields, i)
		case f.Name == "unknownFields":
			p.unknown = i
		case f.Name != "state" && f.Name != "sizeCache":
			return p
		}
	}
	p.ok = p.unknown >= 0 && reflect.PointerTo(t).Implements(reflect.TypeFor[proto.Message]())
	return p
}

func (p *plan) copy(to, from reflect.Value) {
	for _, i := range p.fields {
		to.Field(i).Set(from.Field(i))
	}
	if to.Field(p.unknown).Len() > 0 || from.Field(p.unknown).Len() > 0 {
		dst, src := to.Addr().Interface().(proto.Message), from.Addr().Interface().(proto.Message)
		dst.ProtoReflect().SetUnknown(src.ProtoReflect().GetUnknown())
	}
}
