package rules

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/rules/expr"
)

// An Operand is one thing that an expression asks for, and what it comes to.
type Operand struct {
	Name  string `json:"name"`          // as the expression has it: humidity, p95(vibration, 5m)
	Value string `json:"value"`         // for people; "unknown" while it is
	Why   string `json:"why,omitempty"` // it is unknown
}

// operands are what the expressions of a rule ask for, or those of some of its
// gauges, each once.
func (e *Engine) operands(a *instance, of ...int) []Operand {
	var seen []expr.Ref
	var list []Operand
	for i := range a.rule.gauges {
		if len(of) > 0 && !slices.Contains(of, i) {
			continue
		}
		for k := range a.rule.gauges[i].refs {
			ref := &a.rule.gauges[i].refs[k]
			if slices.Contains(seen, ref.Ref) {
				continue
			}
			seen = append(seen, ref.Ref)
			v, _ := e.operand(a, ref)
			o := Operand{Name: ref.String(), Value: ref.show(v)}
			if !v.Known {
				o.Why = e.whyUnknown(a, ref)
			}
			list = append(list, o)
		}
	}
	return list
}

// show writes a value of the operand for people.
func (o *operand) show(v expr.Value) string {
	text := ""
	switch {
	case !v.Known:
		return unknown.String()
	case o.Kind == expr.Age:
		return spell(time.Duration(v.Num * float64(time.Second)))
	case o.Kind == expr.Weekday:
		return strings.ToLower(time.Weekday(int(v.Num)).String()[:3])
	case o.Type == expr.Bool:
		return strconv.FormatBool(v.Num != 0)
	case o.Type == expr.Text:
		return strconv.Quote(v.Text)
	case o.Kind == expr.Share:
		text = withUnit(shown(v.Num), "%")
	default:
		text = withUnit(shown(v.Num), o.Unit)
	}
	if v.Partial {
		return "at least " + text
	}
	return text
}

// whyUnknown says why nothing is known of an operand.
func (e *Engine) whyUnknown(a *instance, ref *operand) string {
	switch ref.Kind {
	case expr.Online:
		return "nothing has said whether it is"
	case expr.Attr:
		return "the device has none"
	case expr.Share, expr.Count:
		return "there are no members"
	}
	c := a.channel.device.channel(ref.metric.name)
	switch {
	case c == nil || c.last.at == 0:
		return "never heard of"
	case ref.Kind == expr.Age:
		return "nobody listens"
	}
	if fresh := a.fresh(c); fresh > 0 && c.at+fresh <= e.gone() {
		return "the last reading, of " + clock(wall(c.last.at), wall(e.now)) + ", is older than " + written(time.Duration(fresh))
	}
	if ref.Kind == expr.Window {
		if w := c.span(int64(ref.Over)); ref.Func == "sum" && w != nil && w.Count() > 0 && c.signed(w.Window) {
			return "not heard for all of it, and what is missing may be negative"
		}
		return "too few readings"
	}
	return "only one reading"
}

// values is what the expression that decided was made of; "" for other rules.
func (e *Engine) values(a *instance, s saying, g *rung) string {
	gauge := g.gauge
	switch s.typ {
	case AlarmFired, AlarmEscalated:
	case AlarmResolved, AlarmDeescalated, AlarmReturned:
		if g.clearGauge > 0 {
			gauge = g.clearGauge - 1
		}
	default:
		return ""
	}
	if s.record || len(a.rule.gauges) == 0 || a.rule.gauges[gauge].source != expression {
		return ""
	}
	var b strings.Builder
	for i, o := range e.operands(a, gauge) {
		if i == maxValues {
			b.WriteString(" …")
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(o.Name + " " + o.Value)
	}
	return b.String()
}

// maxValues bounds the operands that an event's words list.
const maxValues = 8
