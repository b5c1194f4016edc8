package api

import (
	"context"
	"strconv"
	"time"

	"tocsin/bridge"
)

// Who has the configuration read again without a request, in the audit log.
const (
	BySignal = "SIGHUP"
	ByFile   = "file" // that was saved
)

// An AuditView is one request that changed something, or would have.
type AuditView struct {
	At      time.Time         `json:"at"`
	Who     string            `json:"who" doc:"name of the token; http.token for that of the configuration, loopback for anybody on the machine where there is none, SIGHUP and file for who has the configuration read again without asking, - for who was not let in"`
	Token   string            `json:"token,omitempty" doc:"its id"`
	From    string            `json:"from" doc:"address of the sender"`
	Method  string            `json:"method" doc:"of the request; RELOAD where the configuration was read again without one"`
	Path    string            `json:"path" doc:"of the request, or of the configuration"`
	Status  int               `json:"status" doc:"of the answer"`
	Refused bool              `json:"refused" doc:"for want of a right to it"`
	Error   string            `json:"error,omitempty" doc:"why it was not carried out"`
	Said    map[string]string `json:"said,omitempty" doc:"what of the request matters, and what it came to"`
}

// addAudit adds the log of what was changed.
func (c *control) addAudit() {
	type auditListing struct {
		Page
		Who   string    `query:"who" doc:"name of a token"`
		Since time.Time `query:"since" doc:"at or after"`
		Until time.Time `query:"until" doc:"before"`
	}
	type auditList struct {
		Audit []AuditView `json:"audit" doc:"the newest first"`
		Next  string      `json:"next,omitempty" doc:"the cursor of the next page; left out on the last one"`
	}
	reads(c, does{bridge.ScopeAdmin, "audit", "List the requests that changed something, or would have"}, func(ctx context.Context, in *auditListing) (auditList, error) {
		q := bridge.AuditQuery{Who: in.Who, Since: in.Since, Until: in.Until, Limit: in.Limit + 1}
		if in.Cursor != "" {
			var err error
			if q.Before, err = strconv.ParseInt(in.Cursor, 10, 64); err != nil || q.Before <= 0 {
				return auditList{}, badRequest("cursor: it is not one that a page ended with (begin again without it)")
			}
		}
		entries, err := c.bridge.Access().Audited(ctx, q)
		list := auditList{Audit: []AuditView{}}
		if len(entries) > in.Limit {
			entries = entries[:in.Limit]
			list.Next = strconv.FormatInt(entries[in.Limit-1].Num, 10)
		}
		for _, e := range entries {
			list.Audit = append(list.Audit, AuditView{
				At: e.At, Who: e.Who, Token: e.Token, From: e.From, Method: e.Method, Path: e.Path, Status: e.Status,
				Refused: e.Refused, Error: e.Error, Said: e.Said,
			})
		}
		return list, err
	})
}
