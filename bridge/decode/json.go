package decode

import (
	"bytes"
	"strconv"

	"tocsin/rules"
)

func (r *reading) json(payload []byte) *Rejection {
	doc := r.out.doc
	if doc == nil {
		doc = new(document)
		r.out.doc = doc
	}
	// Values that become no sample (ids, times, names) are parts as well.
	const partsPerSample, partsOfEnvelope = 8, 64
	if rej := doc.parse(payload, r.d.maxDepth, r.d.maxMetrics*partsPerSample+partsOfEnvelope); rej != nil {
		return rej
	}
	doc.records = doc.records[:0]
	if r.d.records == nil {
		doc.records = append(doc.records, 0)
	} else if doc.findAll(0, r.d.records.steps); len(doc.records) == 0 {
		return rejectf(ReasonValue, "the document has no record where records says")
	}
	for _, record := range doc.records {
		if rej := r.record(doc, record); rej != nil {
			return rej
		}
	}
	return nil
}

// record reads one record. What is wrong with it alone is a problem, and what
// is wrong with the message a rejection.
func (r *reading) record(doc *document, record int) *Rejection {
	if reason, detail := r.setDevice(doc, record); reason != "" {
		if r.d.records == nil || !r.d.device.ofRecord {
			return &Rejection{Reason: reason, Detail: detail}
		}
		r.problem(reason, "%s", detail)
		return nil
	}
	r.setTime(doc, record)
	if r.d.value == nil {
		doc.metric = append(doc.metric[:0], r.topicMetric...)
		return r.flatten(doc, record)
	}
	at, ok := r.find(r.d.value, doc, record)
	if !ok {
		r.problem(ReasonValue, "device %s: a record has no value where value says", quote(r.device))
		return nil
	}
	metric, fault := r.metricOf(doc, record)
	if fault != "" {
		r.problem(ReasonMetric, "device %s: %s", quote(r.device), fault)
		return nil
	}
	s, rej := r.add(metric)
	if rej != nil {
		return rej
	}
	r.setValue(s, &doc.nodes[at])
	r.setUnit(s, doc, record)
	return nil
}

// setDevice says whose record it is, or why nobody can.
func (r *reading) setDevice(doc *document, record int) (reason, detail string) {
	r.device = r.topicDevice
	if r.d.device == nil {
		return "", ""
	}
	at, ok := r.find(r.d.device, doc, record)
	n := &doc.nodes[at]
	n.taken = ok
	switch {
	case (!ok || n.kind == 'n') && r.device != "":
		return "", ""
	case !ok || n.kind == 'n':
		return ReasonDevice, "there is nothing where device says (check the path against the payload)"
	case !n.isName():
		return ReasonDevice, "what is where device says is neither a string nor an integer"
	}
	id, fault := r.d.devices.bytes(n.text)
	switch {
	case fault != "":
		return ReasonDevice, "the device " + quote(n.text) + " " + fault
	case r.topicDevice != "" && id != r.topicDevice:
		return ReasonIdentity, "the payload says that it is from device " + quote(id) + ", its topic is that of " + quote(r.topicDevice)
	}
	r.device = id
	return "", ""
}

// isName reports whether a node can name something: a string, or an integer as
// it is written.
func (n *node) isName() bool {
	return n.kind == '"' || n.kind == '0' && !bytes.ContainsAny(n.text, ".eE")
}

// metricOf names the one value of a record. A fault is a sentence.
func (r *reading) metricOf(doc *document, record int) (metric, fault string) {
	switch {
	case r.d.metric != nil:
		at, ok := r.find(r.d.metric, doc, record)
		if !ok || !doc.nodes[at].isName() {
			return "", "a record has no name where metric says"
		}
		if metric, fault = r.d.metrics.bytes(doc.nodes[at].text); fault != "" {
			return "", "the metric " + quote(doc.nodes[at].text) + " " + fault
		}
		return metric, ""
	case r.topicMetric != "":
		return r.topicMetric, ""
	}
	return r.d.valueName, ""
}

func (r *reading) setUnit(s *rules.Sample, doc *document, record int) {
	if r.d.unit == nil {
		return
	}
	at, ok := r.find(r.d.unit, doc, record)
	if !ok {
		return
	}
	n := &doc.nodes[at]
	if n.kind == 'n' || n.kind == '"' && len(n.text) == 0 {
		return
	}
	unit, fault := "", "is not a string"
	if n.kind == '"' {
		unit, fault = r.d.metrics.bytes(n.text)
	}
	if fault != "" {
		if s.Invalid == "" {
			s.Invalid = "unit"
		}
		return
	}
	s.Unit = unit
}

// flatten adds a sample for each scalar at or below a node. doc.metric is the
// name so far.
func (r *reading) flatten(doc *document, at int) *Rejection {
	n := &doc.nodes[at]
	if n.taken {
		return nil
	}
	if n.kind != '{' && n.kind != '[' {
		name := doc.metric
		if len(name) == 0 {
			name = append(name, r.d.valueName...)
		}
		metric, fault := r.d.metrics.bytes(name)
		if fault != "" {
			r.problem(ReasonMetric, "device %s: the metric %s %s", quote(r.device), quote(name), fault)
			return nil
		}
		s, rej := r.add(metric)
		if rej == nil {
			r.setValue(s, n)
		}
		return rej
	}
	from := len(doc.metric)
	for i, child := 0, at+1; child < n.next; i, child = i+1, doc.nodes[child].next {
		doc.metric = doc.metric[:from]
		if from > 0 {
			doc.metric = append(doc.metric, '.')
		}
		if n.kind == '[' {
			doc.metric = strconv.AppendInt(doc.metric, int64(i), 10)
		} else if key := doc.nodes[child].key; len(key) > 0 {
			doc.metric = appendKey(doc.metric, key)
		} else {
			r.problem(ReasonMetric, "device %s: a key is empty, so there is no name for its value", quote(r.device))
			continue
		}
		if rej := r.flatten(doc, child); rej != nil {
			return rej
		}
	}
	return nil
}

// appendKey appends a key so that its dots cannot be taken for steps.
func appendKey(b, key []byte) []byte {
	for _, c := range key {
		if c == '.' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, c)
	}
	return b
}

func (r *reading) setValue(s *rules.Sample, n *node) {
	switch n.kind {
	case '0':
		setNumber(s, n.text)
	case 't':
		s.Kind, s.Num = rules.Bool, 1
	case 'f':
		s.Kind = rules.Bool
	case '"':
		r.setText(s, n.text)
	case 'n':
		invalidate(s, "null", n.text)
	case '{':
		invalidate(s, "type", []byte("an object"))
	case '[':
		invalidate(s, "type", []byte("an array"))
	}
}

func (d *Decoder) renamed(metric string) string {
	if name, ok := d.rename[metric]; ok {
		return name
	}
	return metric
}
