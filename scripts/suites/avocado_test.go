package suites

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"diostress/internal/need"
)

// runnable is one entry of a recipe, as avocado's runner for programs reads it.
type runnable struct {
	Kind       string   `json:"kind"`
	URI        string   `json:"uri"`
	Identifier string   `json:"identifier"`
	Args       []string `json:"args"`
	Config     struct {
		Skip []int `json:"runner.exectest.exitcodes.skip"`
	} `json:"config"`
}

func recipe(t *testing.T) (out []runnable) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(read(t, "avocado/diostress.json")))
	d.DisallowUnknownFields()
	if err := d.Decode(&out); err != nil || len(out) < 3 {
		t.Fatalf("%v, %d entries", err, len(out))
	}
	return out
}

// TestAvocadoRecipe: each entry runs the program, with arguments it takes, and
// skips on the status that means a skip.
func TestAvocadoRecipe(t *testing.T) {
	p := program(t)
	seen := map[string]bool{}
	for _, r := range recipe(t) {
		if r.Kind != "exec-test" || r.URI != "dioStress" || !slices.Equal(r.Config.Skip, []int{4}) || seen[r.Identifier] {
			t.Errorf("%+v", r)
		}
		seen[r.Identifier] = true
		dry(t, p, r.Args)
	}
	if status := read(t, "../../docs/exit-status.md"); !strings.Contains(status, "| 4 | this machine lacks") {
		t.Error("4 is no skip in docs/exit-status.md")
	}
}

// TestAvocadoRun runs the recipe with avocado, the program and stand-ins.
func TestAvocadoRun(t *testing.T) {
	avocado := strings.Fields(where(t, "DIOSTRESS_AVOCADO", "the command avocado"))
	need.RootUser(t)
	need.Alone(t)
	dir := t.TempDir()
	rs := recipe(t)
	want := map[string]string{}
	for i := range rs {
		rs[i].URI, rs[i].Args = program(t), append(rs[i].Args, "--runtime", "3")
		want[rs[i].Identifier] = "PASS"
	}
	for status, result := range map[int]string{1: "FAIL", 3: "FAIL", 4: "SKIP", 124: "FAIL"} {
		r := rs[0]
		r.URI, r.Args, r.Identifier = standIn(t, status, ""), []string{}, "status"+strconv.Itoa(status)
		want[r.Identifier] = result
		rs = append(rs, r)
	}
	b, err := json.Marshal(rs)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "recipe.json"), string(b))
	r := command(t, dir, []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin"},
		append(avocado, "run", "--max-parallel-tasks", "1", "--job-results-dir", dir, "--json", "-", "recipe.json")...)
	var got struct {
		Tests []struct{ Name, Status, Logfile string }
	}
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil || len(got.Tests) != len(want) {
		t.Fatalf("%v, %d tests\n%s%s", err, len(got.Tests), r.stdout, r.stderr)
	}
	for _, e := range got.Tests {
		if want[e.Name] != e.Status {
			t.Errorf("%s: %s, want %s", e.Name, e.Status, want[e.Name])
		}
	}
}
