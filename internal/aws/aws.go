// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package aws is one AWS account as the janitor sees it: whose it is, and everything in it that a test can leave behind.
//
// Kinds is a table: a row says how objects of one kind are listed and deleted in one region, and what stays. Everything
// else is here once for all of them: which regions there are, how fast each service may be asked, when to ask again, how
// pages end, and what an error means. What has few actions in use is asked in its own plain protocol (call.go), because a
// generated client for each of eighteen services is most of a binary and of a build; docs/janitor-aws.md has the figures
// and the numbered rules (AWS-1 and on).
package aws

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"sigs.k8s.io/steward/internal/pace"
	"sigs.k8s.io/steward/internal/secret"
)

// Options say which account, and how gently. Zero values mean the defaults.
type Options struct {
	// AccessKeyID and SecretAccessKey are those of the account, as a pool's userdata has them. Without them the environment
	// says who asks: web identity, instance role, variables, files.
	AccessKeyID     string
	SecretAccessKey secret.String
	// Role is the ARN of a role that is assumed first, "" for none; ExternalID what its trust policy may ask for.
	Role, ExternalID string
	// Home is the region in which the account itself is asked for, and what is global; us-east-1.
	Home string
	// Without names regions that are left alone: those that a policy shuts, so that nothing can be there. It is a person who
	// says so; the account would not be called clean otherwise.
	Without []string
	// KeepZones names hosted zones, with the final dot, that stay; only what tests write into them goes.
	KeepZones []string
	// Endpoint is one address for every service, for emulators.
	Endpoint string
	// HTTP sends the requests; a client with timeouts.
	HTTP *http.Client
	// Rate is how many requests a second start at the most, for each service in each region; 20.
	Rate float64
	// Attempts of one request; 6. Backoff is before the second, doubled before each further one; 500ms.
	Attempts int
	Backoff  time.Duration
	// Poll is how often a deletion that takes its time is looked at, 5s, and Wait for how long, 20m.
	Poll, Wait time.Duration
}

const (
	defaultHome     = "us-east-1"
	defaultRate     = 20 // half of what EC2 gives an account back in a second
	defaultAttempts = 6
	defaultBackoff  = 500 * time.Millisecond
	defaultPoll     = 5 * time.Second
	defaultWait     = 20 * time.Minute

	perService = 8 // requests at once, to one service in one region
	atOnce     = 32
	maxBackoff = 20 * time.Second
)

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	if o.Home == "" {
		o.Home = defaultHome
	}
	if o.Rate <= 0 {
		o.Rate = defaultRate
	}
	if o.Attempts <= 0 {
		o.Attempts = defaultAttempts
	}
	set(&o.Backoff, defaultBackoff)
	set(&o.Poll, defaultPoll)
	set(&o.Wait, defaultWait)
	if o.HTTP == nil {
		o.HTTP = &http.Client{Timeout: time.Minute, Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			MaxIdleConnsPerHost:   perService,
			IdleConnTimeout:       time.Minute,
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: 30 * time.Second,
		}}
	}
	return o
}

// Client speaks for one account. It is safe for concurrent use.
type Client struct {
	opts        Options
	credentials awssdk.CredentialsProvider

	mu      sync.Mutex
	paces   map[string]*pace.Limiter // "service region"
	account identity                 // once known
	closed  map[string]bool          // regions that could not be read
}

// identity is who the credentials are.
type identity struct{ id, arn string }

// New returns a client. It asks AWS nothing yet.
func New(ctx context.Context, opts Options) (*Client, error) {
	c := &Client{opts: opts.withDefaults(), paces: map[string]*pace.Limiter{}}
	secretKey := opts.SecretAccessKey.Reveal()
	switch {
	case opts.AccessKeyID != "" && secretKey != "":
		c.credentials = credentials.NewStaticCredentialsProvider(opts.AccessKeyID, secretKey, "")
	case opts.AccessKeyID != "" || secretKey != "":
		return nil, errors.New("credentials: an access key needs both its id and its secret")
	default:
		around, err := config.LoadDefaultConfig(ctx, config.WithRegion(c.opts.Home)) // with its own client: $AWS_CA_BUNDLE needs that
		if err != nil {
			return nil, fmt.Errorf("credentials: %w", err)
		}
		c.credentials = around.Credentials
	}
	if opts.Role != "" {
		c.credentials = awssdk.NewCredentialsCache(stscreds.NewAssumeRoleProvider(c.home().sts(), opts.Role, c.assume))
	} else {
		c.credentials = awssdk.NewCredentialsCache(c.credentials)
	}
	return c, nil
}

func (c *Client) assume(o *stscreds.AssumeRoleOptions) {
	o.RoleSessionName = "steward-janitor"
	if c.opts.ExternalID != "" {
		o.ExternalID = &c.opts.ExternalID
	}
}

