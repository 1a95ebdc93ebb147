package rest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
)

// open answers the paths that need no token; false for all others.
func (h *Handler) open(ctx context.Context, x *exchange) bool {
	path := x.request.URL.Path
	if path != pathHealth && path != pathReady && path != pathOpenAPI {
		return false
	}
	x.open = true
	if m := x.request.Method; m != http.MethodGet && m != http.MethodHead {
		methodNotAllowed(x)
		return true
	}
	switch path {
	case pathHealth:
		writeBody(x, http.StatusOK, "text/plain; charset=utf-8", []byte("ok\n"))
	case pathReady:
		h.writeReady(ctx, x)
	case pathOpenAPI:
		writeBody(x, http.StatusOK, "application/json", h.openAPI)
	}
	return true
}

// readiness is the JSON of /readyz.
type readiness struct {
	Ready bool `json:"ready"`
	// Checks says "ok", or why not, of each condition.
	Checks map[string]string `json:"checks"`
}

func (h *Handler) writeReady(ctx context.Context, x *exchange) {
	out := readiness{Ready: true, Checks: map[string]string{}}
	checks := h.ready(ctx)
	if h.stopping.Load() {
		checks = append(checks, Check{Name: "stopping", Err: errors.New("this front-door stops")})
	}
	for _, c := range checks {
		out.Checks[c.Name] = "ok"
		if c.Err != nil {
			out.Ready = false
			out.Checks[c.Name] = c.Err.Error()
		}
	}
	status := http.StatusOK
	if !out.Ready {
		status = http.StatusServiceUnavailable
		x.Header().Set("Retry-After", "1")
	}
	body, err := json.Marshal(out)
	if err != nil {
		writeError(x, err)
		return
	}
	writeBody(x, status, "application/json", append(body, '\n'))
}

func writeBody(x *exchange, status int, contentType string, body []byte) {
	x.Header().Set("Content-Type", contentType)
	x.Header().Set("Content-Length", strconv.Itoa(len(body)))
	x.WriteHeader(status)
	_, _ = x.Write(body) // The exchange accounts for it.
}
