package kube

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// What errors.Is finds in a refusal.
var (
	// ErrNotFound means that there is no such object.
	ErrNotFound = errors.New("not found")
	// ErrExists means that an object of that name was there before.
	ErrExists = errors.New("exists already")
	// ErrConflict means that the object was changed since it was read: read it again.
	ErrConflict = errors.New("changed meanwhile")
	// ErrForbidden means that the service account lacks a right; the API's message says which.
	ErrForbidden = errors.New("forbidden")
)

// Error is a refusal by the API server.
type Error struct {
	// What was tried: `get secret "a" in namespace "b"`.
	What string
	// Code is the HTTP status.
	Code int
	// Reason is the API's word for it, `NotFound`; empty when the answer was none of the API's.
	Reason string
	// Message is the API's sentence; of a right that is lacking it names the verb, the resource and the account.
	Message string
}

// Error says what was tried and what the API said.
func (e *Error) Error() string {
	message := e.Message
	if message == "" {
		message = http.StatusText(e.Code)
	}
	return fmt.Sprintf("kubernetes: %s: %s (%d)", e.What, message, e.Code)
}

// Is makes errors.Is find the package's sentinels.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrNotFound:
		return e.Code == http.StatusNotFound
	case ErrForbidden:
		return e.Code == http.StatusForbidden
	case ErrExists:
		return e.Code == http.StatusConflict && e.Reason == "AlreadyExists"
	case ErrConflict:
		return e.Code == http.StatusConflict && e.Reason != "AlreadyExists"
	}
	return false
}

// refusal reads an answer that is not the wanted one. What is no Status of the API counts by its code alone: it came from
// something in between.
func refusal(what string, code int, raw []byte) error {
	var status struct{ Kind, Reason, Message string }
	if json.Unmarshal(raw, &status) != nil || status.Kind != "Status" {
		return &Error{What: what, Code: code}
	}
	return &Error{What: what, Code: code, Reason: status.Reason, Message: status.Message}
}
