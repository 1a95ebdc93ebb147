package rest

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	"github.com/drystone-store/drystone/proto/gen/openapi"
	"github.com/drystone-store/drystone/services/frontdoor/internal/auth"
	"github.com/drystone-store/drystone/services/kit/log"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

// pipes is a listener whose connections are pipes in this process, so that a test has time in its hand.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.closed)
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours
}

// endless is an object service whose objects have no end, and which takes every upload and says how it ended.
type endless struct {
	apiv1.UnimplementedObjectServiceServer
	ended chan error
}

func (e *endless) PutObject(stream grpc.ClientStreamingServer[apiv1.PutObjectRequest, apiv1.PutObjectResponse]) error {
	for {
		_, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			// A commit that takes long.
			timer := time.NewTimer(10 * stallTimeout)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-stream.Context().Done():
				e.ended <- stream.Context().Err()
				return stream.Context().Err()
			}
			e.ended <- nil
			return stream.SendAndClose(&apiv1.PutObjectResponse{})
		}
		if err != nil {
			e.ended <- err
			return err
		}
	}
}

func (e *endless) GetObject(_ *apiv1.GetObjectRequest, stream grpc.ServerStreamingServer[apiv1.GetObjectResponse]) error {
	head := &apiv1.GetObjectHead{Object: &apiv1.Object{Size: 1 << 40}, Length: 1 << 40}
	err := stream.Send(&apiv1.GetObjectResponse{Part: &apiv1.GetObjectResponse_Head{Head: head}})
	for err == nil {
		err = stream.Send(&apiv1.GetObjectResponse{Part: &apiv1.GetObjectResponse_Data{Data: make([]byte, 1<<20)}})
	}
	e.ended <- err
	return err
}

const token = "0123456789abcdef"

// inBubble serves the endless service over pipes in a bubble of time.
func inBubble(t *testing.T, test func(t *testing.T, e *endless, p *pipes)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := &endless{ended: make(chan error, 1)}
		server := rpc.NewServer(rpc.ServerOptions{Name: "endless"})
		apiv1.RegisterObjectServiceServer(server, e)
		a, err := auth.New(token)
		if err != nil {
			t.Fatal(err)
		}
		h, err := New(Options{Conn: server.InProcess(), Auth: a, OpenAPI: openapi.JSON, Log: log.Discard()})
		if err != nil {
			t.Fatal(err)
		}
		p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- h.Serve(ctx, p) }()
		serving := make(chan error, 1)
		go func() { serving <- server.Serve(ctx) }()
		defer func() {
			cancel()
			synctest.Wait()
		}()
		test(t, e, p)
		cancel()
		if err := errors.Join(<-served, <-serving); err != nil {
			t.Error(err)
		}
	})
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

const headers = " HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer " + token + "\r\n"

func TestUploadThatStalls(t *testing.T) {
	inBubble(t, func(t *testing.T, e *endless, p *pipes) {
		conn := p.dial()
		defer conn.Close()
		begin := time.Now()
		send(t, conn, "PUT /v1/buckets/b/objects/k"+headers+"Content-Length: 100\r\n\r\nhalf")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "INCOMPLETE_BODY") {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
		if took := time.Since(begin); took != stallTimeout {
			t.Errorf("after %v", took)
		}
		if err := <-e.ended; err == nil {
			t.Error("the upload came to a good end")
		}
	})
}

// A body that comes in time, and then a commit that takes long: nobody stalls there.
func TestCommitThatTakesLong(t *testing.T) {
	inBubble(t, func(t *testing.T, e *endless, p *pipes) {
		conn := p.dial()
		defer conn.Close()
		for range 2 { // The second one finds what the first one left on the connection.
			send(t, conn, "PUT /v1/buckets/b/objects/k"+headers+"Content-Length: 4\r\n\r\nwhat")
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != http.StatusOK {
				t.Errorf("%d", resp.StatusCode)
			}
			if err := <-e.ended; err != nil {
				t.Error(err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Error(err)
			}
			_ = resp.Body.Close()
		}
	})
}

func TestDownloadThatStalls(t *testing.T) {
	inBubble(t, func(t *testing.T, e *endless, p *pipes) {
		conn := p.dial()
		defer conn.Close()
		send(t, conn, "GET /v1/buckets/b/objects/k"+headers+"\r\n")
		begin := time.Now()
		if _, err := io.CopyN(io.Discard, conn, 3<<20); err != nil {
			t.Fatal(err)
		}
		if err := <-e.ended; err == nil { // Nobody reads on.
			t.Error("it was sent to nobody")
		}
		if took := time.Since(begin); took != stallTimeout {
			t.Errorf("after %v", took)
		}
	})
}

func TestHeadersThatStall(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *endless, p *pipes) {
		conn := p.dial()
		defer conn.Close()
		begin := time.Now()
		send(t, conn, "GET /v1/buckets HTTP/1.1\r\nHost:")
		if _, err := io.Copy(io.Discard, conn); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took > headerTimeout+time.Second {
			t.Errorf("after %v", took)
		}
	})
}

// A client that hangs up in the middle of a commit, or of a download, is noticed.
func TestClientThatHangsUp(t *testing.T) {
	for name, request := range map[string]string{
		"upload":   "PUT /v1/buckets/b/objects/k" + headers + "Content-Length: 4\r\n\r\nwhat",
		"download": "GET /v1/buckets/b/objects/k" + headers + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, e *endless, p *pipes) {
				conn := p.dial()
				begin := time.Now()
				send(t, conn, request)
				synctest.Wait()
				conn.Close()
				if err := <-e.ended; err == nil || time.Since(begin) != 0 {
					t.Errorf("%v after %v", err, time.Since(begin))
				}
			})
		})
	}
}
