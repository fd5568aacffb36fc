// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"sigs.k8s.io/prow/pkg/github"
)

// FileToken returns tokens from a file that may be replaced at any time, as
// Kubernetes does with mounted secrets. The file is read again at most once a second.
func FileToken(path string) func(org string) (string, error) {
	var mu sync.Mutex
	var token string
	var read time.Time
	return func(string) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(read) < time.Second {
			return token, nil
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return "", err // names the path, not the content
		}
		if raw = bytes.TrimSpace(raw); len(raw) == 0 {
			return "", fmt.Errorf("token file %s is empty", path)
		}
		token, read = string(raw), time.Now()
		return token, nil
	}
}

// AppToken returns installation tokens of a GitHub App, made and renewed by
// Prow's client.
func AppToken(appID, keyFile, graphql string, endpoints []string) (func(org string) (string, error), error) {
	raw, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("read the App's private key: %w", err)
	}
	key, err := parseKey(raw)
	if err != nil {
		return nil, fmt.Errorf("read the App's private key %s: %w", keyFile, err)
	}
	tokens, _, _, err := github.NewClientFromOptions(logrus.Fields{}, github.ClientOptions{
		Censor:        func(b []byte) []byte { return b },
		AppID:         appID,
		AppPrivateKey: func() *rsa.PrivateKey { return key },

		GraphqlEndpoint: graphql,
		Bases:           endpoints,
	})
	if err != nil {
		return nil, fmt.Errorf("authenticate as App %s: %w", appID, err)
	}
	return tokens, nil
}

// parseKey reads PKCS #1, which GitHub hands out, or PKCS #8.
func parseKey(raw []byte) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, errors.New("it is not PEM")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("it is neither PKCS #1 nor PKCS #8") // never the parser's excerpt
	}
	rsaKey, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("it is not an RSA key")
	}
	return rsaKey, nil
}
