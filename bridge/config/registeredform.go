package config

import (
	"encoding/json"
	"fmt"
	"time"

	"tocsin/bridge/webhook"
)

// A registeredForm is how a registered endpoint is kept, its secrets in plain: it is
// sealed before anybody else sees it.
type registeredForm struct {
	URL      string            `json:"url,omitempty"`
	Types    []string          `json:"types,omitempty"`
	Severity []string          `json:"severity,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Preset   string            `json:"preset,omitempty"`
	Region   string            `json:"region,omitempty"`
	Payload  string            `json:"payload,omitempty"`
	Link     string            `json:"link,omitempty"`
	Sign     []string          `json:"sign,omitempty"`
	With     json.RawMessage   `json:"with,omitempty"`
	Headers  map[string]string `json:"headers,omitempty"`
	Rate     string            `json:"rate,omitempty"`
	Secrets  []secretForm      `json:"secrets,omitempty"`
}

type secretForm struct {
	Text     string    `json:"text"`
	NotAfter time.Time `json:"not_after,omitzero"`
}

// Reveal is the endpoint as JSON with its secrets, to be kept.
func (r *Registered) Reveal() (json.RawMessage, error) {
	form := registeredForm{
		URL: r.URL.Reveal(), Types: r.Types, Severity: r.Severity, Labels: r.Labels, Preset: r.Preset, Region: r.Region, Payload: r.Payload,
		Link: r.Link, Sign: r.Sign, Headers: r.Headers, Rate: r.Rate,
	}
	if !r.With.IsZero() {
		form.With = json.RawMessage(r.With.Reveal())
	}
	for _, s := range r.Secrets {
		form.Secrets = append(form.Secrets, secretForm{s.Reveal(), s.NotAfter()})
	}
	text, err := json.Marshal(form)
	if err != nil {
		return nil, fmt.Errorf("writing a registered endpoint: %w", err)
	}
	return text, nil
}

// ReadRegistered reads what Reveal has written.
func ReadRegistered(text json.RawMessage) (*Registered, error) {
	var form registeredForm
	if err := json.Unmarshal(text, &form); err != nil {
		return nil, fmt.Errorf("reading a registered endpoint: %w", err)
	}
	r := &Registered{
		URL: webhook.NewCredential(form.URL), Types: form.Types, Severity: form.Severity, Labels: form.Labels, Preset: form.Preset, Region: form.Region,
		Payload: form.Payload, Link: form.Link, Sign: form.Sign, With: webhook.NewCredential(string(form.With)), Headers: form.Headers, Rate: form.Rate,
	}
	for _, s := range form.Secrets {
		secret, err := webhook.TextSecret(s.Text)
		if err != nil {
			return nil, fmt.Errorf("reading a registered endpoint: %w", err)
		}
		r.Secrets = append(r.Secrets, secret.Until(s.NotAfter))
	}
	return r, nil
}

func decodeObject(text string) (object map[string]any, err error) {
	err = json.Unmarshal([]byte(text), &object)
	return object, err
}
