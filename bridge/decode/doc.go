// Package decode turns the payload of an MQTT message into samples, or into
// presence: one [Decoder] for each configured source, compiled once and then asked for every
// message.
//
// It is not a broker and not a rule engine. It does not cast ("80" and "ON"
// stay text: what a metric is, only the rules know), convert units, remember a
// value, or judge one. Payloads come from devices and are data, whatever they
// contain: what cannot be used is a [Rejection] or a [Problem] to be counted,
// never an error of the pipeline.
//
// # Topics
//
// A topic template is an MQTT filter in which a whole level may be a name in
// braces: site/{site}/{device}/{metric}. {device} and {metric} say what they
// are called; every other name, eight at most, is a label of the device, and its
// value is what stands there ({site} in plants/lyon/f1 is site = lyon). + matches
// a level that says nothing, # at the end the rest.
//
// # Devices
//
// A device is what the device path finds, else the {device} of the topic. Where
// both speak they must agree: the broker protects topics, not payloads, so a
// payload that claims to be somebody else is refused (reason identity). An id
// is 1 to 256 bytes of UTF-8 without control characters, line separators or
// characters that turn the direction of writing around. A slash is allowed in
// an id from a payload (Zigbee names have them); a topic level cannot hold one.
// An integer is an id as it is written. Ids are compared byte by byte, without
// Unicode normalisation.
//
// # Metrics
//
// Without a value path, a record is flattened: every scalar in it is a sample,
// named by its place, keys and array positions joined by dots
// ({"probe":[{"t":4}]} is probe.0.t). A dot or a backslash inside a key is
// written with a backslash before it, so that {"a.b":1} is a\.b and
// {"a":{"b":1}} is a.b, and neither can pose as the other. Where the topic has
// a {metric}, it comes first: switch.apower. A document that is a bare scalar is
// called by the {metric} of the topic, or else value; so is a scalar payload.
// Names found by a metric path are taken as they are. What the device, time and
// unit options name is never a metric.
//
// # Values
//
// Finite numbers, booleans and strings are samples as they are. null, NaN and
// infinities (bare or quoted), None, unknown, unavailable and the empty string
// are samples with a reason in Invalid, as are numbers that no float64 holds
// (range), objects where a value should be (type), and strings of more than
// 1,024 bytes (size): they prove that the device is alive and carry what was
// sent, shortened, in Text. Bare nan and inf tokens are not JSON; they are
// repaired where nothing else is wrong with the document, outside strings only.
//
// JSON is read strictly. A key twice in an object refuses the message: a device
// that says {"t":20,"t":99} has not said which.
//
// # Presence
//
// The decoder presence reads what says whether a device is there: last wills and
// birth messages, Homie's $state, availability topics. The payload is one of a few
// words, in any case, bare or as a JSON string, boolean or number, or an object
// that has it where the value path says ($.state unless set):
//
//	online    online, true, 1, connected, available, alive, awake, and Homie's init, ready, alert
//	offline   offline, false, 0, disconnected, unavailable
//	lost      lost, dead
//	sleeping  sleeping, asleep
//
// Any other word refuses the message. The words do not say who spoke: an offline
// that is a last will is offline, like one that is a goodbye.
//
// A retained offline, lost or sleeping is taken: it is a state, and holds until
// another is said. A retained online is nobody's sign of life, for brokers keep it
// beyond the device's end (and beyond their own, with the will that would have
// replaced it); but what was known before, it contradicts. So it is unknown: the
// device is judged by when it was heard, as if it had never said.
//
// # Time
//
// With the clock option auto, a stamp counts if it is at most MaxAhead after and
// MaxPast before the message's arrival; otherwise arrival counts, and a problem
// (clock) is recorded. MaxPast is 30 days unless set: loggers that store and
// forward hold days to weeks, while the stamps of unset clocks (1970, 2000, the
// day the firmware was built) are months to decades old. device takes every
// stamp that can be read; arrival takes none.
//
// Without a time path, the keys ts, time and timestamp, in this order, at the
// top of the record and then at the top of the document, are taken for the time
// if they read as one: a date and time, or a number that is between the years
// 2000 and 2100 in seconds, milliseconds, microseconds or nanoseconds. Anything
// else under these names is a metric like any other. The look alone decides,
// not the clock rules, so that a metric does not come and go with a device's
// clock.
//
// The format auto tells the four units of a number by its size. A date without
// a zone is not trusted unless Zone says where it was written; in the hour that
// a clock repeats, the reading nearer to arrival counts.
//
// # Concurrency
//
// A [Decoder] is safe for concurrent use. A [Batch] belongs to one goroutine at
// a time; it holds the memory that decoding needs.
package decode
