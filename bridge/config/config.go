package config

import (
	"net/netip"
	"time"

	"tocsin/bridge/webhook"
	"tocsin/rules"
)

// A Config is a configuration that was read, checked and found good. Fields
// hold what is to be used: defaults are filled in, paths lead from the working
// directory or are absolute, secrets have been read.
type Config struct {
	Schema    int                  `toml:"schema"`   // 1
	RuleFiles []string             `toml:"rules"`    // patterns, relative to the file
	Broker    Broker               `toml:"broker"`   // where messages come from
	Sources   map[string]*Source   `toml:"source"`   // what they mean; by name
	Store     Store                `toml:"store"`    //
	HTTP      HTTP                 `toml:"http"`     // API, health, metrics
	Endpoints map[string]*Endpoint `toml:"endpoint"` // who is told; by name
	Limits    BridgeLimits         `toml:"limits"`   // what the bridge takes on
	Log       Log                  `toml:"log"`
	Tracing   *Tracing             `toml:"tracing" json:",omitempty"` // left out: nothing is traced

	Path     string         `toml:"-"`          // the file that was loaded
	Rules    *rules.Program `toml:"-" json:"-"` // the rules, compiled
	RuleFile *rules.File    `toml:"-" json:"-"` // the rules as written, all files merged

	says    map[string]bool // the files that were read, and whether they say anything at all
	ruleSet *ruleSet        // where they are written
	lines   map[string]int  // where endpoints are
}

// Modes of [Broker].
const (
	Embedded = "embedded"
	External = "external"
)

// Broker says where messages come from. Only the table of its mode is checked
// and used.
type Broker struct {
	Mode     string         `toml:"mode"` // embedded (default) or external
	Embedded EmbeddedBroker `toml:"embedded"`
	External ExternalBroker `toml:"external"`
}

// EmbeddedBroker is the broker inside the bridge.
type EmbeddedBroker struct {
	Listen         string           `toml:"listen"` // host:port, "" is off; default 127.0.0.1:1883
	TLS            TLSListener      `toml:"tls"`
	Anonymous      string           `toml:"anonymous"`       // never, loopback, always; by default loopback without users, never with them
	MaxPacket      Size             `toml:"max_packet"`      // default 256 KiB
	MaxConnections int              `toml:"max_connections"` // default 10000
	PerClient      PerClient        `toml:"per_client"`
	Users          map[string]*User `toml:"user"`
}

// TLSListener is a listener for MQTT over TLS.
type TLSListener struct {
	Listen string `toml:"listen"` // host:port, "" (default) is off
	KeyPair
}

// PerClient bounds what one client may do.
type PerClient struct {
	Rate     Rate `toml:"rate"`     // messages; default 1000/s
	Inflight int  `toml:"inflight"` // unacknowledged messages; default 100
}

// A User may connect with a password. What is not allowed is refused.
type User struct {
	Password  Secret   `toml:"password"`  // an argon2id hash in PHC form, not the password
	Publish   []string `toml:"publish"`   // topic filters; %c is the client id, %u the user
	Subscribe []string `toml:"subscribe"` // the same
}

// ExternalBroker is a broker that runs elsewhere.
type ExternalBroker struct {
	URL      string    `toml:"url"` // mqtt, mqtts, ws or wss
	ClientID string    `toml:"client_id"`
	Username string    `toml:"username"`
	Password Secret    `toml:"password"`
	TLS      ClientTLS `toml:"tls"`
	Share    string    `toml:"share"` // a name subscribes to $share/NAME/…
}

// ClientTLS says whom to trust and who we are.
type ClientTLS struct {
	CA string `toml:"ca"` // PEM file; "" trusts the system's roots
	KeyPair
}

// KeyPair names the PEM files of a certificate and its key; both or neither.
type KeyPair struct {
	Cert string `toml:"cert"`
	Key  string `toml:"key"`
}

// A Source says what the messages of a topic mean.
type Source struct {
	Topic   string            `toml:"topic"`   // a filter; {name} is one whole level
	Decoder string            `toml:"decoder"` // json (default), scalar or presence
	Records string            `toml:"records"` // paths: $.a.b from the document, @.x from a record
	Device  string            `toml:"device"`
	Metric  string            `toml:"metric"`
	Value   string            `toml:"value"` // of decoder presence: where a document says it; default $.state
	Unit    string            `toml:"unit"`
	Time    SourceTime        `toml:"time"`
	Rename  map[string]string `toml:"rename"` // metric in the payload = metric in the rules

	Clock    string        `toml:"clock"`     // auto (default), device, arrival
	MaxAhead time.Duration `toml:"max_ahead"` // default 1m
	MaxPast  time.Duration `toml:"max_past"`  // default 30d
	Timezone string        `toml:"timezone"`  // of stamps that carry no zone; "" leaves them unused

	// Presence says whether devices are lost with the connection that their readings
	// come by: connection ("" is that, where the embedded broker sees it) or none.
	Presence string `toml:"presence"`
}

