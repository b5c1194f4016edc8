package rules

// An override is a [rule.ID.override.KEY] table.
type override struct {
	key     string
	def     *OverrideDef
	matches selector
	rank    int
}

// whole compiles a rule with its overrides.
func (c *compiler) whole(id string, def *RuleDef) *rule {
	c.origin, c.attrs, c.mentions, c.asked = nil, nil, nil, nil
	return c.rule(id, def)
}

// arrange orders the rules so that one which asks for another comes after it.
func (c *compiler) arrange(p *Program) {}

// variant is the rule as it is for one device: with the overrides that apply to
// it, and its attributes. It is r itself where there are none.
func (p *Program) variant(r *rule, id string, def *DeviceDef) *rule { return r }

// variantKey names the variant that a device has, without making it: "" is the
// rule itself.
func (p *Program) variantKey(r *rule, id string, def *DeviceDef) string { return "" }
