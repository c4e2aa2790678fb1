package route

import (
	"context"
	"strconv"
	"strings"

	"mailserver/schema"
)

// hop is where a transport leads.
type hop struct {
	name    string // smtp, lmtp, local, virtual, error, ...
	nexthop string // host; text of error and retry
	mx      bool
	port    int
	choice  Choice
	why     string // for the path
}

// transport finds the transport of an address: the first candidate that has
// one, else its domain, else .parent domains, else *, else its class.
func (q *query) transport(ctx context.Context, res *resolved) (hop, error) {
	h, err := q.classTransport(ctx, res)
	if err != nil || res.dom.class == schema.VirtualAlias {
		return h, err
	}
	for _, c := range res.cands {
		if usable(c.row.Transport) && c.row.Active != 0 {
			return h.override(c.row.Transport, res, "address "+rowName(c.row)), nil
		}
	}
	if res.dom.row != nil && usable(res.dom.row.Transport) {
		return h.override(res.dom.row.Transport, res, "domain "+res.dom.name), nil
	}
	return q.parentTransport(ctx, res, h)
}

func usable(t *schema.Transport) bool { return t != nil && t.Active }

// rowName says an address row; the catch-all is @domain.
func rowName(a *schema.Address) string { return strings.ToLower(a.String()) }

// parentTransport asks the rows .parent of each parent domain, and *.
func (q *query) parentTransport(ctx context.Context, res *resolved, h hop) (hop, error) {
	for _, name := range append(parents(res.dom.name), "*") {
		d, err := q.view.Domain(ctx, name)
		if err != nil {
			return h, err
		}
		if d != nil && d.Active && usable(d.Transport) {
			return h.override(d.Transport, res, "domain "+name), nil
		}
	}
	return h, nil
}

// classTransport is what the settings give a class.
func (q *query) classTransport(ctx context.Context, res *resolved) (hop, error) {
	class := "class " + className(res.dom.class)
	text := q.cfg.DefaultTransport
	switch c := res.dom.class; {
	case c == schema.Local:
		text = q.cfg.LocalTransport
	case c == schema.VirtualAlias:
		return hop{name: "error", nexthop: "5.1.1 User unknown in virtual alias table", why: class}, nil
	case c.IsMailbox():
		text = q.cfg.VirtualTransport
	case c == schema.Relay:
		text = q.cfg.RelayTransport
	}
	name, rest, _ := strings.Cut(text, ":")
	h := hop{name: name, why: class, choice: ByClass}
	switch {
	case rest != "":
		h.choice = BySetting
		h.setNexthop(rest)
	case res.dom.class == schema.Relay || res.dom.class == schema.External:
		return h, q.relayhost(ctx, res, &h)
	default:
		h.setDomain(res)
	}
	return h, nil
}

// relayhost takes the row of RelayHost for all senders, or the setting; without
// one mail goes to the recipient's domain.
func (q *query) relayhost(ctx context.Context, res *resolved, h *hop) error {
	row, err := q.view.RelayHost(ctx, "")
	if err != nil {
		return err
	}
	next := q.cfg.RelayHost
	if row != nil {
		next = row.Nexthop
		if row.Transport != "" && res.dom.class == schema.External {
			h.name = row.Transport
		}
	}
	if next == "" {
		h.setDomain(res)
		return nil
	}
	h.setNexthop(next)
	h.why += ", relayhost"
	return nil
}

// override applies a row of transport(5): an empty transport leaves that of
// the class; an empty next hop beside a transport is the recipient's domain.
func (h hop) override(t *schema.Transport, res *resolved, why string) hop {
	if t.Name == "" && t.Nexthop == "" {
		return h // ":" changes nothing
	}
	out := hop{name: h.name, why: why}
	if t.Name != "" {
		out.name = t.Name
	}
	switch {
	case t.Nexthop == "":
		out.setDomain(res)
	case out.isText():
		out.nexthop = t.Nexthop
		return out
	default:
		out.setNexthop(t.Nexthop)
	}
	out.mx = out.mx && t.MX
	if t.Port != 0 {
		out.port = t.Port
	}
	return out
}

// isText reports whether what stands behind the transport is a text.
func (h *hop) isText() bool { return h.name == "error" || h.name == "retry" || h.name == "discard" }

// speaks reports whether the transport goes to a host.
func (h *hop) speaks() bool {
	switch h.name {
	case "smtp", "lmtp", "relay", "local", "virtual":
		return true
	}
	return false
}

// setDomain makes the recipient's domain the next hop.
func (h *hop) setDomain(res *resolved) {
	if h.isText() {
		h.nexthop = ""
		return
	}
	if ip, ok := parseLiteral(res.dom.name); ok {
		h.nexthop, h.mx = ip.String(), false
		return
	}
	h.nexthop, h.mx = res.dom.name, true
}

// setNexthop reads host, [host], host:port, [host]:port, inet:host:port or
// unix:/path.
func (h *hop) setNexthop(s string) {
	if h.isText() {
		h.nexthop = s
		return
	}
	s = strings.TrimSpace(s)
	if !h.speaks() { // the words of a program
		h.nexthop, h.mx, h.port = s, true, 0
		return
	}
	if strings.Contains(s, ",") { // a list: each one says itself what it is
		h.nexthop, h.mx, h.port = s, true, 0
		return
	}
	if strings.HasPrefix(s, "unix:") {
		h.nexthop, h.mx, h.port = s, false, 0
		return
	}
	s, isInet := strings.CutPrefix(s, "inet:")
	h.nexthop, h.mx, h.port = s, !isInet, 0
	if host, rest, ok := strings.Cut(s, "]"); ok && strings.HasPrefix(host, "[") {
		h.nexthop, h.mx = host[1:], false
		h.port = portOf(strings.TrimPrefix(rest, ":"))
	} else if host, port, ok := strings.Cut(s, ":"); ok && !strings.Contains(port, ":") {
		h.nexthop, h.port = host, portOf(port)
	}
}

// badPort is a port that cannot be read: the row is refused, not guessed at.
const badPort = -1

// portOf reads a port; the names are those that transports use.
func portOf(s string) int {
	switch s {
	case "":
		return 0
	case "smtp":
		return 25
	case "submission":
		return 587
	case "submissions", "smtps":
		return 465
	case "lmtp":
		return 24
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return badPort
	}
	return int(n)
}

// failure is the text of an error: or retry: transport with its enhanced code,
// whose first digit is that of the transport.
func (h hop) failure() string {
	class, text := "5", strings.TrimSpace(h.nexthop)
	if h.name == "retry" {
		class = "4"
	}
	if text == "" {
		text = "Address is undeliverable"
	}
	code, rest, _ := strings.Cut(text, " ")
	if !isEnhanced(code) {
		return class + ".0.0 " + text
	}
	return class + code[1:] + " " + rest
}

// isEnhanced reports whether s is an enhanced status code, RFC 3463 §2.
func isEnhanced(s string) bool {
	f := strings.Split(s, ".")
	if len(f) != 3 || len(f[0]) != 1 || !strings.Contains("245", f[0]) {
		return false
	}
	for _, n := range f[1:] {
		if _, err := strconv.ParseUint(n, 10, 10); err != nil || len(n) > 3 {
			return false
		}
	}
	return true
}

// String writes the hop as transport(5) does.
func (h hop) String() string {
	host := h.nexthop
	if host != "" && !h.mx && !h.isText() && h.name != "local" && h.name != "virtual" && !strings.HasPrefix(host, "unix:") {
		host = "[" + host + "]"
	}
	if h.port != 0 {
		host += ":" + strconv.Itoa(h.port)
	}
	return h.name + ":" + host
}
