package config

import (
	_ "embed"
)

// The schemas are made of the types that the files are decoded into, and of
// their comments: go test ./bridge/config -run Schema -update.
var (
	//go:embed schema/tocsin.json
	mainSchema string
	//go:embed schema/rules.json
	rulesSchema string
)

// MainSchema is the JSON Schema (draft 2020-12) of the main file, for editors:
// what may be written where. Whether it makes sense is said by [Load].
func MainSchema() string { return mainSchema }

// RulesSchema is the JSON Schema of a rule file.
func RulesSchema() string { return rulesSchema }
