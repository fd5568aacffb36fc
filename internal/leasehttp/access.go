// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasehttp

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/crypto/bcrypt"

	"sigs.k8s.io/steward/internal/lease"
)

// Gate is the Access and the People of a pool: it identifies a caller by the credentials it shows, and lets the rules decide.
type Gate struct {
	// Required refuses callers without credentials. Else they are believed, as by Boskos.
	Required bool
	// Basic and Tokens check credentials; nil refuses that kind.
	Basic  Passwords
	Tokens []TokenChecker
	// Rules returns the rules as they are now; Operators who may act on what others hold.
	Rules     func() []lease.Rule
	Operators func() []string
}

// Passwords tells whether a password is that of a user.
type Passwords interface {
	Check(user, password string) bool
}

// TokenChecker tells whose a bearer token is. ErrNotMine passes it to the next, *Unavailable says nothing about it; another error
// refuses it.
type TokenChecker interface {
	Identify(ctx context.Context, token string) (lease.Identity, error)
}

// Unavailable says that whoever knows a token could not be asked: it may be good, and the caller may come again.
type Unavailable struct{ Err error }

func (u *Unavailable) Error() string { return "the token cannot be checked now: " + u.Err.Error() }

func (u *Unavailable) Unwrap() error { return u.Err }

// ErrNotMine says that a token is of another issuer.
var ErrNotMine = errors.New("not a token of this issuer")

// Holder asks the rules.
func (g *Gate) Holder(r *http.Request, owner, typ string) (Caller, error) {
	id, err := g.identify(r)
	if err != nil {
		return Caller{}, err
	}
	id.Owner = owner
	h, class, why, ok := lease.Decide(g.Rules(), id, typ)
	if !ok {
		return Caller{}, &Denied{Why: why}
	}
	return Caller{Holder: h, Class: class, Name: id.Name(), Bound: g.bound()}, nil
}

// bound tells whether it matters who asks.
func (g *Gate) bound() bool { return g.Required || len(g.Rules()) > 0 }

// Require refuses callers without credentials everything, where they are required.
func (g *Gate) Require(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.Required {
			if _, err := g.identify(r); err != nil {
				if g.Basic != nil {
					w.Header().Set("WWW-Authenticate", `Basic realm="steward-pool"`)
				}
				fail(w, err)
				return
			}
		}
		h.ServeHTTP(w, r)
	})
}

// May lets operators act on what others hold: those who are named, by user or service account, with proof. Where it does not
// matter who asks, a reaper may reset.
func (g *Gate) May(r *http.Request, verb, _ string) (string, error) {
	id, err := g.identify(r)
	if err != nil {
		return "", err
	}
	if verb == verbReset && !g.bound() {
		return id.Name(), nil
	}
	if !id.Proven() {
		return "", &Denied{Unknown: true, Why: "to " + verb + " what others hold takes credentials"}
	}
	if !slices.Contains(g.Operators(), id.Name()) {
		return "", &Denied{Why: fmt.Sprintf("%s is not among the operators of the pool's settings", id.Name())}
	}
	return id.Name(), nil
}

func (g *Gate) identify(r *http.Request) (lease.Identity, error) {
	if user, password, ok := r.BasicAuth(); ok && g.Basic != nil {
		if !g.Basic.Check(user, password) {
			return lease.Identity{}, &Denied{Unknown: true, Why: "user or password is wrong"}
		}
		return lease.Identity{User: user}, nil
	}
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && len(g.Tokens) > 0 {
		return g.token(r.Context(), token)
	}
	if g.Required {
		return lease.Identity{}, &Denied{Unknown: true, Why: "credentials are needed"}
	}
	return lease.Identity{}, nil
}

