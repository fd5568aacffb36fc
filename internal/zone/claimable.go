// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package zone

import (
	"slices"
	"strings"
)

// service is where customers pick names themselves, so that whoever comes first owns
// what a forgotten record points at.
type claimable struct {
	suffix string // of the host, after a dot; "" where a part of the name tells
	part   string
	who    string
}

// hosting lists services that a CNAME points at. A service belongs here if a new
// customer can get a name that somebody else gave up, or can have another domain
// served by the same address.
func hosting() []claimable {
	return []claimable{
		{suffix: "acm-validations.aws", who: "AWS Certificate Manager"},
		{suffix: "amplifyapp.com", who: "AWS Amplify"},
		{suffix: "appspot.com", who: "Google App Engine"},
		{suffix: "authorize.certificatemanager.goog", who: "Google Certificate Manager"},
		{suffix: "azure-api.net", who: "Azure API Management"},
		{suffix: "azureedge.net", who: "Azure CDN"},
		{suffix: "azurefd.net", who: "Azure Front Door"},
		{suffix: "azurewebsites.net", who: "Azure App Service"},
		{suffix: "blob.core.windows.net", who: "Azure Storage"},
		{suffix: "c.storage.googleapis.com", who: "a Google Cloud Storage bucket"},
		{suffix: "cloudapp.azure.com", who: "Azure"},
		{suffix: "cloudapp.net", who: "Azure"},
		{suffix: "cloudfront.net", who: "CloudFront"},
		{suffix: "discourse-cdn.com", who: "Discourse"},
		{suffix: "elasticbeanstalk.com", who: "Elastic Beanstalk"},
		{suffix: "fastly.net", who: "Fastly"},
		{suffix: "fly.dev", who: "Fly.io"},
		{suffix: "ghost.io", who: "Ghost"},
		{suffix: "ghs.googlehosted.com", who: "Google Sites"},
		{suffix: "gitbook.io", who: "GitBook"},
		{suffix: "github.io", who: "GitHub Pages"},
		{suffix: "gitlab.io", who: "GitLab Pages"},
		{suffix: "herokuapp.com", who: "Heroku"},
		{suffix: "herokudns.com", who: "Heroku"},
		{suffix: "hosted.discourse.com", who: "Discourse"},
		{suffix: "myshopify.com", who: "Shopify"},
		{suffix: "netlify.app", who: "Netlify"},
		{suffix: "netlify.com", who: "Netlify"},
		{suffix: "netlifyglobalcdn.com", who: "Netlify"},
		{suffix: "okta.com", who: "Okta"},
		{suffix: "onrender.com", who: "Render"},
		{suffix: "pages.dev", who: "Cloudflare Pages"},
		{suffix: "pantheonsite.io", who: "Pantheon"},
		{suffix: "readthedocs.io", who: "Read the Docs"},
		{suffix: "run.app", who: "Cloud Run"},
		{suffix: "statuspage.io", who: "Statuspage"},
		{suffix: "surge.sh", who: "Surge"},
		{suffix: "trafficmanager.net", who: "Azure Traffic Manager"},
		{suffix: "vercel-dns.com", who: "Vercel"},
		{suffix: "vercel.app", who: "Vercel"},
		{suffix: "web.app", who: "Firebase"},
		{suffix: "web.core.windows.net", who: "Azure Storage"},
		{suffix: "wordpress.com", who: "WordPress"},
		{suffix: "zendesk.com", who: "Zendesk"},
		// NAME.s3.amazonaws.com, NAME.s3-website-REGION.amazonaws.com, NAME.s3.REGION.amazonaws.com
		{suffix: "amazonaws.com", part: ".s3", who: "an S3 bucket"},
		// NAME-123.REGION.elb.amazonaws.com
		{suffix: "amazonaws.com", part: ".elb.", who: "an AWS load balancer"},
		{suffix: "execute-api.amazonaws.com", who: "AWS API Gateway"},
	}
}

// dnsServices lists services whose name servers answer for any zone that a customer
// adds, so that a delegation to them is owned by whoever adds the zone.
func dnsServices() []claimable {
	return []claimable{
		{suffix: "googledomains.com", part: "ns-cloud-", who: "Google Cloud DNS"},
		{part: ".awsdns-", who: "Route 53"},
		{part: ".azure-dns.", who: "Azure DNS"},
		{suffix: "ns.cloudflare.com", who: "Cloudflare"},
		{suffix: "digitalocean.com", who: "DigitalOcean"},
		{suffix: "dnsimple.com", who: "DNSimple"},
		{suffix: "domaincontrol.com", who: "GoDaddy"},
		{suffix: "linode.com", who: "Linode"},
		{suffix: "nsone.net", who: "NS1"},
	}
}

// claim says who lets anybody claim what a record value points at, or "".
func claim(kind, value string) string {
	var table []claimable
	host := value
	switch kind {
	case "CNAME", "DNAME":
		table = hosting()
	case "NS":
		table = dnsServices()
	case "HTTPS", "SVCB":
		table = hosting()
		if parts := strings.Fields(value); len(parts) > 1 {
			host = strings.ToLower(parts[1])
		}
	}
	host = strings.TrimSuffix(host, ".")
	i := slices.IndexFunc(table, func(c claimable) bool { return c.has(host) })
	if i < 0 {
		return ""
	}
	return table[i].who
}

func (c claimable) has(host string) bool {
	return (c.suffix == "" || host == c.suffix || strings.HasSuffix(host, "."+c.suffix)) && strings.Contains(host, c.part)
}
