package webhook

import (
	"net/http"
	"time"
)

// skew is how far the receiver's clock is ahead of ours at least, by the Date of
// an answer to what was sent then and received now. A date within the attempt, or
// none, is no skew. Receivers refuse signatures that are some minutes old or new,
// so a wrong clock on either side ends delivery.
func skew(header http.Header, sent, now time.Time) time.Duration {
	text := header.Get("Date")
	if text == "" {
		return 0
	}
	date, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	switch until := date.Add(time.Second); { // it stands for a whole second
	case until.Before(sent):
		return until.Sub(sent)
	case date.After(now):
		return date.Sub(now)
	}
	return 0
}
