package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// ErrNotAllowed is wrapped by errors of [RoundTrip] when the broker took the
// connection, and refused the topic.
var ErrNotAllowed = errors.New("the broker does not allow it")

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
	back, lost := make(chan struct{}, 1), make(chan error, 1)
	conn := paho.NewClient(paho.NewClientOptions().
		AddBroker(u.String()).
		SetProtocolVersion(4).
		SetClientID(o.ClientID).
		SetUsername(o.Username).
		SetPassword(o.Password).
		SetCleanSession(true).
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetConnectTimeout(connectTimeout).
		SetWriteTimeout(writeTimeout).
		SetConnectionLostHandler(func(_ paho.Client, err error) { lost <- explain("connection lost", err) }).
		SetCustomOpenConnectionFn(func(u *url.URL, _ paho.ClientOptions) (net.Conn, error) {
			return dial(ctx, u, o.TLS, 1)
		}))
	wait := func(what string, token paho.Token) error {
		select {
		case <-token.Done():
		case err := <-lost:
			return err
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		}
		if err := token.Error(); err != nil {
			return explain(what, err)
		}
		return nil
	}
	if err := wait("connecting to "+u.Host, conn.Connect()); err != nil {
		return 0, err
	}
	defer conn.Disconnect(uint(disconnectTime / time.Millisecond))
	subscribed := conn.Subscribe(topic, 1, func(paho.Client, paho.Message) {
		select {
		case back <- struct{}{}:
		default: // once is enough
		}
	})
	if err := wait("subscribing to "+topic, subscribed); err != nil {
		return 0, err
	}
	if t, ok := subscribed.(*paho.SubscribeToken); ok && t.Result()[topic] >= 0x80 {
		return 0, fmt.Errorf("subscribing to %s: %w", topic, ErrNotAllowed)
	}
	begun := time.Now()
	if err := wait("publishing to "+topic, conn.Publish(topic, 1, false, "tocsin doctor")); err != nil {
		return 0, err
	}
	select {
	case <-back:
		return time.Since(begun), nil
	case err := <-lost:
		return 0, err
	case <-ctx.Done():
		return 0, fmt.Errorf("waiting for what was published to %s: %w", topic, context.Cause(ctx))
	}
}
