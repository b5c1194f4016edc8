package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tocsin/bridge"
)

func (f *fixture) put(put []bridge.AccessToken, forget ...string) {
	f.t.Helper()
	if err := f.Access().PutTokens(f.t.Context(), put, forget...); err != nil {
		f.t.Fatalf("PutTokens: %v", err)
	}
}

func (f *fixture) wantsTokens(want ...bridge.AccessToken) {
	f.t.Helper()
	got, err := f.Access().Tokens(f.t.Context())
	if err != nil {
		f.t.Fatalf("Tokens: %v", err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		f.t.Fatalf("Tokens (-want +got):\n%s", diff)
	}
}

func tokensSurviveReopen(_ *testing.T, f *fixture) {
	f.wantsTokens()
	at := time.Date(2026, 11, 22, 23, 0, 0, 5, time.UTC)
	a := bridge.AccessToken{ID: "a", Name: "page", Scope: bridge.ScopeRead, Digest: [32]byte{1, 2, 31: 3}, Created: at}
	b := bridge.AccessToken{ID: "b", Name: "page", Scope: bridge.ScopeAdmin, Digest: [32]byte{4}, Created: at.Add(time.Second), Ends: at.Add(far)}
	f.put([]bridge.AccessToken{b, a})
	f.wantsTokens(a, b)
	a.Used, b.Revoked = at.Add(time.Minute), at.Add(2*time.Minute)
	f.put([]bridge.AccessToken{a, b})
	f.reopen()
	f.wantsTokens(a, b)
}

func tokenIsForgotten(_ *testing.T, f *fixture) {
	at := time.Date(2026, 11, 22, 23, 0, 0, 0, time.UTC)
	a, b := bridge.AccessToken{ID: "a", Created: at}, bridge.AccessToken{ID: "b", Created: at}
	f.put([]bridge.AccessToken{a})
	f.put([]bridge.AccessToken{b}, "a", "nobody")
	f.wantsTokens(b)
}

func (f *fixture) audit(keep int, e bridge.AuditEntry) {
	f.t.Helper()
	if err := f.Access().Audit(f.t.Context(), e, keep); err != nil {
		f.t.Fatalf("Audit: %v", err)
	}
}

// wantsAudited compares the paths of a list, which is read by pages of n.
func (f *fixture) wantsAudited(q bridge.AuditQuery, want ...string) {
	f.t.Helper()
	for _, q.Limit = range []int{1, 2, 100} {
		var got []string
		for q.Before = 0; ; {
			page, err := f.Access().Audited(f.t.Context(), q)
			if err != nil {
				f.t.Fatalf("Audited(%+v): %v", q, err)
			}
			if len(page) == 0 {
				break
			}
			for _, e := range page {
				got = append(got, e.Path)
			}
			q.Before = page[len(page)-1].Num
		}
		if !slices.Equal(got, want) {
			f.t.Fatalf("by %d, Audited(%+v) = %q, want %q", q.Limit, q, got, want)
		}
	}
}

func auditIsListed(t *testing.T, f *fixture) {
	at := time.Date(2026, 11, 22, 23, 0, 0, 0, time.UTC)
	whole := bridge.AuditEntry{
		At: at, Who: "ada", Token: "t1", From: "192.0.2.1:5", Method: "POST", Path: "/1", Status: 503, Refused: true, Error: "no",
		Said: map[string]string{"reason": "why"},
	}
	f.audit(10, whole)
	f.audit(10, bridge.AuditEntry{At: at.Add(time.Second), Who: "bob", Path: "/2"})
	f.audit(10, bridge.AuditEntry{At: at.Add(2 * time.Second), Who: "ada", Path: "/3"})
	f.reopen()
	f.wantsAudited(bridge.AuditQuery{}, "/3", "/2", "/1")
	f.wantsAudited(bridge.AuditQuery{Who: "ada"}, "/3", "/1")
	f.wantsAudited(bridge.AuditQuery{Since: at.Add(time.Second)}, "/3", "/2")
	f.wantsAudited(bridge.AuditQuery{Until: at.Add(time.Second)}, "/1")
	got, err := f.Access().Audited(t.Context(), bridge.AuditQuery{Until: at.Add(1)})
	if err != nil || len(got) != 1 {
		t.Fatal(got, err)
	}
	whole.Num = got[0].Num
	if diff := cmp.Diff(whole, got[0]); diff != "" {
		t.Errorf("entry (-want +got):\n%s", diff)
	}
}

func refusedPushesNothingOut(_ *testing.T, f *fixture) {
	for i := range 5 {
		f.audit(3, bridge.AuditEntry{Path: fmt.Sprint("/done/", i)})
	}
	for i := range 9 {
		f.audit(2, bridge.AuditEntry{Path: fmt.Sprint("/refused/", i), Refused: true})
	}
	f.wantsAudited(bridge.AuditQuery{}, "/refused/8", "/refused/7", "/done/4", "/done/3", "/done/2")
	f.reopen()
	f.audit(3, bridge.AuditEntry{Path: "/done/5"})
	f.wantsAudited(bridge.AuditQuery{}, "/done/5", "/refused/8", "/refused/7", "/done/4", "/done/3")
}
