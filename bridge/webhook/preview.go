package webhook

import (
	"context"
	"net/http"
	"time"
)

// Preview is the request that Send would make of a message at a time, but for the
// credential that it would carry beside the signatures, and not compressed:
// nothing is sent, and nothing is looked up.
func (s *Sender) Preview(m Message, now time.Time) (*http.Request, error) {
	if err := s.checkMessage(m); err != nil {
		return nil, s.wrap(err)
	}
	return s.request(context.Background(), m, now)
}
