package policy

import "strings"

// facts are the names that templates of replies may use: default_rbl_reply,
// rbl_reply_maps.
func (x *query) facts() map[string]string {
	f := map[string]string{
		"client":              x.s.nameAddr(),
		"client_address":      x.s.client.Addr.String(),
		"client_name":         x.s.client.Name,
		"reverse_client_name": x.s.client.ReverseName,
		"helo_name":           x.s.helo,
		"server_name":         x.cfg.Hostname,
	}
	if x.s.sender != nil {
		addressFacts(f, "sender", x.sender())
	}
	if x.rcpt != nil {
		addressFacts(f, "recipient", x.recipient())
	}
	return f
}

func addressFacts(f map[string]string, name, addr string) {
	if addr == "" {
		f[name], f[name+"_name"], f[name+"_domain"] = "<>", "<>", ""
		return
	}
	f[name], f[name+"_name"], f[name+"_domain"] = addr, addr, ""
	if at := strings.LastIndexByte(addr, '@'); at >= 0 {
		f[name+"_name"], f[name+"_domain"] = addr[:at], addr[at+1:]
	}
}

// maxExpansion bounds nesting of conditions in a template.
const maxExpansion = 10

// expand fills a template in: $name, ${name}, ${name?text if it is there},
// ${name:text if it is not}, $$. Bytes that are not printable ASCII become _
// (postconf(5) smtpd_expansion_filter).
func expand(template string, facts map[string]string) string {
	return expandDepth(template, facts, 0)
}

func expandDepth(template string, facts map[string]string, depth int) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(template, "$")
		b.WriteString(before)
		if !found || rest == "" || depth > maxExpansion {
			return b.String()
		}
		var text string
		text, template = expandOne(rest, facts, depth)
		b.WriteString(text)
	}
}

// expandOne expands what follows a dollar sign and returns what is behind it.
func expandOne(s string, facts map[string]string, depth int) (text, rest string) {
	if s[0] == '$' {
		return "$", s[1:]
	}
	if s[0] != '{' && s[0] != '(' {
		end := 0
		for end < len(s) && (isAlnum(s[end]) || s[end] == '_') {
			end++
		}
		return filter(facts[s[:end]]), s[end:]
	}
	body, rest := braced(s)
	cut := strings.IndexAny(body, "?:")
	if cut < 0 {
		return filter(facts[body]), rest
	}
	value := facts[body[:cut]]
	then := body[cut+1:]
	if (value != "") != (body[cut] == '?') {
		return "", rest
	}
	return expandDepth(then, facts, depth+1), rest
}

// braced splits "{body}rest" at the brace that closes.
func braced(s string) (body, rest string) {
	open, closing := s[0], byte('}')
	if open == '(' {
		closing = ')'
	}
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case open:
			depth++
		case closing:
			if depth--; depth == 0 {
				return s[1:i], s[i+1:]
			}
		}
	}
	return s[1:], ""
}

func filter(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r > '~' {
			return '_'
		}
		return r
	}, s)
}
