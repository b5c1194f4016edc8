package trace

import (
	"log/slog"
	"strings"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A resource is who traces.
type resource struct {
	resource *resourcepb.Resource
	scope    *commonpb.InstrumentationScope
}

func newResource(o *Options) resource {
	service := o.Service
	if service == "" {
		service = "tocsin"
	}
	return resource{
		&resourcepb.Resource{Attributes: attributes([]slog.Attr{
			slog.String("service.name", service), slog.String("service.version", o.Version),
		})},
		&commonpb.InstrumentationScope{Name: "tocsin", Version: o.Version},
	}
}

// encode makes the body of a request. TracesData has the fields and the numbers of
// ExportTraceServiceRequest, whose package would bring gRPC along.
func (r resource) encode(batch []Span) ([]byte, error) {
	spans := make([]*tracepb.Span, len(batch))
	for i := range batch {
		spans[i] = encodeSpan(&batch[i])
	}
	return proto.Marshal(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource: r.resource, ScopeSpans: []*tracepb.ScopeSpans{{Scope: r.scope, Spans: spans}},
	}}})
}

func encodeSpan(s *Span) *tracepb.Span {
	p := &tracepb.Span{
		TraceId: s.Trace[:], SpanId: s.Span[:], Flags: 1, // sampled
		Name: text(s.Name), Kind: s.Kind.encode(),
		StartTimeUnixNano: nanos(s.Start), EndTimeUnixNano: max(nanos(s.Start), nanos(s.End)),
		Attributes: attributes(s.Attrs),
	}
	if s.Parent != (SpanID{}) {
		p.ParentSpanId = s.Parent[:]
	}
	for _, l := range s.Links {
		p.Links = append(p.Links, &tracepb.Span_Link{TraceId: l.Trace[:], SpanId: l.Span[:]})
	}
	if s.Failed {
		p.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: text(s.Error)}
	}
	return p
}

func (k Kind) encode() tracepb.Span_SpanKind {
	switch k {
	case Consumer:
		return tracepb.Span_SPAN_KIND_CONSUMER
	case Client:
		return tracepb.Span_SPAN_KIND_CLIENT
	}
	return tracepb.Span_SPAN_KIND_INTERNAL
}

func nanos(at time.Time) uint64 { return uint64(max(at.UnixNano(), 0)) }

// text is what protobuf takes: a message with anything else is not sent at all.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// attributes leaves out what is empty.
func attributes(attrs []slog.Attr) []*commonpb.KeyValue {
	list := make([]*commonpb.KeyValue, 0, len(attrs))
	for _, a := range attrs {
		v := &commonpb.AnyValue{}
		switch a.Value.Kind() {
		case slog.KindInt64:
			v.Value = &commonpb.AnyValue_IntValue{IntValue: a.Value.Int64()}
		case slog.KindFloat64:
			v.Value = &commonpb.AnyValue_DoubleValue{DoubleValue: a.Value.Float64()}
		case slog.KindBool:
			v.Value = &commonpb.AnyValue_BoolValue{BoolValue: a.Value.Bool()}
		default:
			s := text(a.Value.String())
			if s == "" {
				continue
			}
			v.Value = &commonpb.AnyValue_StringValue{StringValue: s}
		}
		list = append(list, &commonpb.KeyValue{Key: a.Key, Value: v})
	}
	return list
}
