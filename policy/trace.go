package policy

import "fmt"

// Step is one restriction that was evaluated, for "policy test".
type Step struct {
	List    string   `json:"list"`    // setting whose list it stands in
	Depth   int      `json:"depth"`   // 1: in the list itself, 2: in a class of it ...
	Rule    string   `json:"rule"`    // as written, with its argument
	Outcome string   `json:"outcome"` // dunno, permit, or what it refused with
	Lookups []Lookup `json:"lookups,omitempty"`
}

// Lookup is a row or a DNS answer that a step asked for.
type Lookup struct {
	Where  string `json:"where"` // table or DNS type
	Key    string `json:"key"`
	Answer string `json:"answer"` // '' is none
}

// traceStep begins the step of an item; -1 when nobody asks.
func (x *query) traceStep(it *item) int {
	if !x.s.Explain {
		return -1
	}
	x.s.Trace = append(x.s.Trace, Step{List: x.list, Depth: x.depth, Rule: it.text})
	return len(x.s.Trace) - 1
}

func (x *query) traceOutcome(at int, out outcome) {
	if at < 0 {
		return
	}
	x.s.Trace[at].Outcome = x.outcomeText(out)
}

// traceLookup records what the current step asked for.
func (x *query) traceLookup(where, key, answer string) {
	if x.s.Explain && len(x.s.Trace) > 0 {
		st := &x.s.Trace[len(x.s.Trace)-1]
		st.Lookups = append(st.Lookups, Lookup{where, key, answer})
	}
}

func (x *query) outcomeText(out outcome) string {
	switch out {
	case permit:
		return "permit"
	case refused:
		return fmt.Sprintf("refuse %d by %s", x.refusal.Code, x.refusal.Rule)
	}
	return "dunno"
}
