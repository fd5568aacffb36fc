// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package webhook is the door that Prow's hook and GitHub knock at: it verifies
// a webhook, hands what it asks for to a journal and only then answers 200.
//
// Statuses and bodies of refusals are those of Prow's own endpoints
// (specs/prow.md 1.1), so that a sender cannot tell the difference; the rules
// are H-1 to H-9 of docs/hook.md. Nothing of a body is decoded before its
// signature holds, except the repository's name, which selects the secret.
package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // X-Hub-Signature of old senders; can be refused
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/sirupsen/logrus"
)

// MaxBody is GitHub's own cap on a payload.
const MaxBody = 25 << 20

// Sink takes deliveries. Deliver returns nil only when the delivery survives a
// crash. It is called concurrently; a GUID it has seen before is not an error.
type Sink interface {
	Deliver(context.Context, Delivery) error
}

// Receiver answers webhooks of one path. It is safe for concurrent use.
type Receiver struct {
	Secrets    func() (Secrets, error) // asked at every request, so that rotation needs no restart
	Sink       Sink
	Plugin     string        // put into every delivery
	Self       func() string // our own login, "" while unknown; its comments are not for us
	RefuseSHA1 bool          // accept X-Hub-Signature-256 only
	Observe    func(event string, status int)
	Log        *logrus.Entry

	buffers sync.Pool
}

// refusal is an answer other than 200; the text is the exact body.
type refusal struct {
	status int
	text   string
}

func (r refusal) Error() string { return r.text }

func refuse(status int, text string) error {
	return refusal{status, strconv.Itoa(status) + " " + text}
}

const received = "Event received. Have a nice day."

// ServeHTTP answers one delivery.
func (rc *Receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	event := r.Header.Get("X-GitHub-Event")
	status, text := http.StatusOK, received
	if err := rc.receive(w, r, event); err != nil {
		var no refusal
		if !errors.As(err, &no) {
			no = refusal{http.StatusInternalServerError, "500 Internal Server Error: Failed to journal the event"}
			rc.Log.WithError(err).WithField("event-GUID", r.Header.Get("X-GitHub-Delivery")).Error("Delivery not journaled")
		}
		status, text = no.status, no.text
	}
	if rc.Observe != nil {
		rc.Observe(event, status)
	}
	if status != http.StatusOK {
		http.Error(w, text, status)
		return
	}
	_, _ = io.WriteString(w, text) // the sender is gone; the event is not
}

func (rc *Receiver) receive(w http.ResponseWriter, r *http.Request, event string) error {
	signature, newHash, err := rc.checkHeaders(r, event)
	if err != nil {
		return err
	}
	if !threadEvents[event] {
		return nil
	}
	body := rc.buffer()
	defer rc.release(body)
	if err := readBody(w, r, body); err != nil {
		return err
	}
	env, err := rc.verify(body.Bytes(), signature, newHash)
	if err != nil {
		return err
	}
	d, sender, err := parseEvent(event, r.Header.Get("X-GitHub-Delivery"), env, body.Bytes())
	if err != nil {
		return refuse(http.StatusBadRequest, "Bad Request: "+err.Error())
	}
	if self := rc.Self(); self != "" && event == "issue_comment" && strings.EqualFold(sender, self) {
		return nil // our own sticky; our own records, which are issues, do concern every thread
	}
	d.Plugin = rc.Plugin
	return rc.Sink.Deliver(r.Context(), d)
}

// checkHeaders refuses in Prow's order. It returns the signature to check, in
// hexadecimal, and its hash: the SHA-256 one wherever it is present.
func (rc *Receiver) checkHeaders(r *http.Request, event string) (string, func() hash.Hash, error) {
	switch {
	case r.Method != http.MethodPost:
		return "", nil, refuse(http.StatusMethodNotAllowed, "Method not allowed")
	case event == "":
		return "", nil, refuse(http.StatusBadRequest, "Bad Request: Missing X-GitHub-Event Header")
	case r.Header.Get("X-GitHub-Delivery") == "":
		return "", nil, refuse(http.StatusBadRequest, "Bad Request: Missing X-GitHub-Delivery Header")
	case len(r.Header.Get("X-GitHub-Delivery")) > 128 || len(event) > 128:
		return "", nil, refuse(http.StatusBadRequest, "Bad Request: X-GitHub-Event or X-GitHub-Delivery is too long")
	}
	prefix, signature, newHash := "sha256=", r.Header.Get("X-Hub-Signature-256"), sha256.New
	if signature == "" && !rc.RefuseSHA1 {
		prefix, signature, newHash = "sha1=", r.Header.Get("X-Hub-Signature"), sha1.New
	}
	if signature == "" {
		return "", nil, refuse(http.StatusForbidden, "Forbidden: Missing X-Hub-Signature-256")
	}
	if r.Header.Get("Content-Type") != "application/json" {
		return "", nil, refuse(http.StatusBadRequest, "Bad Request: Hook only accepts content-type: application/json - please reconfigure this hook on GitHub")
	}
	digits, ok := strings.CutPrefix(signature, prefix)
	if !ok {
		return "", nil, invalid("invalid signature")
	}
	return digits, newHash, nil
}

func invalid(why string) error {
	return refuse(http.StatusForbidden, "Forbidden: Invalid X-Hub-Signature-256 - "+why)
}

// verify checks the signature with every secret of the repository's scope.
func (rc *Receiver) verify(body []byte, signature string, newHash func() hash.Hash) (envelope, error) {
	env, err := parseEnvelope(body)
	if err != nil {
		return env, invalid("invalid payload")
	}
	want, err := hex.DecodeString(signature)
	if err != nil {
		return env, invalid("invalid signature")
	}
	secrets, err := rc.Secrets()
	if err != nil {
		rc.Log.WithError(err).Error("Webhook secrets cannot be read")
		return env, invalid("failed to get an appropriate hmac secret")
	}
	keys := secrets.For(env.scope())
	if len(keys) == 0 {
		return env, invalid("failed to get an appropriate hmac secret")
	}
	for _, key := range keys {
		mac := hmac.New(newHash, key)
		mac.Write(body)
		if hmac.Equal(mac.Sum(nil), want) {
			return env, nil
		}
	}
	return env, invalid("misconfigured webhook secret from organization/repo: " + fmt.Sprintf("%.200s", env.scope()))
}

// keepBuffer is the largest buffer that is used again: one 25 MiB body must not
// occupy 25 MiB for ever.
const keepBuffer = 1 << 20

func (rc *Receiver) buffer() *bytes.Buffer {
	if b, ok := rc.buffers.Get().(*bytes.Buffer); ok {
		b.Reset()
		return b
	}
	return new(bytes.Buffer)
}

func (rc *Receiver) release(b *bytes.Buffer) {
	if b.Cap() <= keepBuffer {
		rc.buffers.Put(b)
	}
}

func readBody(w http.ResponseWriter, r *http.Request, into *bytes.Buffer) error {
	_, err := into.ReadFrom(http.MaxBytesReader(w, r.Body, MaxBody))
	var tooLong *http.MaxBytesError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &tooLong):
		return refuse(http.StatusRequestEntityTooLarge, "Request Entity Too Large: GitHub sends at most 25 MiB")
	}
	return refuse(http.StatusInternalServerError, "Internal Server Error: Failed to read request body")
}
