// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package scripttest

import (
	"cmp"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// pool starts steward-pool on a free port, the same one when it is started again.
func (w *world) pool(ts *testscript.TestScript, args []string) error {
	if w.lender != nil {
		return errors.New("it runs already")
	}
	path, err := look(ts.Getenv("PATH"), "steward-pool")
	if err != nil {
		return err
	}
	flags := []string{
		"--config=pool.yaml", "--data-dir=pool", "--bind-address=127.0.0.1", "--reload=100ms", "--port=" + cmp.Or(w.poolPort, "0"),
		"--health-port=0", "--metrics-port=0", "--pprof-port=0",
	}
	proc := &process{cmd: exec.Command(path, append(flags, args...)...), ended: make(chan error, 1)}
	proc.log = &tail{serving: make(chan map[string]string, 8)}
	proc.cmd.Dir = ts.MkAbs(".")
	proc.cmd.Env = append(os.Environ(), "PATH="+ts.Getenv("PATH"))
	proc.cmd.Stderr = proc.log
	if err := proc.cmd.Start(); err != nil {
		return err
	}
	go func() { proc.ended <- proc.cmd.Wait() }()
	select {
	case proc.served = <-proc.log.serving:
	case err := <-proc.ended:
		return fmt.Errorf("ended before it served (%v):\n%s", err, proc.log)
	case <-time.After(patience):
		_ = proc.cmd.Process.Kill()
		return fmt.Errorf("does not serve:\n%s", proc.log)
	}
	if _, w.poolPort, err = net.SplitHostPort(proc.served["address"]); err != nil {
		return err
	}
	w.lender = proc
	ts.Setenv("STEWARD_POOL", "http://"+proc.served["address"])
	ts.Defer(func() {
		if w.lender == proc {
			_ = proc.cmd.Process.Kill()
			<-proc.ended
		}
	})
	return nil
}

// poolEnds ends it; the exit code has to be 0.
func (w *world) poolEnds(*testscript.TestScript, []string) error {
	proc := w.lender
	if proc == nil {
		return errors.New("it does not run")
	}
	w.lender = nil
	if err := proc.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case err := <-proc.ended:
		if err != nil {
			return fmt.Errorf("after SIGTERM: %v\n%s", err, proc.log)
		}
		return nil
	case <-time.After(patience):
		return fmt.Errorf("it does not end:\n%s", proc.log)
	}
}

// issuer gives tokens of service accounts, as the API server of a cluster does.
type issuer struct {
	url string
	key *rsa.PrivateKey
}

// issues starts the issuer; its address is $ISSUER.
func (w *world) issues(ts *testscript.TestScript, _ []string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	ts.Defer(server.Close)
	w.issuer = &issuer{server.URL, key}
	tell := func(path string, what any) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(what) // a client that has gone hears nothing
		})
	}
	tell("/.well-known/openid-configuration", map[string]any{
		"issuer": server.URL, "jwks_uri": server.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"},
	})
	tell("/keys", map[string]any{"keys": []map[string]string{{
		"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1", "n": encoded(key.N.Bytes()), "e": encoded(big.NewInt(int64(key.E)).Bytes()),
	}}})
	ts.Setenv("ISSUER", server.URL)
	return nil
}

// token writes a token of a service account for the audience pool.
func (w *world) token(ts *testscript.TestScript, args []string) error {
	if len(args) != 2 || w.issuer == nil {
		return errors.New("usage: token NAMESPACE/ACCOUNT FILE, after issuer")
	}
	namespace, account, _ := strings.Cut(args[0], "/")
	claims, err := json.Marshal(map[string]any{
		"iss": w.issuer.url, "aud": "pool", "sub": "system:serviceaccount:" + namespace + ":" + account,
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
		"kubernetes.io": map[string]any{"namespace": namespace, "serviceaccount": map[string]string{"name": account}},
	})
	if err != nil {
		return err
	}
	signed := encoded([]byte(`{"alg":"RS256","kid":"1"}`)) + "." + encoded(claims)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, w.issuer.key, crypto.SHA256, digest[:])
	if err != nil {
		return err
	}
	return os.WriteFile(ts.MkAbs(args[1]), []byte(signed+"."+encoded(signature)+"\n"), 0o600)
}

func encoded(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
