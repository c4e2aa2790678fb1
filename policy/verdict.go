package policy

import "slices"

// Action is what a verdict asks the SMTP session to do.
type Action int

const (
	// Continue: nothing speaks against it.
	Continue Action = iota
	// Refuse: answer with Code, keep the session.
	Refuse
	// Disconnect: answer with Code and end the session.
	Disconnect
)

// Names of what is judged, as the reply says them.
const (
	ClassClient    = "Client host"
	ClassReverse   = "Unverified Client host"
	ClassCert      = "Client certificate"
	ClassLogin     = "SASL login name"
	ClassHelo      = "Helo command"
	ClassSender    = "Sender address"
	ClassRecipient = "Recipient address"
	ClassEtrn      = "Etrn command"
	ClassData      = "Data command"
	ClassEndOfData = "End-of-data"
)

// Verdict is the outcome of a stage. A refusal is a value, not an error; its
// words are made at the edge, from Reason and the facts beside it
// (smtp/verdict.go), unless a row of the operator gives them.
type Verdict struct {
	Action Action
	Reason Reason

	// Code is the SMTP reply code, already with the operator's *_reject_code
	// and soft_bounce applied; 4xx or 5xx.
	Code int
	// Enhanced and Text replace the words of Reason where a row gave them:
	// an access(5) action, rsText of a class. Both may be ''. Enhanced is as
	// the row says it; the edge fits it to Code and Class.
	Enhanced string
	Text     string

	// Subject is what was judged ("user@example.org", "name[192.0.2.1]") and
	// Class how it is called: one of the Class names above.
	Subject string
	Class   string
	// Detail is the further fact that some Reasons name: a table, a list, a
	// domain, a new address.
	Detail string
	// Rule is the restriction that decided, with the classes that led to it:
	// "RC20-moderate/z-common/reject_unlisted_recipient".
	Rule string

	// Steps is what was evaluated, as text of many lines, where the session keeps
	// it (Session.KeepSteps).
	Steps string

	// By is why a recipient was taken: the restriction that permitted it, or the
	// class that had nothing against it. '' for everything else.
	By string

	// Event is what the log calls it: '' for a refusal that is answered;
	// "reject_warning", "warn", "info", "quarantine", "hold", "discard", "filter",
	// "redirect", "bcc" or "prepend" in Warnings.
	Event string

	Effects Effects
	// Warnings are what warn_if_reject, WARN, INFO and the effects say, for
	// the log only. Each has an Event.
	Warnings []Verdict
}

// OK reports whether nothing was refused.
func (v Verdict) OK() bool { return v.Action == Continue }

// Temporary reports whether the refusal is 4xx.
func (v Verdict) Temporary() bool { return v.Action != Continue && v.Code < 500 }

// Effects are what access(5) actions and policy services ask besides a yes or
// no. All but Prepend and Quarantine concern the whole message.
type Effects struct {
	// Quarantine are the recipients, by their order among those accepted, for
	// whom the message is to be put apart.
	Quarantine []int
	Discard    bool
	Hold       bool
	Filter     string // transport:nexthop
	Redirect   string // address
	Bcc        []string
	Prepend    []string // header lines, without line end
	// Reason is a header line for copies that are stored here and nowhere else:
	// why the message was taken.
	Reason string
}

// Merge adds the effects of a later verdict. The last FILTER and REDIRECT win.
// A client list is evaluated for every recipient: what it asks twice is done
// once.
func (e *Effects) Merge(o Effects) {
	for _, i := range o.Quarantine {
		if !slices.Contains(e.Quarantine, i) {
			e.Quarantine = append(e.Quarantine, i)
		}
	}
	if o.Reason != "" {
		e.Reason = o.Reason
	}
	e.Discard = e.Discard || o.Discard
	e.Hold = e.Hold || o.Hold
	if o.Filter != "" {
		e.Filter = o.Filter
	}
	if o.Redirect != "" {
		e.Redirect = o.Redirect
	}
	e.Bcc = addNew(e.Bcc, o.Bcc)
	e.Prepend = addNew(e.Prepend, o.Prepend)
}

func addNew(list, more []string) []string {
	for _, s := range more {
		if !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}
