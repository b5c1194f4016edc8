package rules

type instance struct {
	mark uint64
}
