package main

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// A shell asks what may come next, and waits for it: a bridge that is not there, or
// does not let us in, must not be noticed.
const (
	completeTime = time.Second
	completeMost = 100
)

// listsOf are what the arguments of a command name, in their order.
func listsOf(path string) []string {
	switch path {
	case "alarms ack", "alarms unack", "alarms shelve", "alarms unshelve", "alarms reset", "alarms show":
		return []string{"alarms"}
	case "endpoints test", "endpoints enable", "endpoints disable", "endpoints discard", "endpoints show", "endpoints rotate", "endpoints remove":
		return []string{"endpoints"}
	case "deliveries show", "deliveries replay":
		return []string{"deliveries"}
	case "devices", "rules":
		return []string{path}
	case "explain":
		return []string{"devices", "rules"}
	case "tokens revoke":
		return []string{"tokens"}
	}
	return nil
}

// wordsFor are what the flag of a name may be, where that is one of a few.
func wordsFor(flag string) []string {
	switch flag {
	case "severity":
		return []string{"info", "warning", "major", "critical"}
	case "presence":
		return []string{"online", "offline", "sleeping", "lost", "unknown"}
	case "scope":
		return []string{"read", "ops", "admin"}
	case "send":
		return []string{"all", "latest", "discard"}
	case "kinds":
		return []string{"reading", "event", "delivery"}
	}
	return nil
}

// listFor is what of a bridge the flag of a name names.
func listFor(flag string) string {
	switch flag {
	case "device", "rule", "endpoint", "alarm":
		return flag + "s"
	}
	return ""
}

// addCompletions has shells complete what the bridge that is asked knows, words of
// which there are a few, and files of the right kind.
func addCompletions(e env, cmd *cobra.Command) error {
	for _, sub := range cmd.Commands() {
		if err := addCompletions(e, sub); err != nil {
			return err
		}
	}
	asks := cmd.Flag("server") != nil
	if lists := listsOf(strings.TrimPrefix(cmd.CommandPath(), "tocsin ")); asks && lists != nil {
		cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
			if len(args) >= len(lists) {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return completeFrom(cmd, e, lists[len(args)], begun), cobra.ShellCompDirectiveNoFileComp
		}
	} else if asks {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	if f := cmd.Flags().Lookup("config"); f != nil {
		if err := cmd.MarkFlagFilename("config", "toml"); err != nil {
			return err
		}
	}
	for _, name := range []string{"device", "rule", "endpoint", "alarm", "severity", "presence", "scope", "send", "kinds"} {
		if cmd.Flags().Lookup(name) == nil || !asks {
			continue
		}
		err := cmd.RegisterFlagCompletionFunc(name, func(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
			if list := listFor(name); list != "" {
				return completeFrom(cmd, e, list, begun), cobra.ShellCompDirectiveNoFileComp
			}
			return wordsFor(name), cobra.ShellCompDirectiveNoFileComp
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// completeFrom asks the bridge for the names in a list that go on as begun.
func completeFrom(cmd *cobra.Command, e env, list, begun string) []string {
	flag := func(name string) string { return cmd.Flag(name).Value.String() }
	c, err := newClient(e, clientFlags{server: flag("server"), config: flag("config"), tokenFile: flag("token-file"), cafile: flag("cafile")})
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), completeTime) // a shell has no other way to stop it
	defer cancel()
	query := url.Values{}
	switch list {
	case "devices":
		query.Set("q", begun)
		fallthrough
	case "alarms", "deliveries":
		query.Set("limit", strconv.Itoa(completeMost))
	}
	answer, err := c.do(ctx, http.MethodGet, []string{list}, query, nil)
	if err != nil {
		return nil
	}
	var entries map[string]json.RawMessage
	var known []struct{ Key, ID, Name, Rule, State, Condition, Presence string }
	if json.Unmarshal(answer, &entries) != nil || json.Unmarshal(entries[list], &known) != nil {
		return nil
	}
	var names []string
	for _, k := range known {
		name := cmp.Or(k.Key, k.ID, k.Name, k.Rule)
		if list == "tokens" {
			name = k.Name
		}
		if name != cleanLine(name) || !strings.HasPrefix(name, begun) {
			continue // what a terminal would obey is typed by hand
		}
		if about := cmp.Or(k.State, k.Condition, k.Presence); about != "" {
			name += "\t" + cleanLine(about)
		}
		names = append(names, name)
	}
	return names
}
