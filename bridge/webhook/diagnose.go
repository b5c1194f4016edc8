package webhook

import "net/http"

// A Diagnosis is what most likely happened to a message that does not verify.
// The zero Diagnosis is: nothing known.
type Diagnosis struct {
	Mistake string // what was done, in words
	Remedy  string // what to do instead
	Proved  bool   // the given signature was reproduced with this very mistake
}

// Diagnose looks for the mistake that makes a message not verify.
func Diagnose(secrets []Secret, header http.Header, body []byte) Diagnosis { return Diagnosis{} }