func (g *Gate) token(ctx context.Context, token string) (lease.Identity, error) {
	for _, c := range g.Tokens {
		id, err := c.Identify(ctx, token)
		if errors.Is(err, ErrNotMine) {
			continue
		}
		var down *Unavailable
		if errors.As(err, &down) {
			return lease.Identity{}, err
		}
		if err != nil {
			return lease.Identity{}, &Denied{Unknown: true, Why: "the token is not valid: " + err.Error()}
		}
		return id, nil
	}
	return lease.Identity{}, &Denied{Unknown: true, Why: "the token is of no issuer that is known here"}
}

// Users are the users of a file of htpasswd, with bcrypt hashes ("htpasswd -B"). It is read again when it changes.
type Users struct {
	path string

	mu     sync.Mutex
	read   time.Time // modification of what was read
	hashes map[string][]byte
	known  map[[sha256.Size]byte]bool // what bcrypt has found right already: it takes 50 ms
}

// OpenUsers reads a file.
func OpenUsers(path string) (*Users, error) {
	u := &Users{path: path}
	return u, u.refresh()
}

func (u *Users) refresh() error {
	info, err := os.Stat(u.path)
	if err != nil {
		return fmt.Errorf("users: %w", err)
	}
	if info.ModTime().Equal(u.read) {
		return nil
	}
	f, err := os.Open(u.path)
	if err != nil {
		return fmt.Errorf("users: %w", err)
	}
	defer f.Close()
	hashes := map[string][]byte{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		user, hash, ok := strings.Cut(line, ":")
		if _, err := bcrypt.Cost([]byte(hash)); !ok || err != nil {
			return fmt.Errorf("users: %s:%d: not USER:HASH with a hash of bcrypt, as htpasswd -B makes it", u.path, n)
		}
		hashes[user] = []byte(hash)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("users: %w", err)
	}
	u.read, u.hashes, u.known = info.ModTime(), hashes, map[[sha256.Size]byte]bool{}
	return nil
}

// Check compares a password. A file that cannot be read any more keeps what was read last.
func (u *Users) Check(user, password string) bool {
	u.mu.Lock()
	_ = u.refresh() // what is wrong with the file was told at the start, or is told by whoever edits it
	hash, ok := u.hashes[user]
	key := sha256.Sum256([]byte(user + "\x00" + string(hash) + "\x00" + password))
	known := u.known[key]
	u.mu.Unlock()
	if !ok || known {
		return known && ok
	}
	if bcrypt.CompareHashAndPassword(hash, []byte(password)) != nil {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.known[key] = true
	return true
}

// OIDC checks tokens of an issuer for an audience.
type OIDC struct {
	issuer   string
	verifier *oidc.IDTokenVerifier
}

// NewOIDC asks the issuer for its keys. Tokens of a Kubernetes cluster's issuer name their service account and pod.
func NewOIDC(ctx context.Context, issuer, audience string) (*OIDC, error) {
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		return nil, fmt.Errorf("OIDC issuer: %w", err)
	}
	return &OIDC{issuer, provider.Verifier(&oidc.Config{ClientID: audience})}, nil
}

// kubernetes are the claims of a service account's token.
type kubernetes struct {
	Kubernetes struct {
		Namespace string
		Pod       struct{ UID string }
		Account   struct{ Name string } `json:"serviceaccount"`
	} `json:"kubernetes.io"`
}

// Identify verifies signature, audience and time.
func (o *OIDC) Identify(ctx context.Context, token string) (lease.Identity, error) {
	verified, err := o.verifier.Verify(ctx, token)
	if err != nil {
		if strings.Contains(err.Error(), "issued by a different provider") {
			return lease.Identity{}, ErrNotMine
		}
		return lease.Identity{}, err
	}
	var claims kubernetes
	if err := verified.Claims(&claims); err != nil {
		return lease.Identity{}, err
	}
	id := lease.Identity{User: verified.Subject}
	if k := claims.Kubernetes; k.Account.Name != "" {
		id = lease.Identity{ServiceAccount: k.Namespace + "/" + k.Account.Name, Namespace: k.Namespace, Pod: k.Pod.UID}
	}
	return id, nil
}
