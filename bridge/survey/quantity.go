package survey

import (
	"slices"
	"strings"
)

// A quantity is what a metric of some name usually measures.
type quantity struct {
	names []string // words of the name, in small letters
	unit  string
	low   float64 // seen outside of low to high, it is not that, or not in that unit
	high  float64
	limit side // where it is worth watching
}

// A side is where a limit belongs.
type side uint8

const (
	both side = iota
	above
	below
	neither
)

// quantities are looked through in this order.
func quantities() []quantity {
	return []quantity{
		{[]string{"rssi", "snr", "linkquality", "lqi", "signal", "wifi"}, "", -200, 300, neither},
		{[]string{"uptime", "count", "counter", "seq", "sequence", "fcnt", "total", "index", "id", "version", "ts", "time", "timestamp", "port", "channel"}, "", 0, 1e18, neither},
		{[]string{"lat", "latitude", "lon", "lng", "longitude", "alt", "altitude", "heading"}, "", -1e5, 1e5, neither},
		{[]string{"battery", "batt", "bat", "soc"}, "%", 0, 100, below},
		{[]string{"humidity", "hum", "rh", "moisture", "humid"}, "%", 0, 100, both},
		{[]string{"temperature", "temp", "tmp", "dewpoint", "winding", "temperatura", "temperatur"}, "°C", -80, 400, both},
		{[]string{"voltage", "volt", "vbat", "vcc", "vdd"}, "V", -1000, 1000, both},
		{[]string{"current", "amps"}, "A", -1000, 1000, above},
		{[]string{"power", "apower", "watt", "watts"}, "W", -1e6, 1e6, above},
		{[]string{"energy", "kwh"}, "kWh", 0, 1e9, neither},
		{[]string{"pressure", "barometer", "baro"}, "hPa", 300, 1200, both},
		{[]string{"co2", "eco2", "voc", "tvoc"}, "ppm", 0, 1e5, above},
		{[]string{"pm25", "pm10", "pm1"}, "µg/m³", 0, 1e4, above},
		{[]string{"illuminance", "lux", "light"}, "lx", 0, 2e5, neither},
		{[]string{"vibration", "rms", "velocity"}, "mm/s", 0, 1e3, above},
		{[]string{"frequency", "freq"}, "Hz", 0, 1e9, both},
		{[]string{"speed", "rpm"}, "rpm", 0, 1e6, both},
		{[]string{"level", "flow", "distance", "weight", "noise", "ph"}, "", -1e9, 1e9, both},
	}
}

// suffixOf is the unit that the end of a name says.
func suffixOf(name string) (unit string) {
	parts := strings.FieldsFunc(name, isSeparator)
	if len(parts) < 2 {
		return ""
	}
	switch strings.ToLower(parts[len(parts)-1]) {
	case "c", "degc", "celsius":
		return "°C"
	case "f", "degf", "fahrenheit":
		return "°F"
	case "pct", "percent":
		return "%"
	case "v", "volts":
		return "V"
	case "mv":
		return "mV"
	case "a", "amps":
		return "A"
	case "ma":
		return "mA"
	case "w", "watts":
		return "W"
	case "kw":
		return "kW"
	case "wh":
		return "Wh"
	case "kwh":
		return "kWh"
	case "pa":
		return "Pa"
	case "hpa":
		return "hPa"
	case "kpa":
		return "kPa"
	case "bar":
		return "bar"
	case "mbar":
		return "mbar"
	case "psi":
		return "psi"
	case "hz":
		return "Hz"
	case "rpm":
		return "rpm"
	case "ppm":
		return "ppm"
	case "mm":
		return "mm"
	case "cm":
		return "cm"
	case "kg":
		return "kg"
	case "ms":
		return "ms"
	}
	return ""
}

// wordsOf takes a name apart: switch.0.outdoorTemp_c is outdoor, temp and c, for a
// number alone is none.
func wordsOf(name string) []string {
	var words []string
	var word strings.Builder
	end := func() {
		if w := word.String(); w != "" && strings.Trim(w, "0123456789") != "" {
			words = append(words, strings.ToLower(w))
		}
		word.Reset()
	}
	lower := false
	for _, r := range name {
		switch {
		case isSeparator(r):
			end()
			lower = false
			continue
		case 'A' <= r && r <= 'Z':
			if lower {
				end()
			}
			lower = false
		default:
			lower = true
		}
		word.WriteRune(r)
	}
	end()
	return words
}

func isSeparator(r rune) bool { return strings.ContainsRune(`._- /\:`, r) }

// quantityOf is what a name says that a metric is; nil if it says nothing.
func quantityOf(name string) *quantity {
	words := wordsOf(name)
	for _, q := range quantities() {
		for i := len(words) - 1; i >= 0; i-- {
			if slices.Contains(q.names, words[i]) || slices.Contains(q.names, strings.TrimRight(words[i], "0123456789")) {
				if unit := suffixOf(name); unit != "" && unit != q.unit {
					q.unit, q.low, q.high = unit, -1e18, 1e18
				}
				return &q
			}
		}
	}
	if unit := suffixOf(name); unit != "" {
		return &quantity{unit: unit, low: -1e18, high: 1e18}
	}
	return nil
}
