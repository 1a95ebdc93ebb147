package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// Client speaks just enough HTTP/1.1 on one kept connection to load a server without costing as much as the
// server does: no header map, no goroutines. It is not safe for concurrent use.
type Client struct {
	addr  string
	token string
	conn  net.Conn
	r     *bufio.Reader
	head  []byte
	sink  []byte
}

// Timeout bounds one operation of a Client; 64 MiB on a loaded machine takes seconds.
const Timeout = 60 * time.Second

// NewClient returns a client of the REST endpoint at addr (host:port). It connects on the first request.
func NewClient(addr, token string) *Client {
	return &Client{addr: addr, token: token, sink: make([]byte, 256<<10)}
}

// Close ends the connection.
func (c *Client) Close() error {
	if c.conn == nil {
		return nil
	}
	err := c.conn.Close()
	c.conn = nil
	return err
}

// Do sends one request and reads the whole response, discarding a body unless keep is set. It returns the
// status, the body's length and the kept body.
func (c *Client) Do(ctx context.Context, method, path string, body []byte, keep bool) (status int, n int64, kept []byte, err error) {
	if c.conn == nil {
		var d net.Dialer
		if c.conn, err = d.DialContext(ctx, "tcp", c.addr); err != nil {
			return 0, 0, nil, fmt.Errorf("connect: %w", err)
		}
		c.r = bufio.NewReaderSize(c.conn, 64<<10)
	}
	defer func() {
		if err != nil {
			_ = c.Close()
		}
	}()
	if err = c.conn.SetDeadline(time.Now().Add(Timeout)); err != nil {
		return 0, 0, nil, fmt.Errorf("set deadline: %w", err)
	}
	h := c.head[:0]
	h = append(h, method...)
	h = append(append(append(h, ' '), path...), " HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer "...)
	h = append(append(h, c.token...), "\r\n"...)
	if body != nil {
		h = append(h, "Content-Length: "...)
		h = append(strconv.AppendInt(h, int64(len(body)), 10), "\r\n"...)
	}
	h = append(h, "\r\n"...)
	c.head = h
	bufs := net.Buffers{h, body}
	if _, broken := bufs.WriteTo(c.conn); broken != nil {
		// Whoever refuses a body answers before the end of it, and then closes.
		if status, n, kept, err = c.response(method, true); err != nil {
			return 0, 0, nil, fmt.Errorf("send %s: %w", method, broken)
		}
		return status, n, kept, c.Close()
	}
	return c.response(method, keep)
}

func (c *Client) response(method string, keep bool) (status int, n int64, kept []byte, err error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return 0, 0, nil, fmt.Errorf("read status: %w", err)
	}
	if len(line) < 12 {
		return 0, 0, nil, fmt.Errorf("read status: %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, 0, nil, fmt.Errorf("read status: %q", line)
	}
	length, closing := int64(0), false
	for {
		line, err = c.r.ReadSlice('\n')
		if err != nil {
			return status, 0, nil, fmt.Errorf("read headers: %w", err)
		}
		if len(line) <= 2 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case len(name) == 14 && bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.ParseInt(string(value), 10, 64); err != nil {
				return status, 0, nil, fmt.Errorf("read content length: %w", err)
			}
		case len(name) == 10 && bytes.EqualFold(name, []byte("Connection")):
			closing = bytes.EqualFold(value, []byte("close"))
		case len(name) == 17 && bytes.EqualFold(name, []byte("Transfer-Encoding")):
			return status, 0, nil, fmt.Errorf("response to %s is chunked; a length was expected", method)
		}
	}
	if method == "HEAD" {
		length = 0
	}
	if keep || status >= 300 {
		kept = make([]byte, length)
		_, err = io.ReadFull(c.r, kept)
	} else {
		err = c.discard(length)
	}
	if err != nil {
		return status, 0, nil, fmt.Errorf("read body: %w", err)
	}
	if closing {
		err = c.Close()
	}
	return status, length, kept, err
}

// discard reads n bytes past the buffered reader's copy where it can.
func (c *Client) discard(n int64) error {
	for n > 0 {
		buffered := int64(c.r.Buffered())
		if buffered > 0 {
			k, err := c.r.Discard(int(min(buffered, n)))
			if err != nil {
				return err
			}
			n -= int64(k)
			continue
		}
		if n < int64(len(c.sink)) {
			_, err := c.r.Discard(int(n))
			return err
		}
		k, err := c.conn.Read(c.sink[:min(int64(len(c.sink)), n)])
		if err != nil {
			return err
		}
		n -= int64(k)
	}
	return nil
}
