// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package hook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// event is a webhook as a sender has it ready.
type event struct {
	kind, guid string
	body       []byte
	signature  string
}

func sign(body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// commented is the issue_comment event of a comment that exists, padded to a size where it is smaller.
func commented(guid, name string, number int, id int64, size int) event {
	owner, short, _ := strings.Cut(name, "/")
	body := fmt.Appendf(nil, `{"action":"created","issue":{"number":%d,"pull_request":{},"title":"a change","body":"`, number)
	tail := fmt.Sprintf(`"},"comment":{"id":%d,"body":"/infra why","user":{"login":"alice"}},"sender":{"login":"alice"},`+
		`"repository":{"name":%q,"full_name":%q,"owner":{"login":%q}}}`, id, short, name, owner)
	body = append(body, bytes.Repeat([]byte{'x'}, max(0, size-len(body)-len(tail)))...)
	body = append(body, tail...)
	return event{"issue_comment", guid, body, sign(body)}
}

// request is the event on its way to an address.
func (e event) request(address string) (*http.Request, error) {
	req, err := http.NewRequest(http.MethodPost, address, bytes.NewReader(e.body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-GitHub-Event", e.kind)
	req.Header.Set("X-GitHub-Delivery", e.guid)
	req.Header.Set("X-Hub-Signature-256", e.signature)
	return req, nil
}

// post sends the event once and returns the answer.
func (e event) post(address string) (status int, answer string, err error) {
	req, err := e.request(address)
	if err != nil {
		return 0, "", err
	}
	req.GetBody = nil // Go's client may send again what it can read again; GitHub does not
	return do(req)
}

func do(req *http.Request) (status int, answer string, err error) {
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(raw), err
}
