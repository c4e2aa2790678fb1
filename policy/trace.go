package policy

import (
	"fmt"
	"strings"
)

// Bounds of the steps that a session keeps of one command.
const (
	mostSteps     = 200
	mostStepsText = 4000 // bytes
)

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
	if !x.explained() || !x.s.Explain && len(x.s.Trace) >= mostSteps {
		return -1
	}
	x.s.Trace = append(x.s.Trace, Step{List: x.listName(), Depth: x.depth, Rule: it.text})
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
	if x.explained() && len(x.s.Trace) > 0 {
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

// explained reports whether somebody asks for the steps.
func (x *query) explained() bool { return x.s.Explain || x.s.steps }

// muaLists are the settings that hold the lists of a submission listener.
var muaLists = map[string]string{
	"smtpd_client_restrictions": "mua_client_restrictions", "smtpd_helo_restrictions": "mua_helo_restrictions",
	"smtpd_sender_restrictions": "mua_sender_restrictions", "smtpd_relay_restrictions": "mua_relay_restrictions",
	"smtpd_recipient_restrictions": "mua_recipient_restrictions",
}

// listName is the setting that holds the list, for this listener.
func (x *query) listName() string {
	if x.s.client.Role == Submission {
		if mua := muaLists[x.list]; mua != "" {
			return mua
		}
	}
	return x.list
}

// beginSteps begins the record of one command; Explain has one of its own.
func (s *Session) beginSteps(cfg *Config) { s.steps = s.KeepSteps && cfg.TraceSteps && !s.Explain }

// endSteps is the record as text; a session that waits holds none of it.
func (s *Session) endSteps() string {
	if !s.steps || len(s.Trace) == 0 {
		return ""
	}
	text := StepsText(s.Trace)
	s.Trace, s.steps = nil, false
	if len(text) > mostStepsText {
		text = text[:strings.LastIndexByte(text[:mostStepsText], '\n')+1] + "  ...\n"
	}
	return text
}

// StepsText is one line for each list, step and look-up, a deeper one further in.
func StepsText(steps []Step) string {
	var b strings.Builder
	list := ""
	for _, step := range steps {
		if step.List != list {
			list = step.List
			fmt.Fprintf(&b, "  %s\n", list)
		}
		indent := strings.Repeat("  ", max(step.Depth, 1))
		fmt.Fprintf(&b, "  %s%s: %s\n", indent, step.Rule, step.Outcome)
		for _, l := range step.Lookups {
			answer := l.Answer
			if answer == "" {
				answer = "none"
			}
			fmt.Fprintf(&b, "    %s%s %s = %s\n", indent, l.Where, l.Key, strings.Map(harmless, answer))
		}
	}
	return b.String()
}
