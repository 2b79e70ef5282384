package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"diostress/internal/plan"
	"diostress/mmapdirty"
)

// The parsers of option values. Their errors quote the text and say what is
// valid; the caller puts the option's name before them.

func sizeTo(dst func(*settings) *int64) setter {
	return func(s *settings, v string) error {
		n, err := plan.ParseSize(v)
		if err == nil {
			*dst(s) = n
		}
		return err
	}
}

func timeTo(dst func(*settings) *time.Duration) setter {
	return func(s *settings, v string) error {
		d, err := plan.ParseTime(v)
		if err == nil {
			*dst(s) = d
		}
		return err
	}
}

func textTo(dst func(*settings) *string) setter {
	return func(s *settings, v string) error {
		*dst(s) = v
		return nil
	}
}

// enumTo takes one of the valid words.
func enumTo(name string, valid []string, dst func(*settings) *string) setter {
	return func(s *settings, v string) error {
		if err := plan.OneOf("value", v, valid); err != nil {
			return err
		}
		*dst(s) = v
		return nil
	}
}

func boolTo(dst func(*settings) *bool) setter {
	return func(s *settings, v string) error {
		b, err := strconv.ParseBool(v)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false; valid: true, false, or no value for true", v)
		}
		*dst(s) = b
		return nil
	}
}

func intTo(dst func(*settings) *int) setter {
	return func(s *settings, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || strings.HasPrefix(v, "+") {
			return fmt.Errorf("number %q is not valid; valid: a whole number", v)
		}
		*dst(s) = n
		return nil
	}
}

// listTo takes words separated by commas, each one of valid if that is given.
func listTo(valid []string, dst func(*settings) *[]string) setter {
	return func(s *settings, v string) error {
		var out []string
		for w := range strings.SplitSeq(v, ",") {
			w = strings.TrimSpace(w)
			if w == "" {
				return fmt.Errorf("list %q has an empty entry; valid: words separated by commas", v)
			}
			if valid != nil {
				if err := plan.OneOf("value", w, valid); err != nil {
					return err
				}
			}
			out = append(out, w)
		}
		*dst(s) = out
		return nil
	}
}

func seedTo(s *settings, v string) error {
	n, err := strconv.ParseUint(v, 0, 64)
	if err != nil {
		return fmt.Errorf("seed %q is not valid; valid: a whole number below 2^64, also as 0x...; 0 draws one", v)
	}
	s.cfg.Seed = n
	return nil
}

// scenarioTo takes scenarios separated by commas, or all of them.
func scenarioTo(s *settings, v string) error {
	switch v {
	case "list":
		s.list = listScenarios()
		return nil
	case "all":
		s.scenarios = plan.ScenarioNames()
		return nil
	}
	var names []string
	if err := listTo(append(plan.ScenarioNames(), "all", "list"), func(*settings) *[]string { return &names })(s, v); err != nil {
		return err
	}
	for i, n := range names {
		if n == "all" || n == "list" {
			return fmt.Errorf("%q in %q: it stands alone", n, v)
		}
		if slices.Contains(names[:i], n) {
			return fmt.Errorf("%q stands twice in %q", n, v)
		}
	}
	s.scenarios = names
	return nil
}

func dirtyTo(s *settings, v string) error {
	spec, err := mmapdirty.ParseSpec(v)
	if err != nil {
		return err
	}
	if n := spec.Total(); n > plan.MaxDirtyings {
		return fmt.Errorf("%q asks for %d dirtiers; valid: at most %d in all", v, n, plan.MaxDirtyings)
	}
	s.cfg.Dirty = nil
	for _, k := range mmapdirty.Kinds() {
		if n := spec.Count(k); n > 0 {
			s.cfg.Dirty = append(s.cfg.Dirty, plan.Dirty{Kind: k.String(), Count: n})
		}
	}
	return nil
}
