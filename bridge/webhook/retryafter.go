package webhook

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// retryAfter returns how long a receiver asks to be left alone: the longest of
// its Retry-After headers, which are seconds, whole or not, or a date. What is
// malformed, negative or past asks for nothing; nothing asks for more than most.
func retryAfter(values []string, now time.Time, most time.Duration) time.Duration {
	var wait time.Duration
	for _, v := range values {
		wait = max(wait, oneRetryAfter(strings.TrimSpace(v), now, most))
	}
	return wait
}

func oneRetryAfter(v string, now time.Time, most time.Duration) time.Duration {
	if v != "" && strings.Trim(v, "0123456789.") == "" {
		sec, err := strconv.ParseFloat(v, 64)
		switch {
		case err != nil && sec == 0: // several dots
			return 0
		case sec >= most.Seconds(): // infinity included
			return most
		}
		return time.Duration(sec * float64(time.Second))
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), most)
}
