package main

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"time"

	"tocsin/bridge"
	"tocsin/bridge/preset"
	"tocsin/bridge/webhook"
)

// requests are those of one event, each signed as it would be now.
func (d *destination) requests(n preset.Notice, reveal bool) (list []bridge.Request) {
	whole, err := d.told.Preview(n, true)
	if err != nil {
		return []bridge.Request{{Error: err.Error()}}
	}
	shown := whole
	if !reveal {
		if shown, err = d.told.Preview(n, false); err != nil {
			return []bridge.Request{{Error: err.Error()}}
		}
	}
	for i, w := range whole {
		r := bridge.Request{Name: w.Name, Method: cmp.Or(w.Method, http.MethodPost), URL: shown[i].URL, Body: string(shown[i].Body)}
		to, err := url.Parse(w.URL)
		if err == nil {
			var req *http.Request
			req, err = d.sender.Preview(webhook.Message{ID: n.ID, Body: w.Body, ContentType: w.ContentType, Method: w.Method, URL: to, Header: w.Header}, time.Now())
			if err == nil {
				r.Header = d.header(req.Header, shown[i].Header, reveal)
			}
		}
		if err != nil {
			r.Error = err.Error()
		}
		list = append(list, r)
	}
	return list
}

// header is that of the request with the credential, each hidden unless revealed.
func (d *destination) header(sent, shown http.Header, reveal bool) http.Header {
	sent = sent.Clone()
	maps.Copy(sent, shown)
	auth := d.config.Auth.Webhook()
	credential := auth.Value.Reveal()
	switch {
	case auth.OAuth2 != nil:
		credential = cmp.Or(auth.OAuth2.Scheme, "Bearer") + " <an access token>"
	case credential != "" && !reveal:
		credential = "<secret>"
	}
	if credential != "" {
		sent[http.CanonicalHeaderKey(cmp.Or(auth.Header, "Authorization"))] = []string{credential}
	}
	return sent
}

// shown are the requests of an event as whoever may read deliveries sees them.
func (d *destination) shown(n preset.Notice) []bridge.Request {
	list := d.requests(n, false)
	for i := range list {
		list[i].URL = d.sender.Veil(list[i].Header, list[i].URL)
	}
	return list
}
