package main

import (
	"flag"
	"strconv"
	"strings"

	"mailserver/schema"
)

// transportFlags declares the flags by which domains and addresses are sent
// elsewhere.
func transportFlags(fs *flag.FlagSet) {
	fs.String("transport", "", "`name:nexthop` as transport(5), such as lmtp:[10.0.0.5]:24; '' for none")
	fs.String("nexthop", "", "`host` to send to, [host] without MX look-up, host:port")
}

// transportField reads these flags; the Field is unset without them.
func transportField(t *schema.Tx, given map[string]string) (schema.Field, error) {
	text, ok := given["transport"]
	hop, isHop := given["nexthop"]
	switch {
	case ok && isHop:
		return schema.Field{}, usage("say --transport or --nexthop, not both")
	case !ok && !isHop:
		return schema.Field{}, nil
	case isHop:
		text = ":" + hop
	}
	if text == "" || text == ":" {
		return schema.To(nil), nil
	}
	spec, err := parseTransport(text)
	if err != nil {
		return schema.Field{}, err
	}
	num, err := t.Transport(spec)
	return schema.To(num), err
}

// parseTransport reads a value of transport(5): name:nexthop, where a nexthop
// is host, [host], host:port, unix:/path, inet:host:port, a list of these by
// comma, or empty. What error, retry, discard and programs take is a text.
func parseTransport(text string) (schema.TransportSpec, error) {
	name, hop, ok := strings.Cut(text, ":")
	if !ok {
		return schema.TransportSpec{}, usage("%q is not name:nexthop", text)
	}
	s := schema.TransportSpec{Name: name, MX: true}
	switch name {
	case "", "smtp", "relay", "lmtp":
	default:
		s.Nexthop = hop
		return s, nil
	}
	if strings.Contains(hop, ",") || strings.HasPrefix(hop, "unix:") || strings.HasPrefix(hop, "inet:") {
		s.Nexthop = hop
		return s, nil
	}
	if end := strings.IndexByte(hop, ']'); strings.HasPrefix(hop, "[") && end > 0 {
		s.MX, s.Nexthop, hop = false, hop[1:end], hop[end+1:]
		if hop != "" && hop[0] != ':' {
			return s, usage("%q: after ] comes :port or nothing", text)
		}
	} else if i := strings.LastIndexByte(hop, ':'); i >= 0 {
		s.Nexthop, hop = hop[:i], hop[i:]
	} else {
		s.Nexthop, hop = hop, ""
	}
	if hop == "" {
		return s, nil
	}
	port, err := strconv.Atoi(hop[1:])
	if err != nil || port < 1 || port > 65535 {
		return s, usage("%q: %q is not a port", text, hop[1:])
	}
	s.Port = port
	return s, nil
}
