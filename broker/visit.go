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

// ErrNotAllowed is wrapped by errors of [RoundTrip] and [Watch] when the broker
// took the connection, and refused the topic.
var ErrNotAllowed = errors.New("the broker does not allow it")

// A visitor is a connection whose session the broker does not keep.
type visitor struct {
	conn paho.Client
	lost chan error
}

// visit connects to a broker for a while, and not as the bridge.
func visit(ctx context.Context, o ClientOptions, u *url.URL) (*visitor, error) {
	v := &visitor{lost: make(chan error, 1)}
	v.conn = paho.NewClient(paho.NewClientOptions().
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
		SetConnectionLostHandler(func(_ paho.Client, err error) { v.lost <- explain("connection lost", err) }).
		SetCustomOpenConnectionFn(func(u *url.URL, _ paho.ClientOptions) (net.Conn, error) {
			conn, err := dial(ctx, u, o.TLS)
			if err != nil {
				return nil, err
			}
			return &guardedConn{Conn: conn, filters: max(len(o.Topics), 1)}, nil
		}))
	if err := v.wait(ctx, "connecting to "+u.Host, v.conn.Connect()); err != nil {
		return nil, err
	}
	return v, nil
}

func (v *visitor) leave() { v.conn.Disconnect(uint(disconnectTime / time.Millisecond)) }

// wait waits for the answer to a request.
func (v *visitor) wait(ctx context.Context, what string, token paho.Token) error {
	select {
	case <-token.Done():
	case err := <-v.lost:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
	if err := token.Error(); err != nil {
		return explain(what, err)
	}
	return nil
}

func (v *visitor) subscribe(ctx context.Context, filter string, qos byte, handle paho.MessageHandler) error {
	token := v.conn.Subscribe(filter, qos, handle)
	if err := v.wait(ctx, "subscribing to "+filter, token); err != nil {
		return err
	}
	if t, ok := token.(*paho.SubscribeToken); ok && t.Result()[filter] >= 0x80 {
		return fmt.Errorf("subscribing to %s: %w", filter, ErrNotAllowed)
	}
	return nil
}

// Watch shows what comes by at a broker under the topics of o to take, one message
// at a time, until ctx ends. It asks for QoS 0 in a session that the broker does
// not keep, under a client id that must not be that of a bridge: it takes nothing
// from anybody. That ctx ends is no error; o.Share is not used.
func Watch(ctx context.Context, o ClientOptions, take func(Message)) error {
	o.Share = ""
	u, err := o.check()
	if err != nil {
		return err
	}
	v, err := visit(ctx, o, u)
	if err != nil {
		return err
	}
	defer v.leave()
	for _, filter := range o.Topics {
		err := v.subscribe(ctx, filter, 0, func(_ paho.Client, m paho.Message) {
			take(Message{Topic: m.Topic(), Payload: m.Payload(), QoS: m.Qos(), Dup: m.Duplicate(), Retained: m.Retained(), Received: time.Now()})
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
	}
	select {
	case err := <-v.lost:
		return err
	case <-ctx.Done():
		return nil
	}
}
