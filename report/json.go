package report

import (
	"encoding/json"
	"io"
	"math"
	"reflect"
	"strconv"
	"time"

	"diostress/internal/verdict"
)

// fioReport is what fio --output-format=json prints, with everything of ours
// under one more key. Fields that fio has and we cannot tell (context switches,
// page faults, the distribution of depths) are left out, not zero.
type fioReport struct {
	Version     string            `json:"fio version"`
	Timestamp   *int64            `json:"timestamp,omitempty"` // seconds since the epoch, of the report
	TimestampMS *int64            `json:"timestamp_ms,omitempty"`
	Time        string            `json:"time,omitempty"`
	Options     map[string]string `json:"global options"`
	Jobs        []fioJob          `json:"jobs"`
	Ours        ours              `json:"diostress"`
}

// ours is the result as it is. The seed stands there twice, because readers
// that take numbers for doubles lose its low bits.
type ours struct {
	verdict.Result
	SeedHex string `json:"seed_hex"`
}

// writeJSON renders the report that programs read.
func writeJSON(w io.Writer, r *verdict.Result) error {
	f := fioReport{
		Version: r.Program,
		Options: map[string]string{"direct": "1", "randseed": strconv.FormatUint(r.Seed, 10)},
		Jobs:    []fioJob{},
		Ours:    ours{filled(reflect.ValueOf(*r)).Interface().(verdict.Result), seed(r)},
	}
	if _, end, ok := times(r); ok {
		s, ms := end.Unix(), end.UnixMilli()
		f.Timestamp, f.TimestampMS, f.Time = &s, &ms, end.Format(time.ANSIC)
	}
	jobs := map[string]int{}
	gs := groups(r)
	for i := range gs {
		for _, u := range gs[i].runs {
			jobs[u.Name] = len(gs[i].runs)
		}
	}
	for i := range r.Runs {
		f.Jobs = append(f.Jobs, jobOf(&r.Runs[i], jobs[r.Runs[i].Name] == 1))
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(&f)
}

// filled returns a copy in which every slice and map is there, if empty, so
// that readers never meet null where a list or an object belongs, and in which
// every float is finite, which JSON demands.
func filled(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			out.Field(i).Set(filled(v.Field(i)))
		}
	case reflect.Slice:
		out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		for i := range v.Len() {
			out.Index(i).Set(filled(v.Index(i)))
		}
	case reflect.Map:
		out.Set(reflect.MakeMapWithSize(v.Type(), v.Len()))
		for _, k := range v.MapKeys() {
			out.SetMapIndex(k, filled(v.MapIndex(k)))
		}
	case reflect.Float64:
		out.SetFloat(finite(v.Float()))
	default:
		out.Set(v)
	}
	return out
}

// finite replaces what JSON cannot hold: the rate of a run of no length.
func finite(f float64) float64 {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0
	}
	return f
}
