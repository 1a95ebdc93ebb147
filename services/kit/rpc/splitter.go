package rpc

import (
	"errors"
	"io"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// splitter walks over the fields of a marshalled message and takes one bytes field out of it.
type splitter struct {
	reader *mem.Reader
	number protowire.Number

	// head is the message without the field.
	head []byte
	// bulk is the field's last value, found says that there was one. Before, bulk is a buffer to use if it is large
	// enough.
	bulk  []byte
	found bool
	// plain says that this message is nothing for a splitter: it has groups.
	plain bool
}

var errMalformed = errors.New("malformed message")

func (s *splitter) split() error {
	for s.reader.Remaining() > 0 && !s.plain {
		if err := s.field(); err != nil {
			return err
		}
	}
	return nil
}

// field moves one field from the reader to where it belongs.
func (s *splitter) field() error {
	begin := len(s.head)
	tag, err := s.varint()
	if err != nil {
		return err
	}
	number, kind := protowire.DecodeTag(tag)
	switch kind {
	case protowire.VarintType:
		_, err = s.varint()
		return err
	case protowire.Fixed32Type:
		return s.move(4) // bytes of the type
	case protowire.Fixed64Type:
		return s.move(8) // bytes of the type
	case protowire.BytesType:
		size, err := s.varint()
		if err != nil {
			return err
		}
		if size > uint64(s.reader.Remaining()) {
			return errMalformed
		}
		if number != s.number {
			return s.move(int(size))
		}
		s.head = s.head[:begin]
		return s.take(int(size))
	case protowire.StartGroupType, protowire.EndGroupType:
		s.plain = true
		return nil
	}
	return errMalformed
}

// varint copies a varint to the head and returns it.
func (s *splitter) varint() (uint64, error) {
	begin := len(s.head)
	for {
		b, err := s.reader.ReadByte()
		if err != nil {
			return 0, errMalformed
		}
		s.head = append(s.head, b)
		if b < 0x80 || len(s.head)-begin == maxVarintBytes {
			break
		}
	}
	v, n := protowire.ConsumeVarint(s.head[begin:])
	if n < 0 {
		return 0, errMalformed
	}
	return v, nil
}

// maxVarintBytes is the longest varint.
const maxVarintBytes = 10

// move copies n bytes to the head.
func (s *splitter) move(n int) error {
	if n > s.reader.Remaining() {
		return errMalformed
	}
	begin := len(s.head)
	s.head = append(s.head, make([]byte, n)...)
	return s.fill(s.head[begin:])
}

// take copies n bytes to the bulk.
func (s *splitter) take(n int) error {
	if cap(s.bulk) < n || s.bulk == nil {
		s.bulk = make([]byte, n)
	}
	s.bulk = s.bulk[:n]
	s.found = true
	return s.fill(s.bulk)
}

func (s *splitter) fill(b []byte) error {
	if _, err := io.ReadFull(s.reader, b); err != nil {
		return errMalformed
	}
	return nil
}
