package layering

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "diostress"
)

// owners are the imports from outside that only some rooms may have.
var owners = map[string][]string{
	"github.com/pawelgaczynski/giouring":      {"ioengine/uring"},
	"github.com/spf13/pflag":                  {"cmd/dioStress"},
	"github.com/HdrHistogram/hdrhistogram-go": {"internal/ledger"},
	"github.com/klauspost/compress/zstd":      {"internal/ledger"},
}

type row struct {
	all  bool
	list []string
}

var (
	rowRE  = regexp.MustCompile("^\\| `([^`]+)` \\|[^|]*\\|([^|]*)\\|$")
	nameRE = regexp.MustCompile("`([^`]+)`")
)

// readTable reads the rows of the rooms' table.
func readTable(t *testing.T) map[string]row {
	text, err := os.ReadFile(filepath.Join(root, "docs/architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	table := map[string]row{}
	for line := range strings.Lines(string(text)) {
		m := rowRE.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		r := row{all: strings.Contains(m[2], "everything")}
		for _, n := range nameRE.FindAllStringSubmatch(m[2], -1) {
			r.list = append(r.list, n[1])
		}
		if !r.all && len(r.list) == 0 && strings.TrimSpace(m[2]) != "nothing" {
			t.Errorf("row %s: %q is neither a list of rooms nor 'nothing'", m[1], m[2])
		}
		table[m[1]] = r
	}
	if len(table) < 15 {
		t.Fatalf("only %d rows found: has the table changed its form?", len(table))
	}
	return table
}

// imports lists, for every room, what its files but the tests import. scripts
// is a workshop with rooms of its own and is held to one thing: nothing outside
// it imports it.
func imports(t *testing.T) map[string][]string {
	rooms := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if d.IsDir() {
			if rel != "." && strings.HasPrefix(d.Name(), ".") || rel == "scripts" || d.Name() == "testdata" {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") {
			return nil
		}
		room := filepath.Dir(rel)
		if _, ok := rooms[room]; !ok {
			rooms[room] = nil
		}
		if strings.HasSuffix(rel, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range f.Imports {
			rooms[room] = append(rooms[room], strings.Trim(i.Path.Value, `"`))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rooms
}

func TestImportsFollowTheTable(t *testing.T) {
	table := readTable(t)
	rooms := imports(t)
	for room, list := range rooms {
		r, ok := table[room]
		if !ok {
			t.Errorf("room %s has no row in docs/architecture.md", room)
			continue
		}
		for _, bad := range forbidden(room, r, list) {
			t.Errorf("%s may not import %s", room, bad)
		}
	}
	for room := range table {
		if _, ok := rooms[room]; !ok {
			t.Errorf("docs/architecture.md has a row for %s, and there is no such room", room)
		}
	}
}

// forbidden lists the imports of a room that its row does not allow.
func forbidden(room string, r row, list []string) (bad []string) {
	for _, i := range list {
		if who, ok := owners[i]; ok && !slices.Contains(who, room) {
			bad = append(bad, i)
		}
		if inner, ok := strings.CutPrefix(i, module+"/"); ok && (!r.all && !slices.Contains(r.list, inner) || strings.HasPrefix(inner, "scripts/")) {
			bad = append(bad, inner)
		}
	}
	return bad
}

func TestForbiddenSees(t *testing.T) {
	r := row{list: []string{"internal/verdict"}}
	if bad := forbidden("report", r, []string{"fmt", "diostress/internal/verdict"}); len(bad) != 0 {
		t.Errorf("allowed imports are refused: %v", bad)
	}
	for _, i := range []string{"diostress/internal/ledger", "github.com/spf13/pflag", "diostress/scripts/vm/wire"} {
		if bad := forbidden("report", r, []string{i}); len(bad) == 0 {
			t.Errorf("report may import %s", i)
		}
	}
	if bad := forbidden("cmd/dioStress", row{all: true}, []string{"github.com/pawelgaczynski/giouring"}); len(bad) == 0 {
		t.Error("cmd may import giouring")
	}
}
