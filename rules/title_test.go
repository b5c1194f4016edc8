package rules

import "testing"

// What a device says can neither begin a line of its own in a message nor turn
// what stands behind it around.
func TestTitleIsOneLineWhateverADeviceSays(t *testing.T) {
	parsed, wrong := parseTitle("{device} says {value}, limit 7")
	if wrong != nil {
		t.Fatal(wrong)
	}
	for said, want := range map[string]string{
		"E\r\nresolved":            "x says E  resolved, limit 7",
		"\u202e\u2066E\u2069":      "x says E, limit 7",
		"a\u2028b\u0085c\x1b[2J\t": "x says a b c [2J , limit 7",
		"é 漢 👍🏽 \u200d":            "x says é 漢 👍🏽 \u200d, limit 7",
	} {
		got := parsed.render(func(p titlePart) string {
			if p.name == "device" {
				return "x"
			}
			return said
		})
		if got != want {
			t.Errorf("%q is told as %q, expected %q", said, got, want)
		}
	}
}