// Account says whose the credentials are: the number of the account and the ARN of the caller. Nothing may be deleted
// before the number was compared with what was meant.
func (c *Client) Account(ctx context.Context) (id, arn string, err error) {
	c.mu.Lock()
	known := c.account
	c.mu.Unlock()
	if known.id != "" {
		return known.id, known.arn, nil
	}
	out, err := c.home().sts().GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", "", fmt.Errorf("ask who the credentials are: %w", bareAPI(err))
	}
	known = identity{awssdk.ToString(out.Account), awssdk.ToString(out.Arn)}
	if len(known.id) != 12 || strings.Trim(known.id, "0123456789") != "" || strings.Count(known.arn, ":") < 5 {
		return "", "", fmt.Errorf("ask who the credentials are: account %q and caller %q are none", known.id, known.arn)
	}
	c.mu.Lock()
	c.account = known
	c.mu.Unlock()
	return known.id, known.arn, nil
}

// Place is where an account stands in its organization.
type Place struct {
	ID, Name, Status string
	// Parents are the units from the account's own up to the root, by id ("ou-…", "r-…").
	Parents []string
	Tags    map[string]string
}

// Place asks the organization about an account. Only credentials of the management account or of a delegated
// administrator may; all others get an error.
func (c *Client) Place(ctx context.Context, account string) (Place, error) {
	fail := func(err error) (Place, error) { return Place{}, fmt.Errorf("place account %s: %w", account, err) }
	home := c.home()
	t, err := home.call(ctx, "organizations", "DescribeAccount", in{"AccountId": account})
	if err != nil {
		return fail(err)
	}
	p := Place{ID: t.text("Account.Id"), Name: t.text("Account.Name"), Status: t.text("Account.Status"), Tags: map[string]string{}}
	if p.ID != account {
		return fail(fmt.Errorf("the organization answers for account %q", p.ID))
	}
	for child := account; !strings.HasPrefix(child, "r-"); {
		if len(p.Parents) > 8 { // AWS nests units five deep
			return fail(errors.New("its units have no root"))
		}
		t, err := home.call(ctx, "organizations", "ListParents", in{"ChildId": child})
		if err != nil {
			return fail(err)
		}
		if child = t.text("Parents.Id"); child == "" {
			return fail(errors.New("it has no parent"))
		}
		p.Parents = append(p.Parents, child)
	}
	tags := call{"organizations", "ListTagsForResource", in{"ResourceId": account}, "NextToken", "NextToken"}
	err = home.pages(ctx, tags, func(t tree) error {
		for key, value := range t.tags("Tags") {
			p.Tags[key] = value
		}
		return nil
	})
	if err != nil {
		return fail(err)
	}
	return p, nil
}

// region is one region of the account, and how to ask there.
type region struct {
	*Client
	name string
}

func (c *Client) home() *region { return &region{c, c.opts.Home} }

// suffix is the end of host names in this region's partition.
func (r *region) suffix() string {
	if strings.HasPrefix(r.name, "cn-") {
		return "amazonaws.com.cn"
	}
	return "amazonaws.com"
}

// arn names what EC2 names by an id only. Account has answered before any kind is listed.
func (r *region) arn(service, resource string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	partition := strings.Split(r.account.arn+":aws", ":")[1]
	return strings.Join([]string{"arn", partition, service, r.name, r.account.id, resource}, ":")
}

// pace is the token bucket of a service in this region.
func (r *region) pace(service string) *pace.Limiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := service + " " + r.name
	if r.paces[key] == nil {
		r.paces[key] = pace.New(pace.Options{Rate: r.opts.Rate, Parallel: perService})
	}
	return r.paces[key]
}

func (r *region) client(service string) awssdk.HTTPClient {
	return &pacer{r.pace(service), r.opts.HTTP}
}

// retryer is the SDK's, without its quota of retries: the pace is the quota, and attempts are counted for each request.
func (r *region) retryer(service string) awssdk.Retryer {
	standard := retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts, o.RateLimiter, o.Backoff = r.opts.Attempts, ratelimit.None, retry.BackoffDelayerFunc(r.backoff)
	})
	return &told{standard, r.pace(service)}
}

// backoff doubles from Options.Backoff, with jitter, so that a crowd does not come back as one.
func (c *Client) backoff(attempt int, _ error) (time.Duration, error) {
	d := min(c.opts.Backoff<<min(max(attempt-1, 0), 10), maxBackoff)
	return d/2 + rand.N(d/2+1), nil //nolint:gosec // no secret
}

// told tells the pace when the service pushed back.
type told struct {
	*retry.Standard
	pace *pace.Limiter
}

// RetryDelay is asked before every further attempt.
func (t *told) RetryDelay(attempt int, err error) (time.Duration, error) {
	if _, throttled := retry.DefaultThrottleErrorCodes[codeOf(err)]; throttled {
		t.pace.PushedBack(0)
	}
	return t.Standard.RetryDelay(attempt, err)
}

// sdk is what the SDK's clients of this region are made of.
func (r *region) sdk(service string) awssdk.Config {
	c := awssdk.Config{
		Region: r.name, Credentials: r.credentials, HTTPClient: r.client(service),
		Retryer: func() awssdk.Retryer { return r.retryer(service) },
	}
	if r.opts.Endpoint != "" {
		c.BaseEndpoint = &r.opts.Endpoint
	}
	return c
}

func (r *region) sts() *sts.Client { return sts.NewFromConfig(r.sdk("sts")) }
