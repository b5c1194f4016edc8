package bench

import "fmt"

// What makes a limit the broker's.
const (
	mostlyWaiting = 0.5 // of the time, or this program was too slow
	ownShare      = 0.5 // of the cores, or this program took them from the broker
	queueing      = 3   // times the shortest latency, or nothing waited at the broker
	onSchedule    = 0.99
)

// A Limit is what kept more messages from being sent.
type Limit string

const (
	OfBroker  Limit = "the broker"
	OfProgram Limit = "this program"
	OfWindow  Limit = "the messages that may be under way"
	OfRate    Limit = "the rate"
)

// limit says what kept more messages from being sent, and by what that is seen.
// A broker is at its limit when there was always something for it to take, which
// took longer than it would have alone, and this program had time to spare.
func (r *Result) limit(o *Options) (limit Limit, seen string) {
	done, seconds := r.Acked, r.Took.Seconds()
	if o.QoS == 0 {
		done = r.Sent
	}
	switch {
	case done == 0 || seconds <= 0:
		return OfBroker, "it took nothing"
	case o.Rate > 0 && float64(done) >= onSchedule*o.Rate*seconds:
		return OfRate, fmt.Sprintf("the broker took all of %.0f a second", o.Rate)
	}
	waiting := r.Waited.Seconds() / seconds / float64(o.Conns)
	own := r.CPU.Seconds() / seconds
	shortest, median := r.Latencies.Percentile(0), r.Latencies.Percentile(50)
	switch {
	case waiting >= mostlyWaiting && own <= ownShare*float64(r.Cores) && o.QoS > 0 && median < queueing*shortest:
		return OfWindow, fmt.Sprintf("half of them took %s, and the quickest took %s", median, shortest)
	case waiting >= mostlyWaiting && own <= ownShare*float64(r.Cores):
		limit = OfBroker
	default:
		limit = OfProgram
	}
	return limit, fmt.Sprintf("connections waited for the broker %.0f %% of the time, and this program used %.2f of %d cores", min(100, 100*waiting), own, r.Cores)
}
