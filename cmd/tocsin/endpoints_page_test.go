package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"tocsin/bridge/config"
	"tocsin/bridge/preset"
)

const endpointsPage = "../../configs/endpoints/README.md"

// What the page of endpoints shows under the name of the file can be copied.
func TestSnippetsOfTheEndpointsPageLoad(t *testing.T) {
	text, err := os.ReadFile(endpointsPage)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, m := range regexp.MustCompile("(?ms)^```toml\n(# tocsin.toml\n.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		found++
		s := snippet{place: endpointsPage, text: m[1], config: true}
		_, problems := config.Load(s.folder(t), config.Options{Getenv: func(string) (string, bool) { return "", false }})
		for _, p := range problems {
			t.Errorf("%s", p.Long())
		}
	}
	if found < 2 {
		t.Errorf("%d blocks were found", found)
	}
}

// A preset that nobody reads of is not used: each is on the page, with all that
// it can be given, and what it must be given in bold.
func TestEndpointsPageNamesEveryPresetAndParameter(t *testing.T) {
	text, err := os.ReadFile(endpointsPage)
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## In whose words it is told\n")
	for _, name := range preset.Names() {
		p, err := preset.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		row := regexp.MustCompile("(?m)^\\|[^|]*`" + name + "`[^|]*\\|.*$").FindString(section)
		if row == "" {
			t.Errorf("preset %s is not on the page", name)
		}
		for _, q := range p.Params {
			if !strings.Contains(row, "`"+q.Name+"`") || strings.Contains(row, "**`"+q.Name+"`**") != q.Required {
				t.Errorf("preset %s: with.%s (required: %v) is not on the page so", name, q.Name, q.Required)
			}
		}
	}
}
