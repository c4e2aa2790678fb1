// Package arc checks and extends the Authenticated Received Chain of a message,
// RFC 8617: what hosts that have passed the message on have found out about it.
//
// Memory: the header section, up to headerMost, and nothing of the body.
package arc

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Results of a chain, RFC 8617 §4.4.
const (
	None = "none"
	Pass = "pass"
	Fail = "fail"
)

// MostSets bounds a chain, RFC 8617 §4.2.1. A longer one fails.
const MostSets = 50

// Set is what one host has added.
type Set struct {
	Instance int
	// Domain and Selector are those of the seal, in lower case. Only those of a
	// chain with the result Pass are proven.
	Domain, Selector string
	// Results is the content of ARC-Authentication-Results behind its instance:
	// authserv-id and results, unfolded.
	Results string
}

// Chain is what Verify found.
type Chain struct {
	Result string // None, Pass, Fail
	Why    string // of Fail
	// Temporary: Fail, since the DNS did not answer.
	Temporary bool
	// Sets are the hosts, the first one first; nil unless each has left a whole
	// set.
	Sets []Set
	// last is the highest instance that any field claims; ended says that the
	// newest seal declares the chain failed: nothing is added to it.
	last  int
	ended bool
}

// Lookup asks for TXT records; each text is one record. An error that is a
// net.Error with Temporary() makes a result temporary.
type Lookup func(name string) ([]string, error)

// broken is why a chain fails.
type broken string

// Error is the reason.
func (b broken) Error() string { return string(b) }

func breaks(format string, args ...any) error { return broken(fmt.Sprintf(format, args...)) }

// Verify reads a message and checks its chain, RFC 8617 §5.2: the newest
// message signature and every seal, newest first; it stops at the first that
// fails. The body is read only if there is a chain. The error is one of r.
func Verify(r io.Reader, lookup Lookup) (*Chain, error) {
	head, body, err := readHeader(r)
	if errors.Is(err, errHeader) {
		return &Chain{Result: Fail, Why: err.Error(), ended: true}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("check chain: %w", err)
	}
	sets, chain := collect(head)
	if chain.Result != "" {
		return chain, nil
	}
	keys := &keyring{lookup: lookup, known: make(map[string]keyAnswer)}
	newest := &sets[len(sets)-1]
	err = newest.verifyMessage(head, body, keys)
	var why broken
	if err != nil && !errors.As(err, &why) && !keys.temporary {
		return nil, fmt.Errorf("check chain: %w", err)
	}
	if err == nil {
		err = verifySeals(sets, keys)
	}
	chain.Result = Pass
	if err != nil {
		chain.Result, chain.Why, chain.Temporary = Fail, err.Error(), keys.temporary
	}
	return chain, nil
}

// parts are the three fields of a set.
type parts struct {
	aar, ams, seal *field
	amsTags        tags
	sealTags       tags
	results        string
}

// Names of the fields, in lower case.
const (
	aarName  = "arc-authentication-results"
	amsName  = "arc-message-signature"
	sealName = "arc-seal"
)

// collect arranges the sets, RFC 8617 §5.2 steps 1 to 3. The chain has its
// Result if that is known by now.
func collect(head []field) ([]parts, *Chain) {
	c := &Chain{}
	var sets [MostSets]parts
	var why error
	found := false
	for i := range head {
		f := &head[i]
		if f.name != aarName && f.name != amsName && f.name != sealName {
			continue
		}
		found = true
		n, err := sort(&sets, f)
		if why == nil {
			why = err
		}
		c.last = max(c.last, n)
	}
	if !found {
		c.Result = None
		return nil, c
	}
	if why == nil {
		why = whole(sets[:c.last])
	}
	if c.last > 0 && sets[c.last-1].sealTags["cv"] == Fail {
		c.ended, why = true, breaks("the seal i=%d says cv=fail", c.last)
	}
	if why != nil {
		c.Result, c.Why = Fail, why.Error()
		return nil, c
	}
	for i := range sets[:c.last] {
		s := &sets[i]
		c.Sets = append(c.Sets, Set{Instance: i + 1, Domain: strings.ToLower(s.sealTags["d"]),
			Selector: strings.ToLower(s.sealTags["s"]), Results: s.results})
	}
	return sets[:c.last], c
}

// sort puts a field into its set and returns its instance.
func sort(sets *[MostSets]parts, f *field) (int, error) {
	var tagged tags
	var instance, results string
	var err error
	if f.name == aarName {
		instance, results, err = splitResults(f.value())
	} else if tagged, err = parseTags(f.value()); err == nil {
		instance = tagged["i"]
	}
	if err != nil {
		return 0, breaks("%s: %v", f.name, err)
	}
	n, err := strconv.ParseUint(instance, 10, 16)
	if err != nil || n < 1 || instance[0] == '+' {
		return 0, breaks("%s without a proper i=", f.name)
	}
	if n > MostSets {
		return MostSets, breaks("more than %d sets", MostSets)
	}
	s := &sets[n-1]
	place := map[string]**field{aarName: &s.aar, amsName: &s.ams, sealName: &s.seal}[f.name]
	if *place != nil {
		return int(n), breaks("two fields %s i=%d", f.name, n)
	}
	*place = f
	switch f.name {
	case aarName:
		s.results = results
	case amsName:
		s.amsTags = tagged
	case sealName:
		s.sealTags = tagged
	}
	return int(n), nil
}

// splitResults reads i=N; and what follows it, RFC 8617 §4.1.1.
func splitResults(value string) (instance, results string, err error) {
	first, rest, ok := strings.Cut(value, ";")
	name, instance, eq := strings.Cut(first, "=")
	if !ok || !eq || strings.TrimSpace(name) != "i" {
		return "", "", errors.New("does not begin with i=")
	}
	return strings.TrimSpace(instance), strings.Join(strings.Fields(rest), " "), nil
}

// whole checks that no set lacks a field, and what seals say of the chain.
func whole(sets []parts) error {
	for i := range sets {
		s := &sets[i]
		want := Pass
		if i == 0 {
			want = None
		}
		switch {
		case s.aar == nil || s.ams == nil || s.seal == nil:
			return breaks("set i=%d is not complete", i+1)
		case s.sealTags["cv"] != want && s.sealTags["cv"] != Fail:
			return breaks("seal i=%d says cv=%.10q", i+1, s.sealTags["cv"])
		case s.sealTags["cv"] == Fail && i < len(sets)-1:
			return breaks("seal i=%d says cv=fail", i+1)
		}
		if _, has := s.sealTags["h"]; has {
			return breaks("seal i=%d has h=", i+1)
		}
	}
	return nil
}