// SourceTime says where a payload carries its time.
type SourceTime struct {
	Path   string `toml:"path"`
	Format string `toml:"format"` // auto (default), rfc3339, unix, unix_ms, unix_us, unix_ns
}

// Store is the bridge's memory.
type Store struct {
	Path      string    `toml:"path"` // a folder; default data, beside the file
	Retention Retention `toml:"retention"`
	History   History   `toml:"history"`
}

// History is what is kept of the readings themselves, for windows after a
// restart and for backtests.
type History struct {
	Keep time.Duration `toml:"keep"` // default 24h; 0 keeps none
}

// Retention bounds what is kept of what is settled. What is owed is never dropped.
type Retention struct {
	Age  time.Duration `toml:"age"`  // default 30d
	Size Size          `toml:"size"` // default 2 GiB
}

// HTTP is the bridge's own server.
type HTTP struct {
	Listen string   `toml:"listen"`                 // host:port, "" is off; default 127.0.0.1:8080
	Token  Secret   `toml:"token"`                  // never empty on a listener that is not loopback
	Hosts  []string `toml:"hosts" json:",omitzero"` // names that it is asked by, in front of it or in DNS; none: on loopback those of loopback, elsewhere any
	TLS    KeyPair  `toml:"tls"`

	Registration *Registration `toml:"registration" json:",omitempty"` // of endpoints over HTTP; left out: the default
}

// Registration bounds the endpoints that are registered over HTTP.
type Registration struct {
	Max    int    `toml:"max"`    // how many there may be; default 1000, 0: none
	Verify bool   `toml:"verify"` // each has to answer a challenge before it is told anything
	Egress Egress `toml:"egress"` // the way to them; default https to public addresses
}

// An Endpoint is somebody to be told.
type Endpoint struct {
	URL    string     `toml:"url"`                   // "" is the preset's
	Preset string     `toml:"preset"`                // how it wants to be told; default standard
	Sign   OneOrMore  `toml:"sign" json:",omitzero"` // standard, ed25519, github, stripe, rfc9421; none: by what there is to sign with
	Secret SecretList `toml:"secret"`                // as written; Secrets is what they say
	Key    SecretList `toml:"key" json:",omitzero"`  // the same of ed25519, and Keys
	Match  Match      `toml:"match"`
	Sync   bool       `toml:"sync"` // alarm.sync after the store was lost: all alarms under way
	Egress Egress     `toml:"egress"`
	Retry  Retry      `toml:"retry"`
	Limits Limits     `toml:"limits"`

	// What is sent, where it is not as the preset has it: see [Endpoint.Destination].
	Region    string            `toml:"region" json:",omitzero"`  // of a service that has several
	With      map[string]*Param `toml:"with" json:",omitzero"`    // parameters of the preset
	Payload   string            `toml:"payload" json:",omitzero"` // whole ("" is that) or thin
	Link      string            `toml:"link" json:",omitzero"`    // where people look alarms up
	Body      Raw               `toml:"body" json:",omitzero"`    // of the preset's only request, like the next three
	Content   string            `toml:"content" json:",omitzero"`
	Method    string            `toml:"method" json:",omitzero"`
	PathBelow string            `toml:"path" json:",omitzero"`
	On        Raw               `toml:"on" json:",omitzero"`      // requests by kind of event
	Request   Raw               `toml:"request" json:",omitzero"` // requests by name

	TLS     EndpointTLS       `toml:"tls" json:",omitzero"`
	Auth    Auth              `toml:"auth" json:",omitzero"`
	Headers map[string]string `toml:"headers" json:",omitzero"` // of every request
	Gzip    bool              `toml:"gzip" json:",omitzero"`    // bodies are compressed, and signed as they are sent
	Consent *Consent          `toml:"consent" json:",omitzero"` // nothing is sent before the receiver consented

	Breaker      *Breaker      `toml:"breaker" json:",omitempty"`      // left out: the default
	Batch        *Batch        `toml:"batch" json:",omitempty"`        // left out: each event is a message of its own
	Fallback     *Fallback     `toml:"fallback" json:",omitempty"`     // who is told of what is not accepted in time; left out: nobody
	Budget       *Budget       `toml:"budget" json:",omitempty"`       // how many events it is told one by one; left out: any number
	Heartbeat    time.Duration `toml:"heartbeat" json:",omitzero"`     // sent when nothing else was accepted for so long; default 0: none
	OutageDigest time.Duration `toml:"outage_digest" json:",omitzero"` // an outage of so long ends with a summary; default 0: none does
	Stale        string        `toml:"stale" json:",omitempty"`        // all (also ""), latest or collapse

	Schemes []webhook.Scheme     `toml:"-"` // how to sign; empty only where a preset needs no signature
	Secrets []webhook.Secret     `toml:"-"` // to sign with
	Keys    []webhook.PrivateKey `toml:"-" json:",omitzero"`
}

