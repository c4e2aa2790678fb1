package policy

import (
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"strings"

	"mailserver/internal/nets"
	"mailserver/internal/pattern"
	"mailserver/schema"
)

// tableKind is where the rows of an access table come from.
type tableKind int

const (
	anyTable     tableKind = iota // rows of Access of every type
	hashTable                     // exact keys only
	cidrTable                     // networks only
	regexpTable                   // patterns only
	foreignTable                  // sqlite:, proxy: and such: any rows, but the name must exist
	staticTable                   // one action for every key
	inlineTable                   // rows in the list itself
	classTable                    // the class of the recipient
	bscatTable                    // rows of BScat
)

// tableRef is an access table as a list names it.
type tableRef struct {
	kind   tableKind
	name   string            // of the rows in Access
	action string            // staticTable
	rows   map[string]string // inlineTable, keys in lower case
}

// tableTypes are the types of postconf(5) that rows of Access stand for.
var tableTypes = map[string]tableKind{
	"hash": hashTable, "btree": hashTable, "dbm": hashTable, "sdbm": hashTable, "cdb": hashTable, "lmdb": hashTable,
	"texthash": hashTable, "cidr": cidrTable, "regexp": regexpTable, "pcre": regexpTable, "sqlite": foreignTable,
	"mysql": foreignTable, "pgsql": foreignTable,
}

// parseTable reads name, type:name, static:action, inline:{key=action ...}. A
// name may be the path of the file that it was elsewhere: what counts is the
// last part, without .query, .cf or .db.
func parseTable(word string) (tableRef, error) {
	if inner, braced := unbrace(word); braced {
		if words, err := tokens(inner); err != nil || len(words) != 1 {
			return tableRef{}, fmt.Errorf("table %q: options of a table are not built into this server", word)
		}
		word = inner
	}
	typ, rest, typed := strings.Cut(word, ":")
	if !typed {
		return namedTable(anyTable, word)
	}
	switch typ = strings.ToLower(typ); typ {
	case "proxy":
		return parseTable(rest)
	case "static":
		action, _ := unbrace(rest)
		if action == "" {
			return tableRef{}, fmt.Errorf("table %q has no action", word)
		}
		return tableRef{kind: staticTable, name: "static", action: action}, nil
	case "inline":
		return parseInline(rest)
	}
	kind, ok := tableTypes[typ]
	if !ok {
		return tableRef{}, fmt.Errorf("tables of type %q are not built into this server", typ)
	}
	return namedTable(kind, rest)
}

func namedTable(kind tableKind, name string) (tableRef, error) {
	name = path.Base(strings.TrimSpace(name))
	for _, ext := range []string{".query", ".cf", ".db"} {
		name = strings.TrimSuffix(name, ext)
	}
	if name == "" || name == "." || name == "/" || strings.ContainsAny(name, "{}") {
		return tableRef{}, fmt.Errorf("table without a name")
	}
	switch strings.ToLower(name) {
	case "access-rcpt", "access-rcptdomain":
		return tableRef{kind: classTable, name: name}, nil
	case "access-bscat", "bscat":
		return tableRef{kind: bscatTable, name: name}, nil
	}
	return tableRef{kind: kind, name: name}, nil
}

// parseInline reads {key=action, {key = action with words}}; postconf(5)
// inline: tables.
func parseInline(text string) (tableRef, error) {
	inner, braced := unbrace(text)
	words, err := tokens(inner)
	if !braced || err != nil || len(words) == 0 {
		return tableRef{}, fmt.Errorf("inline table %q is not {key=action, ...}", text)
	}
	ref := tableRef{kind: inlineTable, name: "inline", rows: make(map[string]string, len(words))}
	for _, w := range words {
		w, _ = unbrace(w)
		key, action, ok := strings.Cut(w, "=")
		key, action = strings.TrimSpace(key), strings.TrimSpace(action)
		if !ok || key == "" || action == "" {
			return tableRef{}, fmt.Errorf("inline table: %q is not key=action", w)
		}
		ref.rows[strings.ToLower(key)] = action
	}
	return ref, nil
}

// find looks a key up. full is false for a part of the subject, such as its
// domain: networks and patterns are only asked about the whole.
func (x *query) find(ref tableRef, key string, full bool) (action string, found bool, out outcome) {
	if key == "" {
		return "", false, dunno
	}
	action, err := x.findRow(ref, key, full)
	if err != nil {
		return "", false, x.lookupFailed(key, err)
	}
	x.traceLookup(ref.name, key, action)
	return action, action != "", dunno
}

