package policy

import (
	"cmp"
	"fmt"
	"strings"
)

// Bounds of the steps that a session keeps of one command, and of the refusals
// in a second that have them: who tries names is not to fill state.sqlite.
const (
	mostSteps     = 200
	mostStepsText = 4000 // bytes
	mostTold      = 20
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
	if !x.explained() {
		return -1
	}
	n := len(x.s.Trace)
	switch {
	case x.s.steps != nil && n == mostSteps:
		return -1
	case x.s.steps != nil && n < cap(x.s.Trace):
		x.s.Trace = x.s.Trace[:n+1] // with its list of look-ups
	default:
		x.s.Trace = append(x.s.Trace, Step{})
	}
	st := &x.s.Trace[n]
	st.List, st.Depth, st.Rule, st.Outcome, st.Lookups = x.listName(), x.depth, it.text, "", st.Lookups[:0]
	return n
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
func (x *query) explained() bool { return x.s.Explain || x.s.steps != nil }

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

// beginSteps begins the record of one command; Explain has one of its own. What
// it is written to is shared: a verdict that needs no text of it costs no memory.
func (s *Session) beginSteps(cfg *Config) {
	if !s.KeepSteps || s.Explain || strings.EqualFold(cfg.TraceSteps, "no") {
		return
	}
	if s.steps, _ = s.e.steps.Get().(*[]Step); s.steps == nil {
		s.steps = new([]Step)
	}
	s.Trace = (*s.steps)[:0]
}

// endSteps ends the record; with keep it is returned as text.
func (s *Session) endSteps(keep bool) (text string) {
	if s.steps == nil {
		return ""
	}
	if keep {
		text = StepsText(s.Trace)
	}
	*s.steps = s.Trace
	s.e.steps.Put(s.steps)
	s.Trace, s.steps = nil, nil
	if len(text) > mostStepsText {
		text = text[:strings.LastIndexByte(text[:mostStepsText], '\n')+1] + "  ...\n"
	}
	return text
}

// mayTell reports whether one more refusal of this second is to have its steps.
func (e *Engine) mayTell() bool {
	if now := e.d.Now().Unix(); e.told.second.Swap(now) != now {
		e.told.n.Store(0)
	}
	return e.told.n.Add(1) <= mostTold
}

// StepsText is one line for each list, step and look-up, a deeper one further in.
func StepsText(steps []Step) string {
	var b strings.Builder
	write := func(depth int, parts ...string) {
		b.WriteString("  ")
		for range depth {
			b.WriteString("  ")
		}
		for _, p := range parts {
			b.WriteString(p)
		}
		b.WriteByte('\n')
	}
	list := ""
	for _, step := range steps {
		if step.List != list {
			list = step.List
			write(0, list)
		}
		depth := max(step.Depth, 1)
		write(depth, step.Rule, ": ", step.Outcome)
		for _, l := range step.Lookups {
			write(depth+1, l.Where, " ", l.Key, " = ", strings.Map(harmless, cmp.Or(l.Answer, "none")))
		}
	}
	return b.String()
}