// Match says which events an endpoint is told of when a rule names nobody.
// Every part that is written must agree; one that is not agrees with everything.
type Match struct {
	Types    []string          `toml:"types"`    // event types; * stands for any characters
	Severity []rules.Severity  `toml:"severity"` // any of these
	Labels   map[string]string `toml:"labels"`   // of device or rule; * stands for any characters
}

// Egress says where a webhook may connect to.
type Egress struct {
	AllowCIDRs []netip.Prefix `toml:"allow_cidrs"` // addresses that are not public, to be allowed
	AllowHTTP  bool           `toml:"allow_http"`  // plain http as well

	Proxy         string  `toml:"proxy" json:",omitzero"` // http, https or socks5, host and port; "" is none
	ProxyUser     string  `toml:"proxy_user" json:",omitzero"`
	ProxyPassword Secret  `toml:"proxy_password" json:",omitzero"`
	ProxyNames    bool    `toml:"proxy_names" json:",omitzero"` // the proxy looks names up, and decides where they lead
	Source        Address `toml:"source" json:",omitzero"`      // of this machine, to connect from
	Ports         []int   `toml:"ports" json:",omitzero"`       // to connect to; none is any
}

// Retry is the schedule of attempts.
type Retry struct {
	// Schedule is the wait before each attempt, the first included; the last
	// one repeats. Default 0s 5s 15s 30s 1m 2m 5m.
	Schedule      []time.Duration `toml:"schedule"`
	Jitter        string          `toml:"jitter"`          // full (default) or none
	GiveUpAfter   time.Duration   `toml:"give_up_after"`   // default 72h
	RetryAfterMax time.Duration   `toml:"retry_after_max"` // longest wait a receiver may ask for; default 6h
}

// Breaker says when an endpoint that keeps failing is left alone.
type Breaker struct {
	Failures int           `toml:"failures"` // in a row; default 10
	Window   time.Duration `toml:"window"`   // in which they lie; default 5m
	Open     time.Duration `toml:"open"`     // until it is probed, doubled by each probe that fails; default 30s
	MaxOpen  time.Duration `toml:"max_open"` // the longest wait between probes; default 15m
}

// Batch has several events sent as one message.
type Batch struct {
	Max  int           `toml:"max"`  // events in a message; default 100
	Wait time.Duration `toml:"wait"` // for more to come; default 1s
}

// Fallback has another endpoint told of an alarm that this one has not accepted in
// time.
type Fallback struct {
	After    time.Duration    `toml:"after"` // default 2m
	To       string           `toml:"to"`
	Severity []rules.Severity `toml:"severity"` // of the alarm; default any
}

// Budget bounds how many events an endpoint is told one by one. What is beyond it
// is told in digests.
type Budget struct {
	Events int              `toml:"events"` // in any span of per
	Per    time.Duration    `toml:"per"`    // default 1h
	Except []rules.Severity `toml:"except"` // of alarms that are told one by one all the same; default critical
	Digest time.Duration    `toml:"digest"` // from one digest to the next; default 15m
}

// Limits bound what is sent to one endpoint.
type Limits struct {
	Rate          Rate          `toml:"rate" json:",omitzero"` // attempts a second, "30/m" a minute; default 0: no limit
	Concurrency   int           `toml:"concurrency"`           // default 4
	Timeout       time.Duration `toml:"timeout"`               // of one attempt, all of it; default 15s
	ResponseBytes Size          `toml:"response_bytes"`        // of an answer that are read; default 16 KiB
	Backlog       Size          `toml:"backlog"`               // of what waits, in events; default 1 GiB, 0: no limit
}

// BridgeLimits bound what the bridge takes on.
type BridgeLimits struct {
	Devices int  `toml:"devices"`                   // that no rule file declares; default 1000000
	PerHost Rate `toml:"per_host" json:",omitzero"` // attempts a second at one host, of all endpoints there; default 0: no limit
}

// Log says how the bridge logs.
type Log struct {
	Level  string `toml:"level"`  // debug, info (default), warn, error
	Format string `toml:"format"` // auto (default), text, json
}

// Tracing sends one trace for each event to an OpenTelemetry collector.
type Tracing struct {
	OTLP    string             `toml:"otlp"`    // URL for OTLP over HTTP, as http://127.0.0.1:4318; "" (default) traces nothing
	Headers map[string]*Secret `toml:"headers"` // of every request
	Ratio   float64            `toml:"ratio"`   // of the events that are traced; default 1
	Service string             `toml:"service"` // the name to be found by; default tocsin
}
