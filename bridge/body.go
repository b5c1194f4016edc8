package bridge

import "time"

// Body is what an endpoint with the preset "standard" reads: the event in the
// envelope that Standard Webhooks recommends. It depends on nothing but the
// delivery, so that every attempt carries the same bytes.
func Body(d Delivery) []byte {
	body := make([]byte, 0, len(d.Data)+96)
	body = append(body, `{"type":"`...)
	body = append(body, d.Type...)
	body = append(body, `","timestamp":"`...)
	body = d.At.UTC().AppendFormat(body, time.RFC3339Nano)
	body = append(body, `","data":`...)
	body = append(body, d.Data...)
	return append(body, '}')
}
