package bridge

import (
	"log/slog"
	"time"
)

// maxSkew is how far an endpoint's clock may be off before it is told. Receivers
// refuse signatures that are more than five minutes old or new, most of them.
const maxSkew = time.Minute

// skewed is whether an endpoint's clock is known to be off.
type skewed bool

// observe tells a skew once, and its end once. An attempt without an answer says
// nothing of clocks.
func (s *skewed) observe(log *slog.Logger, skew time.Duration, status int) {
	off := skew > maxSkew || skew < -maxSkew
	if status == 0 || off == bool(*s) {
		return
	}
	*s = skewed(off)
	if off {
		log.Warn("the endpoint's clock and ours differ: it may refuse signatures as too old or too new (set the clocks of both machines)",
			"ahead", skew.Round(time.Second))
		return
	}
	log.Info("the endpoint's clock and ours agree again")
}
