package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// presetFor is the host of a url and the preset for it, if it is that of a service
// that takes a form of its own; else both are empty.
func presetFor(raw string) (host, preset string) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", ""
	}
	host = strings.ToLower(u.Hostname())
	for _, s := range [...]struct{ host, path, preset string }{
		{"hooks.slack.com", "/services/", "slack"},
		{"discord.com", "/api/webhooks/", "discord"},
		{"discordapp.com", "/api/webhooks/", "discord"},
		{".logic.azure.com", "/", "teams"},
		{"hooks.zapier.com", "/hooks/", "zapier"},
		{".make.com", "/", "make"},
	} {
		if (host == s.host || s.host[0] == '.' && strings.HasSuffix(host, s.host)) && strings.HasPrefix(u.Path, s.path) {
			return host, s.preset
		}
	}
	return "", ""
}

// checkService warns of an endpoint whose receiver takes a form of its own, and would
// refuse ours.
func (l *loader) checkService(path []string, e *Endpoint) {
	if e.Body.Value != nil || e.On.Value != nil || e.Request.Value != nil || len(e.Secret)+len(e.Key) == 0 {
		return // it has another form, or this is said of the secret that is missing
	}
	if host, preset := presetFor(e.URL); preset != "" && (e.Preset == "" || e.Preset == "standard") {
		l.main.warnValue(under(path, "url"), fmt.Sprintf("%s takes a form of its own, and would refuse what is sent", host), fmt.Sprintf("add preset = %q", preset))
	}
}

// plainly says all that it takes to send to a url over http, so that a receiver on
// this machine or in its network is reached at the second try.
func plainly(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	allow := ""
	switch ip, err := netip.ParseAddr(u.Hostname()); {
	case err == nil && (ip.IsLoopback() || ip.IsPrivate()):
		allow = fmt.Sprintf("%q", ip)
	case strings.EqualFold(u.Hostname(), "localhost"):
		allow = `"127.0.0.1", "::1"`
	default:
		return ""
	}
	return fmt.Sprintf("use https, or set egress = { allow_http = true, allow_cidrs = [%s] } for a receiver of your own", allow)
}
