package rules

// A ChangeKind says what a new program changes in a rule.
type ChangeKind string

const (
	RuleAdded     ChangeKind = "added"
	RuleRemoved   ChangeKind = "removed"
	RuleUnchanged ChangeKind = "unchanged"
	RuleText      ChangeKind = "text"   // what it says, to whom, and how severe it is
	RuleLimits    ChangeKind = "limits" // what it decides
)

// A Change is what becomes of one rule.
type Change struct {
	Rule string
	From string // the id it had before, where renamed_from says so; "" otherwise
	Kind ChangeKind
	// Before and After are revisions, "" where there is none.
	Before, After string
}

// Diff says what becomes of the rules of old, and which are new, by ascending id.
// A rule that is renamed is the rule it was: its Kind says what else changed.
func (p *Program) Diff(old *Program) []Change {
	var list []Change
	for i, j := 0, 0; i < len(p.rules) || j < len(old.rules); {
		switch {
		case j == len(old.rules) || i < len(p.rules) && p.rules[i].id < old.rules[j].id:
			list = append(list, p.rules[i].since(old.byID[p.rules[i].renamed]))
			i++
		case i == len(p.rules) || p.rules[i].id > old.rules[j].id:
			if r := old.rules[j]; p.formerly[r.id] == nil {
				list = append(list, Change{Rule: r.id, Kind: RuleRemoved, Before: r.revision})
			}
			j++
		default:
			list = append(list, p.rules[i].since(old.rules[j]))
			i, j = i+1, j+1
		}
	}
	return list
}

// since is what became of old, nil for none, in r.
func (r *rule) since(old *rule) Change {
	if old == nil {
		return Change{Rule: r.id, Kind: RuleAdded, After: r.revision}
	}
	ch := Change{Rule: r.id, Kind: RuleLimits, Before: old.revision, After: r.revision}
	if old.id != r.id {
		ch.From = old.id
	}
	switch {
	case r.revision == old.revision:
		ch.Kind = RuleUnchanged
	case r.logic == old.logic && r.says == old.says:
		ch.Kind = RuleUnchanged // but for its name
	case r.logic == old.logic:
		ch.Kind = RuleText
	}
	return ch
}
