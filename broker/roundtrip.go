package broker

import (
	"context"
	"fmt"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// ProbeTopic is above the topics of round trips, which are nobody's input.
const ProbeTopic = "tocsin/doctor/"

// RoundTrip publishes a message to a topic at QoS 1 and returns how long it took to
// come back. It connects for that with a session that the broker does not keep,
// under the client id of o, whose topics and share are not used. Errors have a
// remedy where one is known.
func RoundTrip(ctx context.Context, o ClientOptions, topic string) (time.Duration, error) {
	o.Topics, o.Share = []string{topic}, ""
	u, err := o.check()
	if err != nil {
		return 0, err
	}
	v, err := visit(ctx, o, u)
	if err != nil {
		return 0, err
	}
	defer v.leave()
	back := make(chan struct{}, 1)
	err = v.subscribe(ctx, topic, 1, func(paho.Client, paho.Message) {
		select {
		case back <- struct{}{}:
		default: // once is enough
		}
	})
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	if err := v.wait(ctx, "publishing to "+topic, v.conn.Publish(topic, 1, false, "tocsin doctor")); err != nil {
		return 0, err
	}
	select {
	case <-back:
		return time.Since(begun), nil
	case err := <-v.lost:
		return 0, err
	case <-ctx.Done():
		return 0, fmt.Errorf("waiting for what was published to %s: %w", topic, context.Cause(ctx))
	}
}
