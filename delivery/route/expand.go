package route

import (
	"context"
	"fmt"
	"strings"

	"mailserver/internal/address"
	"mailserver/schema"
)

// expansion is one call of Expand.
type expansion struct {
	*query
	original address.Address
	first    string // the address before any alias
	out      []Destination
	calls    int
	above    map[string]bool // addresses whose aliases are being followed
	followed map[string]bool // addresses whose aliases were followed
	names    map[string]bool // the same, of aliases(5), with those above
	final    map[string]bool // addresses that have their destination
}

// Expand follows aliases and returns every destination, each once. An error is
// temporary: nothing was decided; ErrAliasLoop is one.
func (r *Router) Expand(ctx context.Context, to address.Address) ([]Destination, error) {
	q, err := r.begin(ctx)
	if err != nil {
		return nil, err
	}
	e := &expansion{query: q, original: to, above: make(map[string]bool), followed: make(map[string]bool),
		names: make(map[string]bool), final: make(map[string]bool)}
	if q.isSRS(to) {
		return e.bounce(ctx, to)
	}
	a, path, err := q.rewrite(ctx, q.qualify(to), "recipient_canonical", "envelope_recipient")
	if err == nil {
		a = q.masquerade(a, "envelope_recipient")
		var res *resolved
		if res, err = q.resolve(ctx, a); err == nil {
			e.first = fold(res)
			err = e.follow(ctx, a, path, 0)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("expand %s: %w", to, err)
	}
	return e.out, nil
}

// bounce leads from an address of SRS to the sender that it stands for.
func (e *expansion) bounce(ctx context.Context, to address.Address) ([]Destination, error) {
	sender, refusal := e.query.sender(to)
	if refusal != "" {
		code, text, _ := strings.Cut(refusal, " ")
		e.fail(&resolved{addr: to}, nil, true, code, text)
		return e.out, nil
	}
	if err := e.follow(ctx, sender, []string{"SRS -> " + sender.Plain()}, 0); err != nil {
		return nil, fmt.Errorf("expand %s: %w", to, err)
	}
	return e.out, nil
}

// Resolve returns where an address goes that aliases were followed for before:
// its transport and mailbox, no alias. An error is temporary.
func (r *Router) Resolve(ctx context.Context, to address.Address) (*Destination, error) {
	q, err := r.begin(ctx)
	if err != nil {
		return nil, err
	}
	res, err := q.resolve(ctx, to)
	if err != nil {
		return nil, err
	}
	e := &expansion{query: q, original: to, names: map[string]bool{fold(res): true}, final: make(map[string]bool)}
	if err := e.deliver(ctx, res, nil, 0); err != nil {
		return nil, fmt.Errorf("resolve %s: %w", to, err)
	}
	return &e.out[0], nil
}

// fold is the identity of an address: local parts know no case here, those of
// other hosts do.
func fold(res *resolved) string {
	if res.dom.class == schema.External {
		return res.addr.Local + "@" + res.dom.name
	}
	return strings.ToLower(res.addr.Local) + "@" + res.dom.name
}

// follow is the virtual stage, virtual(5). An address that leads back to itself
// is delivered as it is; one that two ways lead to is followed once.
func (e *expansion) follow(ctx context.Context, a address.Address, path []string, depth int) error {
	if e.calls++; e.tooFar(a, depth) {
		return fmt.Errorf("%w at %s", ErrAliasLoop, clipText(a.Plain()))
	}
	res, err := e.resolve(ctx, a)
	if err != nil {
		return err
	}
	key := fold(res)
	switch {
	case e.above[key] && e.final[key]: // its aliases(5) are being followed
		e.once(key+" user", func() { err = e.user(ctx, res, path, depth) })
		return err
	case e.above[key]:
		return e.deliver(ctx, res, path, depth)
	case e.followed[key]:
		return nil
	}
	hit, err := e.virtual(ctx, res)
	if err != nil {
		return err
	}
	if hit == nil {
		return e.deliver(ctx, res, path, depth)
	}
	e.above[key], e.followed[key] = true, true
	defer delete(e.above, key)
	if hit.names {
		e.names[key] = true
	}
	for _, t := range hit.targets {
		next := e.qualify(t)
		line := step(path, hit.how+" -> "+next.Plain())
		if err := e.lead(ctx, hit, next, line, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// lead goes on to a target. A target that is the alias itself with another
// extension ends there: it would come back for ever.
func (e *expansion) lead(ctx context.Context, hit *alias, next address.Address, path []string, depth int) error {
	if hit.row == nil || hit.row.Localpart == "" {
		return e.follow(ctx, next, path, depth)
	}
	user, _, _ := address.SplitExtension(next.Local, e.cfg.Delimiter)
	if !strings.EqualFold(user, hit.row.Localpart) || !strings.EqualFold(next.Domain, hit.row.Domain) {
		return e.follow(ctx, next, path, depth)
	}
	res, err := e.resolve(ctx, next)
	if err != nil {
		return err
	}
	if len(res.cands) > 0 && res.cands[0].row.Num != hit.row.Num && !res.cands[0].catchAll {
		return e.follow(ctx, next, path, depth) // a row of its own
	}
	if hit.names {
		e.names[fold(res)] = true
	}
	return e.deliver(ctx, res, path, depth)
}

// stepsPerRecipient bounds the work of an expansion: aliases may lead through
// this many others for each recipient that is allowed.
const stepsPerRecipient = 10

// tooFar obeys postconf(5) virtual_alias_recursion_limit,
// virtual_alias_expansion_limit and virtual_alias_address_length_limit.
func (e *expansion) tooFar(a address.Address, depth int) bool {
	return depth > e.cfg.RecursionLimit || len(e.out) >= e.cfg.ExpansionLimit ||
		e.calls > stepsPerRecipient*e.cfg.ExpansionLimit || len(a.Local)+len(a.Domain) >= e.cfg.AddressLimit
}

// clipText keeps overlong addresses out of the log.
func clipText(s string) string {
	if len(s) > 100 {
		return s[:100] + "..."
	}
	return s
}

// deliver is the end of the virtual stage: the address has its transport.
func (e *expansion) deliver(ctx context.Context, res *resolved, path []string, depth int) error {
	key := fold(res)
	if e.final[key] {
		return nil
	}
	e.final[key] = true
	path = step(path, res.dom.describe())
	if strings.HasPrefix(res.addr.Local, "-") {
		e.fail(res, path, true, "5.1.3", "bad address syntax")
		return nil
	}
	moved, err := e.movedTo(ctx, res)
	if err != nil {
		return err
	}
	if moved != "" {
		e.fail(res, path, true, "5.1.6", "User has moved to "+moved)
		return nil
	}
	h, err := e.transport(ctx, res)
	if err != nil {
		return err
	}
	return e.hand(ctx, res, h, step(path, "transport "+h.String()+" by "+h.why), depth)
}

func (d domain) describe() string {
	number := ""
	if d.class.IsMailbox() {
		number = fmt.Sprintf(" (%d)", d.class)
	}
	return "domain " + d.name + " is " + className(d.class) + number
}

// hand gives the address to its transport.
func (e *expansion) hand(ctx context.Context, res *resolved, h hop, path []string, depth int) error {
	switch h.name {
	case "local":
		return e.local(ctx, res, path, depth)
	case "virtual":
		e.mailbox(res, path)
	case "error", "retry":
		code, text, _ := strings.Cut(h.failure(), " ")
		e.fail(res, path, h.name == "error", code, text)
	case "discard":
		e.add(res, path, Destination{Kind: Discard, Text: h.nexthop})
	case "smtp", "relay", "lmtp":
		e.next(res, h, path)
	default:
		return e.program(ctx, res, h, path)
	}
	return nil
}

// program is a transport that a row of Pipe makes.
func (e *expansion) program(ctx context.Context, res *resolved, h hop, path []string) error {
	row, err := e.view.Pipe(ctx, clipKey(h.name))
	switch {
	case err != nil:
		return err
	case row == nil:
		e.fail(res, path, false, "4.3.0", "mail transport "+h.name+" is not implemented")
	default:
		e.next(res, h, path)
	}
	return nil
}

// next sends to another host.
func (e *expansion) next(res *resolved, h hop, path []string) {
	switch {
	case res.dom.class == schema.Relay && res.blocked():
		e.fail(res, path, true, "5.1.1", "User unknown in relay recipient table")
	case h.port == badPort:
		e.fail(res, step(path, "names of ports are not implemented"), false, "4.3.5", "mail system configuration error")
	default:
		e.add(res, path, Destination{Kind: Next, Transport: h.name, Nexthop: h.nexthop, MX: h.mx, Port: h.port,
			Choice: h.choice, External: res.dom.class == schema.External})
	}
}

// add records a destination.
func (e *expansion) add(res *resolved, path []string, d Destination) {
	d.Original, d.Address, d.Path, d.Aliased = e.original, res.addr, path, fold(res) != e.first
	e.out = append(e.out, d)
}

func (e *expansion) fail(res *resolved, path []string, permanent bool, enhanced, text string) {
	e.add(res, step(path, enhanced+" "+text), Destination{Kind: Failure, Permanent: permanent, Enhanced: enhanced, Text: text})
}

// mailbox delivers into a virtual mailbox, as virtual(8).
func (e *expansion) mailbox(res *resolved, path []string) {
	row := mailboxRow(res)
	if row == nil {
		e.fail(res, path, true, "5.1.1", `unknown user: "`+strings.ToLower(res.addr.Plain())+`"`)
		return
	}
	e.into(res, row, path)
}

// into delivers into the mailbox of a row, here or on its backend.
func (e *expansion) into(res *resolved, row *schema.Address, path []string) {
	if host := row.Mailbox.Host; host != "" {
		h := hop{name: "lmtp"}
		h.setNexthop(host)
		e.next(res, hop{name: "lmtp", nexthop: h.nexthop, port: h.port}, step(path, "mailbox is on "+host))
		return
	}
	box, err := e.box(row, res.dom.row)
	if err == nil {
		err = e.checkOwner(box)
	}
	if err != nil {
		e.fail(res, step(path, err.Error()), false, "4.3.5", "mail system configuration error")
		return
	}
	e.addBox(res, path, box)
}

func (e *expansion) addBox(res *resolved, path []string, box *Box) {
	line := fmt.Sprintf("mailbox %s of %s, uid %d, gid %d", box.Mail, box.User, box.UID, box.GID)
	e.add(res, step(path, line), Destination{Kind: Mailbox, Box: box})
}

// once runs fn for the first of equal keys.
func (e *expansion) once(key string, fn func()) {
	if !e.final[key] {
		e.final[key] = true
		fn()
	}
}

// name goes on to an address. One that is the name itself ends at its user.
func (e *expansion) name(ctx context.Context, res *resolved, t address.Address, how string, path []string, depth int) error {
	next := e.qualify(t)
	path = step(path, how+next.Plain())
	to, err := e.resolve(ctx, next)
	if err != nil {
		return err
	}
	if fold(to) == fold(res) {
		return e.user(ctx, to, path, depth)
	}
	return e.follow(ctx, next, path, depth+1)
}