func (x *query) findRow(ref tableRef, key string, full bool) (string, error) {
	switch ref.kind {
	case staticTable:
		return ref.action, nil
	case inlineTable:
		return ref.rows[strings.ToLower(key)], nil
	case bscatTable:
		targets, err := x.view.Backscatter(x.ctx, key)
		return strings.Join(targets, ","), err
	case hashTable:
		return x.view.Access(x.ctx, ref.name, key)
	case cidrTable, regexpTable:
		return x.findPattern(ref, key, full)
	}
	action, err := x.view.Access(x.ctx, ref.name, key)
	if err != nil || action != "" {
		return action, err
	}
	return x.findPattern(ref, key, full)
}

func (x *query) findPattern(ref tableRef, key string, full bool) (string, error) {
	if !full {
		return "", nil
	}
	t, err := x.rows(ref.name)
	if err != nil {
		return "", err
	}
	return t.find(ref.kind, key), nil
}

// rows returns the networks and patterns of a table, compiled.
func (x *query) rows(name string) (*rowTable, error) {
	list, err := x.view.AccessRows(x.ctx, name)
	if err != nil || len(list) == 0 {
		return &rowTable{}, err
	}
	return remember(x.made, x.made.tables, strings.ToLower(name), func() *rowTable {
		t := compileRows(list)
		for _, bad := range t.bad {
			x.warnf("access table %s: %s; the row is left out", name, bad)
		}
		return t
	}), nil
}

// rowTable is the networks and patterns of an access table, in their order.
type rowTable struct {
	rows []patternRow
	bad  []string
}

type patternRow struct {
	net    netip.Prefix   // of a cidr row
	re     *regexp.Regexp // of a regexp row
	not    bool           // ! before the pattern
	skip   int            // of if: the row behind its endif; 0: no if
	action string
}

// compileRows reads rows in their order. An if that cannot be read takes the
// rows up to its endif with it.
func compileRows(list []schema.AccessRow) *rowTable {
	t := &rowTable{}
	var open []int // rows that are an if
	dropped := 0   // depth within an if that is left out
	for _, r := range list {
		row, isIf, err := compileRow(r)
		if isEndif(r.Key) {
			switch {
			case dropped > 0:
				dropped--
			case len(open) == 0:
				t.bad = append(t.bad, fmt.Sprintf("%s row %q: endif without if", r.Type, r.Key))
			default:
				t.rows[open[len(open)-1]].skip = len(t.rows)
				open = open[:len(open)-1]
			}
			continue
		}
		if err != nil {
			t.bad = append(t.bad, fmt.Sprintf("%s row %q: %v", r.Type, r.Key, err))
		}
		switch {
		case isIf && (dropped > 0 || err != nil):
			dropped++
			continue
		case dropped > 0 || err != nil:
			continue
		case isIf:
			open = append(open, len(t.rows))
		}
		t.rows = append(t.rows, row)
	}
	for _, i := range open {
		t.rows[i].skip = len(t.rows)
		t.bad = append(t.bad, "if without endif")
	}
	return t
}

// isEndif reports the end of an if. Keys of a table are all different, so that
// anything may stand behind the word.
func isEndif(key string) bool {
	word, _, _ := strings.Cut(strings.TrimSpace(key), " ")
	return strings.EqualFold(word, "endif")
}

func compileRow(r schema.AccessRow) (row patternRow, isIf bool, err error) {
	row = patternRow{action: r.Action}
	key := strings.TrimSpace(r.Key)
	if isEndif(key) {
		return row, false, nil
	}
	if word, rest, ok := strings.Cut(key, " "); ok && strings.EqualFold(word, "if") {
		isIf, key = true, strings.TrimSpace(rest)
	}
	if rest, ok := strings.CutPrefix(key, "!"); ok {
		row.not, key = true, strings.TrimSpace(rest)
	}
	if r.Type == "cidr" {
		row.net, err = nets.Parse(key)
	} else {
		row.re, err = pattern.Parse(key)
	}
	return row, isIf, err
}

// find returns the action of the first row that matches.
func (t *rowTable) find(kind tableKind, key string) string {
	addr, addrErr := netip.ParseAddr(key)
	addr = addr.Unmap()
	for i := 0; i < len(t.rows); i++ {
		r := &t.rows[i]
		var m []int
		match := false
		switch {
		case r.re != nil && kind != cidrTable:
			m = r.re.FindStringSubmatchIndex(key)
			match = (m != nil) != r.not
		case r.re == nil && kind != regexpTable && addrErr == nil && r.net.Addr().Is4() == addr.Is4():
			// A network says nothing of addresses of the other kind, nor does !network.
			match = r.net.Contains(addr) != r.not
		}
		switch {
		case r.skip > 0 && !match:
			i = r.skip - 1
		case r.skip > 0 || !match:
		case m != nil:
			return pattern.Substitute(r.action, key, m)
		default:
			return r.action
		}
	}
	return ""
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
