package imap

import "strings"

// hide takes the capabilities away that imap_id_hide_capabilities says this
// client has trouble with. Commands go on to work.
func (s *session) hide(pairs []idPair) {
	var name, version string
	for _, p := range pairs {
		switch strings.ToLower(p.key) {
		case "name":
			name = p.value
		case "version":
			version = p.value
		}
	}
	s.hidden = hiddenFrom(s.cfg.HideCapabilities, name+"/"+version)
}

// maxClient bounds what is compared of a name and version.
const maxClient = 200

func hiddenFrom(rows []string, client string) map[string]bool {
	hidden := map[string]bool{}
	client = strings.ToLower(client[:min(len(client), maxClient)])
	for _, row := range rows {
		pattern, words, ok := strings.Cut(row, "=")
		if !ok || !glob(strings.ToLower(pattern), client) {
			continue
		}
		for _, word := range strings.Split(words, ",") {
			for _, c := range capabilityRows {
				if strings.EqualFold(c.name, word) {
					hidden[c.name] = true
				}
			}
		}
	}
	return hidden
}

// glob matches with * for any text and ? for any byte, in time that is at most
// the product of the lengths.
func glob(pattern, text string) bool {
	star, mark := -1, 0
	p, t := 0, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p, t = p+1, t+1
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
