package verdict

import (
	"encoding/json"
	"testing"
)

func TestVerdictNames(t *testing.T) {
	for v, want := range map[Verdict]string{Undecided: "undecided", Pass: "pass", Fail: "fail", Broken: "broken", Unsupported: "unsupported", NotApplicable: "not_applicable"} {
		b, err := json.Marshal(v)
		if err != nil || string(b) != `"`+want+`"` || v.String() != want {
			t.Errorf("%d: %s, %s, %v", v, v, b, err)
		}
		var back Verdict
		if err := json.Unmarshal(b, &back); err != nil || back != v {
			t.Errorf("%s came back as %v, %v", b, back, err)
		}
	}
	if len(names) != int(NotApplicable)+1 {
		t.Errorf("%d names", len(names))
	}
	if s := Verdict(99).String(); s != "verdict(99)" {
		t.Error(s)
	}
	var v Verdict
	for _, in := range []string{`"passed"`, `""`, `1`, `null2`} {
		if err := json.Unmarshal([]byte(in), &v); err == nil {
			t.Errorf("%s was taken for %v", in, v)
		}
	}
}

// TestZeroIsNoPass: what nobody filled in is not known.
func TestZeroIsNoPass(t *testing.T) {
	var r Result
	if r.Verdict != Undecided || r.Verdict == Pass {
		t.Errorf("%v", r.Verdict)
	}
}

// TestResultRoundTrip: a report's reader gets back what was written.
func TestResultRoundTrip(t *testing.T) {
	in := Result{
		SchemaVersion: SchemaVersion, Verdict: Fail, Reason: "r", Seed: 1 << 63,
		Runs:     []Run{{Name: "io_uring", Verdict: Fail, Completions: Completions{Submitted: 3, Failed: map[string]uint64{"EIO": 1}}}},
		Findings: []Finding{{Rule: "no_stray", Verdict: Fail, Count: 2, Witnesses: []Witness{{Tag: 1<<64 - 1, Res: -5}}}},
		Rules:    []Rule{{Name: "no_stray", Verdict: Fail, Required: true}},
	}
	b, err := json.Marshal(&in)
	if err != nil {
		t.Fatal(err)
	}
	var out Result
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(&out)
	if err != nil || string(again) != string(b) {
		t.Errorf("%s\nbecame\n%s", b, again)
	}
}
