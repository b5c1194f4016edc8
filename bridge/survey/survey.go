package survey

import (
	"bytes"
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"tocsin/bridge/decode"
	"tocsin/broker"
	"tocsin/rules"
)

// Options bound a survey. The zero value is useful.
type Options struct {
	MaxTopics  int // topics that are looked at; 0: 20,000
	MaxMetrics int // metrics of all of them; 0: 200,000
}

// What is kept of one topic, and of one metric there.
const (
	maxTopicMetrics = 64
	maxTopicLength  = 1024
	maxValues       = 8  // numbers, as a sample of all
	maxWords        = 16 // distinct texts
	maxText         = 64 // bytes of a text that is a value
	maxName         = 256
)

// A Survey is what was seen.
type Survey struct {
	mu       sync.Mutex
	options  Options
	json     *decode.Decoder
	records  *decode.Decoder
	scalar   *decode.Decoder
	batch    decode.Batch
	random   *rand.Rand
	topics   map[string]*topic
	metrics  int
	messages int
	left     map[string]int // messages that were not looked at, by why
}

// New returns a survey that has seen nothing.
func New(o Options) (*Survey, error) {
	s := &Survey{
		options: Options{MaxTopics: cmp.Or(o.MaxTopics, 20_000), MaxMetrics: cmp.Or(o.MaxMetrics, 200_000)},
		random:  rand.New(rand.NewPCG(1, 2)), // #nosec G404 -- it draws a sample of readings; the same traffic makes the same proposal
		topics:  map[string]*topic{},
		left:    map[string]int{},
	}
	for _, d := range []struct {
		to      **decode.Decoder
		options decode.Options
	}{
		{&s.json, decode.Options{Name: "json", Topic: "{device}"}},
		{&s.records, decode.Options{Name: "records", Topic: "{device}", Records: "$[*]"}},
		{&s.scalar, decode.Options{Name: "scalar", Topic: "{device}", Decoder: "scalar"}},
	} {
		var err error
		if *d.to, err = decode.New(d.options); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// A kind is what the payloads of a topic are.
type kind string

const (
	unread   kind = "" // nothing that we decode
	document kind = "json"
	records  kind = "records" // a list of documents
	scalar   kind = "scalar"
	presence kind = "presence"
)

// A topic is what was seen of one.
type topic struct {
	name     string
	levels   []string
	messages int
	kinds    map[kind]int
	why      string // the first message could not be read
	metrics  map[string]*metric
	more     bool // there are more metrics than are kept

	live        int // messages that were not retained: they tell how often
	first, last time.Time
	longest     time.Duration // gap
}

// kind is how a topic's payloads are best read.
func (t *topic) kind() kind { return settle(t.kinds) }

// settle finds the kind that reads most of messages of several: bare numbers are
// JSON as well, a list is a document, and a word for presence is a value.
func settle(kinds map[kind]int) kind {
	listed, documents := kinds[records], kinds[document]+kinds[records]
	words, bare := kinds[presence], kinds[scalar]+kinds[presence]
	switch {
	case documents+bare == 0:
		return unread
	case bare == words && documents == 0:
		return presence
	case documents == listed && bare == 0:
		return records
	case documents >= bare:
		return document
	}
	return scalar
}

// lost is how many of a topic's messages a decoder of a kind refuses, as far as is
// known.
func (t *topic) lost(read kind) int {
	n := t.kinds[unread]
	switch read {
	case document:
		n += t.kinds[scalar] + t.kinds[presence]
	case records, presence:
		n = t.messages - t.kinds[read]
	}
	return n
}

// A metric is what was seen of one.
type metric struct {
	numbers, bools, texts, invalid int
	min, max                       float64
	values                         []float64 // a sample
	words                          []string  // distinct texts, as far as they are kept
	nameless                       bool      // a text was no name that a device can have
	unit                           string    // that the payload says
	units                          bool      // it says several
}

// Seen says how many messages and topics there were.
func (s *Survey) Seen() (messages, topics int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.messages, len(s.topics)
}

// Take looks at a message.
func (s *Survey) Take(m broker.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages++
	t := s.topics[m.Topic]
	switch {
	case strings.HasPrefix(m.Topic, "$"):
		s.left["they are the broker's own"]++
		return
	case len(m.Topic) > maxTopicLength:
		s.left["their topic is longer than 1,024 bytes"]++
		return
	case len(m.Payload) == 0:
		s.left["they are empty, which deletes a retained message"]++
		return
	case t == nil && len(s.topics) >= s.options.MaxTopics:
		s.left["there were too many topics"]++
		return
	case t == nil:
		name := strings.Clone(m.Topic)
		t = &topic{name: name, levels: strings.Split(name, "/"), kinds: map[kind]int{}, metrics: map[string]*metric{}}
		s.topics[name] = t
	}
	t.messages++
	if !m.Retained {
		t.hear(m.Received)
	}
	k, why := s.read(t, m)
	t.kinds[k]++
	t.why = cmp.Or(t.why, why)
}

// hear counts a message for how often there is one.
func (t *topic) hear(at time.Time) {
	if t.live == 0 {
		t.first = at
	} else {
		t.longest = max(t.longest, at.Sub(t.last))
	}
	t.live++
	t.last = at
}

// read finds out what a payload is, and takes its values.
func (s *Survey) read(t *topic, m broker.Message) (k kind, why string) {
	for _, level := range t.levels {
		if strings.ContainsAny(level, "{}") || strings.ContainsFunc(level, unusable) {
			return unread, "a level of its topic cannot be written in a configuration"
		}
	}
	text := bytes.TrimSpace(m.Payload)
	last := t.levels[len(t.levels)-1]
	m.Topic = "device" // where the decoders below look for one
	s.batch.Reset()
	switch {
	case len(text) == 0:
		return unread, "the payload is nothing but white space"
	case text[0] == '[' && s.records.Decode(m, &s.batch) == nil:
		k = records
	case text[0] == '{' || text[0] == '[':
		if err := s.json.Decode(m, &s.batch); err != nil {
			return unread, strings.TrimPrefix(err.Error(), "message ")
		}
		k = document
		if len(s.batch.Samples) == 1 && s.batch.Samples[0].Metric == "state" && saysPresence(last, s.batch.Samples[0].Text) {
			return presence, ""
		}
	case !utf8.Valid(text):
		return unread, binary(t.levels[0])
	case saysPresence(last, string(text)):
		return presence, ""
	case len(text) > maxText || bytes.ContainsAny(text, "\n\r<"):
		return unread, "the payload is a text, and neither a value nor JSON"
	default:
		if err := s.scalar.Decode(m, &s.batch); err != nil {
			return unread, strings.TrimPrefix(err.Error(), "message ")
		}
		k = scalar
	}
	for i := range s.batch.Samples {
		s.take(t, &s.batch.Samples[i])
	}
	return k, ""
}

// unusable reports whether no name may have a character in it: one that breaks the
// line, turns the writing around, or stands for bytes that are no text.
func unusable(r rune) bool {
	return r == utf8.RuneError || unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp)
}

// binary says what a payload may be that is no text.
func binary(root string) string {
	if strings.HasPrefix(root, "spBv") {
		return "it is Sparkplug B, a binary format that is not decoded; let a gateway send JSON"
	}
	return "the payload is binary; let the device or a gateway send JSON or a plain value"
}

// saysPresence reports whether a word, at a topic that ends so, says whether a
// device is there.
func saysPresence(last, word string) bool {
	switch strings.ToLower(last) {
	case "status", "state", "$state", "lwt", "availability", "available", "online", "connected", "connection", "presence", "will":
	default:
		return false
	}
	switch strings.ToLower(word) {
	case "online", "offline", "connected", "disconnected", "available", "unavailable", "alive", "dead", "lost", "awake", "asleep", "sleeping", "init", "ready", "alert":
		return true
	}
	return false
}

// take keeps what is to be known of one reading.
func (s *Survey) take(t *topic, r *rules.Sample) {
	m := t.metrics[r.Metric]
	if m == nil {
		if len(t.metrics) >= maxTopicMetrics || s.metrics >= s.options.MaxMetrics {
			t.more = true
			return
		}
		m = &metric{}
		t.metrics[r.Metric] = m
		s.metrics++
	}
	switch {
	case r.Invalid != "":
		m.invalid++
	case r.Kind == rules.Number:
		m.number(r.Num, s.random)
	case r.Kind == rules.Bool:
		m.bools++
	default:
		m.texts++
		m.word(r.Text)
	}
	switch {
	case r.Unit == "":
	case m.unit == "":
		m.unit = r.Unit
	case m.unit != r.Unit:
		m.units = true
	}
}

func (m *metric) number(v float64, random *rand.Rand) {
	if m.numbers == 0 {
		m.min, m.max = v, v
	}
	m.min, m.max = min(m.min, v), max(m.max, v)
	m.numbers++
	if len(m.values) < maxValues {
		m.values = append(m.values, v)
	} else if i := random.IntN(m.numbers); i < maxValues {
		m.values[i] = v
	}
}

func (m *metric) word(text string) {
	m.nameless = m.nameless || len(text) > maxName || strings.ContainsFunc(text, unusable)
	if len(m.words) < maxWords && len(text) <= maxText && !slices.Contains(m.words, text) {
		m.words = append(m.words, text)
	}
}
