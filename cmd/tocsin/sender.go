package main

import (
	"crypto/tls"
	"fmt"
	"net/netip"

	"github.com/prometheus/client_golang/prometheus"

	"tocsin/bridge/config"
	"tocsin/bridge/preset"
	"tocsin/bridge/webhook"
)

// newSender makes what connects to an endpoint. Its errors say which endpoint.
func newSender(name string, told *preset.Destination, e *config.Endpoint, own []netip.AddrPort) (*webhook.Sender, error) {
	o := webhook.Options{
		Name: name, URL: told.URL(), Hide: told.Secrets(), Sign: e.Schemes, Secrets: e.Secrets, Keys: e.Keys, Unsigned: len(e.Schemes) == 0,
		Timeout: e.Limits.Timeout, ResponseBytes: int(e.Limits.ResponseBytes), Concurrency: e.Limits.Concurrency,
		AllowCIDRs: e.Egress.AllowCIDRs, AllowHTTP: e.Egress.AllowHTTP,
		RetryAfterMax: e.Retry.RetryAfterMax, UserAgent: "tocsin/" + buildVersion(),
		Headers: e.Headers, Auth: e.Auth.Webhook(), Gzip: e.Gzip, Consent: e.Consent.Webhook(),
		Proxy: e.Egress.Via(), Source: e.Egress.Source.Addr, Ports: e.Egress.Ports, Own: own,
	}
	if err := identify(&o, &e.TLS); err != nil {
		return nil, fmt.Errorf("endpoint %s: %w", name, err)
	}
	return webhook.New(o)
}

// identify reads who the endpoint has to be, and who we are to it. The files
// were read when the configuration was checked, and are read again as they are
// now; when one of them changes, the endpoint has changed.
func identify(o *webhook.Options, t *config.EndpointTLS) error {
	var err error
	if o.RootCAs, err = t.Roots(); err != nil {
		return fmt.Errorf("tls.ca: %w", err)
	}
	if o.Auth.OAuth2 != nil {
		if o.Auth.OAuth2.RootCAs, err = t.TokenRoots(); err != nil {
			return fmt.Errorf("tls.ca: %w", err)
		}
	}
	if t.Cert != "" {
		pair, err := t.Certificate()
		if err != nil {
			return fmt.Errorf("tls.cert: %w", err)
		}
		o.Certificate = &pair
	}
	o.Pins = t.Pins
	if t.Min == "1.3" {
		o.MinTLS = tls.VersionTLS13
	}
	return nil
}

// certificates tells when those of the endpoints end, as far as they were seen.
type certificates struct {
	reloader *reloader
	expiry   *prometheus.Desc
}

func newCertificates(r *reloader) *certificates {
	return &certificates{r, prometheus.NewDesc("tocsin_endpoint_certificate_expiry_seconds",
		"Unix time at which the certificates that vouch for the endpoint end, as its last TLS handshake saw them.", []string{"endpoint"}, nil)}
}

// Describe implements prometheus.Collector.
func (c *certificates) Describe(ch chan<- *prometheus.Desc) { ch <- c.expiry }

// Collect implements prometheus.Collector.
func (c *certificates) Collect(ch chan<- prometheus.Metric) {
	for name, d := range c.reloader.roll.Load().endpoints {
		if at := d.sender.CertificateExpiry(); !at.IsZero() {
			ch <- prometheus.MustNewConstMetric(c.expiry, prometheus.GaugeValue, float64(at.Unix()), name)
		}
	}
}
