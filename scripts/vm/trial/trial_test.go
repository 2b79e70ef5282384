package trial

import (
	"strings"
	"testing"

	"diostress/internal/verdict"
	"diostress/scripts/vm/lab"
	"diostress/scripts/vm/machine"
	"diostress/scripts/vm/wire"
)

const report = `{"jobs":[],"diostress":{"verdict":"fail","findings":[
 {"rule":"short_rule","verdict":"fail","run":"a"},{"rule":"other","verdict":"fail"},{"rule":"other","verdict":"fail"}],
 "runs":[{"name":"a","completions":{"completed":7}},{"name":"b","completions":{"completed":5}}]}}`

func result(r machine.Result) *lab.Result { return &lab.Result{Result: &r} }

func TestOutcomeOfACellThatEnded(t *testing.T) {
	o, ran := outcome(Cell{Name: "a-x"}, result(machine.Result{
		State: machine.Oops, Detail: "BUG: later", // in another cell
		Ended: []wire.Ended{{Name: "a-x", Status: 1, Seconds: 2.5}, {Name: "a-x-g208", Status: 0}},
		Records: []wire.Record{
			{Name: "a-x/a-x.json", Data: []byte(report)}, {Name: "a-x/sys/module/m", Data: []byte("3\n")}, {Name: "a-x-g208/g208.json", Data: []byte("{}")},
		},
	}))
	if !ran || o.State != machine.Finished || o.Status != 1 || o.Seconds != 2.5 {
		t.Errorf("%+v", o)
	}
	if got := strings.Join(o.Found(), " "); got != "short_rule other" {
		t.Errorf("rules %q", got)
	}
	if o.Writes() != 12 || o.First().Name != "a" {
		t.Errorf("%d writes", o.Writes())
	}
	if o.Texts["/sys/module/m"] != "3\n" || o.Texts["-g208/g208.json"] != "{}" || o.After["g208"].Name == "" {
		t.Errorf("texts %q, after %v", o.Texts, o.After)
	}
}

func TestOutcomeOfACellThatTookTheKernelDown(t *testing.T) {
	r := result(machine.Result{State: machine.Panic, Detail: "dead", Running: &wire.Command{Name: "a"}, Ended: []wire.Ended{{Name: "z"}}})
	if o, ran := outcome(Cell{Name: "a"}, r); !ran || o.State != machine.Panic || o.Result != nil || o.Found() != nil || o.First() != nil {
		t.Errorf("running: %+v", o)
	}
	if _, ran := outcome(Cell{Name: "b"}, r); ran {
		t.Error("a cell that never began ran")
	}
}

func TestOutcomeOfAHang(t *testing.T) {
	o, ran := outcome(Cell{Name: "a"}, result(machine.Result{
		State: machine.Hang, Ended: []wire.Ended{{Name: "a", Timeout: true}}, Records: []wire.Record{{Name: "a/a.json", Data: []byte(report)}},
	}))
	if !ran || o.State != machine.Hang || o.Result == nil || o.Result.Verdict != verdict.Fail {
		t.Errorf("%+v", o)
	}
}

func TestHalfAReportIsNone(t *testing.T) {
	for _, text := range []string{"", report[:len(report)-3], "{}", `{"diostress":{"verdict":"perhaps"}}`} {
		if r := readReport([]byte(text)); r != nil {
			t.Errorf("%q gave %+v", text, r)
		}
	}
}

func TestCellsEnterABoot(t *testing.T) {
	var b lab.Boot
	cells := []Cell{
		{Name: "one", Engine: "libaio", Format: "ext3-1k", WriteIOPS: 9, Args: []string{"--runtime", "1"}, Timeout: 5},
		{Name: "two", Engine: "io_uring", Format: "ext4-packed", Host: true, FailData: true,
			Acts:  []wire.Act{{ZeroOut: "DISK"}},
			After: []wire.Command{{Name: "x", Argv: []string{"p", "/mnt/DISK"}, Acts: []wire.Act{{Fail: "DISK"}}}}},
	}
	for i := range cells {
		if err := cells[i].enter(&b, i); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, c := range b.Commands {
		got = append(got, c.Name+": "+strings.Join(c.Argv, " "))
	}
	want := []string{
		"one: /bin/dioStress --ioengine libaio --device /dev/vm/c0 --destroy-data --fs ext3 --fs-config 1k --runtime 1 --output /out/one.json --output-format json",
		"two: /bin/dioStress --ioengine io_uring --directory /mnt/c1 --output /out/two.json --output-format json",
		"two-x: p /mnt/c1",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if b.Disks[0].WriteIOPS != 9 || b.Disks[0].Serial != "c0" || !b.Disks[1].FailData || b.Disks[1].Mount.Dir != "/mnt/c1" {
		t.Errorf("disks %+v", b.Disks)
	}
	if b.Commands[1].Acts[0].ZeroOut != "c1" || cells[1].Acts[0].ZeroOut != "DISK" {
		t.Errorf("acts %+v, in the cell %+v", b.Commands[1].Acts, cells[1].Acts)
	}
	if b.Commands[2].Acts[0].Fail != "c1" || cells[1].After[0].Acts[0].Fail != "DISK" {
		t.Errorf("acts after it %+v, in the cell %+v", b.Commands[2].Acts, cells[1].After[0].Acts)
	}
	if err := (&Cell{Format: "ntfs"}).enter(&b, 2); err == nil {
		t.Error("an unknown file system was taken")
	}
}

func TestOnlyPressure(t *testing.T) {
	rule := func(name string, v verdict.Verdict) verdict.Rule {
		return verdict.Rule{Name: name, Verdict: v, Required: true}
	}
	optional := verdict.Rule{Name: "stale_reported", Verdict: verdict.Undecided}
	for _, c := range []struct {
		name  string
		v     verdict.Verdict
		rules []verdict.Rule
		want  bool
	}{
		{"too little pressure", verdict.Undecided, []verdict.Rule{rule("a", verdict.Pass), optional, rule("adequacy", verdict.Undecided)}, true},
		{"another rule, too", verdict.Undecided, []verdict.Rule{rule("a", verdict.Undecided), rule("adequacy", verdict.Undecided)}, false},
		{"a pass", verdict.Pass, []verdict.Rule{rule("adequacy", verdict.Pass)}, false},
		{"unsupported", verdict.Unsupported, []verdict.Rule{rule("adequacy", verdict.Unsupported)}, false},
		{"nothing at all", verdict.Undecided, nil, false},
	} {
		o := Outcome{State: machine.Finished, Result: &verdict.Result{Verdict: c.v, Rules: c.rules}}
		if got := o.OnlyPressure(); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	if (&Outcome{State: machine.Panic}).OnlyPressure() {
		t.Error("a panic lacks only pressure")
	}
}
