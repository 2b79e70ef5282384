// Package verdict holds the plain result types of a run: verdicts, findings,
// rules, figures. Everything that judges fills them, everything that renders
// reads them.
//
// It never computes a verdict from evidence, prints, or looks at the machine.
package verdict

import (
	"encoding/json"
	"fmt"
)

// Verdict is the outcome of a rule or of a whole run. The zero value means
// "not known" and is never a pass.
type Verdict uint8

// The verdicts. NotApplicable is for rules only: this mode cannot check the
// rule, and the run's verdict does not depend on it.
const (
	Undecided Verdict = iota
	Pass
	Fail
	Broken
	Unsupported
	NotApplicable
)

var names = [...]string{"undecided", "pass", "fail", "broken", "unsupported", "not_applicable"}

// String returns the name used in every report format.
func (v Verdict) String() string {
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("verdict(%d)", uint8(v))
}

// MarshalJSON writes the name.
func (v Verdict) MarshalJSON() ([]byte, error) { return json.Marshal(v.String()) }

// UnmarshalJSON reads a name written by MarshalJSON.
func (v *Verdict) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	for i, n := range names {
		if n == s {
			*v = Verdict(i)
			return nil
		}
	}
	return fmt.Errorf("unknown verdict %q", s)
}

// Fidelity says how far a count can be trusted.
type Fidelity string

// The fidelities. AtLeast means that records were lost or that the source
// coalesces; Unavailable means that nobody could look, and the count is 0
// because there is nothing to say, not because nothing happened.
const (
	Exact       Fidelity = "exact"
	AtLeast     Fidelity = "at_least"
	Unavailable Fidelity = "unavailable"
)

// Count is a number with its source and fidelity.
type Count struct {
	Count    uint64   `json:"count"`
	Source   string   `json:"source"`
	Fidelity Fidelity `json:"fidelity"`
}

// Rule is one rule that was looked at, whatever came of it.
type Rule struct {
	Name     string  `json:"name"`
	Run      string  `json:"run"` // name of the run; "" for the whole invocation
	Verdict  Verdict `json:"verdict"`
	Required bool    `json:"required"`         // an undecided required rule makes the run undecided
	Checked  uint64  `json:"checked"`          // how many things were held against the rule
	Reason   string  `json:"reason,omitempty"` // why it is not a plain pass
}

// Finding is a broken rule, with its first witnesses.
type Finding struct {
	Rule      string    `json:"rule"`
	Verdict   Verdict   `json:"verdict"`
	Run       string    `json:"run"`
	Count     uint64    `json:"count"`
	Text      string    `json:"text"` // one line a kernel engineer understands
	Witnesses []Witness `json:"witnesses"`
}

// Witness is one piece of evidence for a finding. Fields that do not concern
// it are zero and left out.
type Witness struct {
	TimeNS   int64  `json:"time_ns,omitempty"` // since the start of the run, monotonic
	File     string `json:"file,omitempty"`
	Offset   int64  `json:"offset,omitempty"` // bytes
	Length   int64  `json:"length,omitempty"` // bytes
	Tag      uint64 `json:"tag,omitempty"`
	Res      int64  `json:"res,omitempty"`
	Evidence string `json:"evidence,omitempty"`
}

// Skip is something that was asked for and could not run here.
type Skip struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}
