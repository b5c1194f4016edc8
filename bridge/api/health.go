package api

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"tocsin/rules"
)

// named takes rules/{id} apart.
func named(path string) (rule string, ok bool) {
	rule, ok = strings.CutPrefix(path, "rules/")
	return rule, ok && rule != "" && !strings.Contains(rule, "/")
}

func (c *control) serveRules(w http.ResponseWriter, _ *http.Request) {
	list, err := c.bridge.Health()
	if err != nil {
		c.fail(w, err)
		return
	}
	writeJSON(w, http.StatusOK, "application/json", struct {
		Rules []rules.Health `json:"rules"`
	}{list})
}

func (c *control) serveRule(w http.ResponseWriter, id string) {
	list, err := c.bridge.Health()
	if err != nil {
		c.fail(w, err)
		return
	}
	i := slices.IndexFunc(list, func(h rules.Health) bool { return h.Rule == id })
	if i < 0 {
		problem(w, http.StatusNotFound, fmt.Sprintf("there is no rule %s (tocsin rules lists them)", strconv.QuoteToASCII(id)))
		return
	}
	writeJSON(w, http.StatusOK, "application/json", list[i])
}
