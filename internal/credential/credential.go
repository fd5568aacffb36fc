// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package credential issues short-lived credentials for what a pool lends, so that no key has to lie in its user data.
//
// The pool's own identity may impersonate the service account, or assume the role, that the settings name for a type; what
// a holder gets is that account's token, for an hour at the most. It cannot be taken back when the lease ends: that is why it
// lives so short.
package credential

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"golang.org/x/oauth2/google"

	"sigs.k8s.io/steward/internal/lease"
)

// Issued is a credential. Fields of the other cloud are empty.
type Issued struct {
	Cloud   string    `json:"cloud"` // google or aws
	Expires time.Time `json:"expires"`
	// AccessToken is Google's, for the header Authorization: Bearer.
	AccessToken string `json:"accessToken,omitempty"`
	// The three of AWS.
	AccessKeyID     string `json:"accessKeyId,omitempty"`
	SecretAccessKey string `json:"secretAccessKey,omitempty"`
	SessionToken    string `json:"sessionToken,omitempty"`
}

// Broker issues what grants say. It is safe for concurrent use.
type Broker struct {
	grants   map[string]lease.Grant
	http     *http.Client
	endpoint string // of Google's IAM credentials API
	sts      *sts.Client
}

// Options of a broker. The zero value asks the clouds with the credentials of the environment.
type Options struct {
	GoogleEndpoint string
	Google         *http.Client
	STSEndpoint    string
}

const googleEndpoint = "https://iamcredentials.googleapis.com"

// New returns a broker. It looks for the credentials of a cloud only where a grant needs that cloud.
func New(ctx context.Context, grants map[string]lease.Grant, opts Options) (*Broker, error) {
	b := &Broker{grants: grants, http: opts.Google, endpoint: opts.GoogleEndpoint}
	if b.endpoint == "" {
		b.endpoint = googleEndpoint
	}
	for typ, g := range grants {
		if g.ServiceAccount != "" && b.http == nil {
			client, err := google.DefaultClient(context.WithoutCancel(ctx), "https://www.googleapis.com/auth/cloud-platform")
			if err != nil {
				return nil, fmt.Errorf("credentials of %s: %w", typ, err)
			}
			b.http = client
		}
		if g.Role != "" && b.sts == nil {
			around, err := config.LoadDefaultConfig(ctx, config.WithDefaultRegion("us-east-1"))
			if err != nil {
				return nil, fmt.Errorf("credentials of %s: %w", typ, err)
			}
			b.sts = sts.NewFromConfig(around, func(o *sts.Options) {
				if opts.STSEndpoint != "" {
					o.BaseEndpoint = &opts.STSEndpoint
				}
			})
		}
	}
	return b, nil
}

// Issue makes a credential for a resource that is held.
func (b *Broker) Issue(ctx context.Context, r *lease.Resource) (Issued, error) {
	g, ok := b.grants[r.Type]
	if !ok {
		return Issued{}, &lease.Invalid{Problem: "the pool's settings name no credential for " + r.Type}
	}
	name, err := fill(g, r)
	if err != nil {
		return Issued{}, err
	}
	if g.Role != "" {
		return b.assume(ctx, name, r, g.Lifetime())
	}
	return b.impersonate(ctx, name, g)
}

// fill puts the resource's name and its id in place of {resource} and {id}.
func fill(g lease.Grant, r *lease.Resource) (string, error) {
	text := g.Role + g.ServiceAccount
	if strings.Contains(text, "{id}") && g.IDs[r.Name] == "" {
		return "", &lease.Invalid{Problem: "the pool's settings have no id for " + r.Name + " in credentials of " + r.Type}
	}
	return strings.NewReplacer("{resource}", r.Name, "{id}", g.IDs[r.Name]).Replace(text), nil
}

func (b *Broker) assume(ctx context.Context, role string, r *lease.Resource, lifetime time.Duration) (Issued, error) {
	seconds := int32(lifetime / time.Second)
	session := fmt.Sprintf("steward-%d-%s", r.Epoch, r.Name)
	session = session[:min(len(session), 64)]
	out, err := b.sts.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: &session, DurationSeconds: &seconds})
	if err != nil {
		return Issued{}, fmt.Errorf("assume %s: %w", role, err)
	}
	c := out.Credentials
	if c == nil || c.AccessKeyId == nil || c.SecretAccessKey == nil || c.SessionToken == nil || c.Expiration == nil {
		return Issued{}, fmt.Errorf("assume %s: the answer lacks a credential", role)
	}
	return Issued{
		Cloud: "aws", Expires: *c.Expiration, AccessKeyID: *c.AccessKeyId, SecretAccessKey: *c.SecretAccessKey, SessionToken: *c.SessionToken,
	}, nil
}

// maxAnswer bounds what Google may answer.
const maxAnswer = 64 << 10

func (b *Broker) impersonate(ctx context.Context, account string, g lease.Grant) (Issued, error) {
	scopes := g.Scopes
	if len(scopes) == 0 {
		scopes = []string{"https://www.googleapis.com/auth/cloud-platform"}
	}
	body, err := json.Marshal(map[string]any{"scope": scopes, "lifetime": fmt.Sprintf("%ds", int(g.Lifetime().Seconds()))})
	if err != nil {
		return Issued{}, err
	}
	address := b.endpoint + "/v1/projects/-/serviceAccounts/" + url.PathEscape(account) + ":generateAccessToken"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return Issued{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := b.http.Do(req)
	if err != nil {
		return Issued{}, fmt.Errorf("impersonate %s: %w", account, err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return Issued{}, fmt.Errorf("impersonate %s: %w", account, err)
	}
	var out struct {
		AccessToken string
		ExpireTime  time.Time
		Error       struct{ Message string }
	}
	if err := json.Unmarshal(content, &out); err != nil || resp.StatusCode != http.StatusOK || out.AccessToken == "" {
		return Issued{}, fmt.Errorf("impersonate %s: %s: %s", account, resp.Status, out.Error.Message)
	}
	return Issued{Cloud: "google", Expires: out.ExpireTime, AccessToken: out.AccessToken}, nil
}
