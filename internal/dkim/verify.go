package dkim

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/emersion/go-msgauth/dkim"
)

// Results of a signature, RFC 8601 §2.7.1.
const (
	Pass      = "pass"
	Fail      = "fail"
	PermError = "permerror"
	TempError = "temperror"
)

// Signature is one that was checked.
type Signature struct {
	Domain   string
	Selector string
	Result   string
	Why      string // of a Result other than Pass
}

// maxVerified bounds the signatures that are checked; RFC 6376 §6.1 leaves the
// number to us.
const maxVerified = 5

// Verify checks the signatures of a message. Head is what Inspect found in it.
// The DNS is asked from several goroutines; an error of lookup is a
// *net.DNSError. Memory does not depend on the size of the body. A signature
// with l= is not believed.
func Verify(r io.Reader, head *Header, lookup func(name string) ([]string, error)) ([]Signature, error) {
	if len(head.sigs) == 0 {
		return nil, nil
	}
	found, err := dkim.VerifyWithOptions(r, &dkim.VerifyOptions{LookupTXT: lookup, MaxVerifications: maxVerified})
	if err != nil && !errors.Is(err, dkim.ErrTooManySignatures) {
		return nil, fmt.Errorf("check signatures: %w", err)
	}
	var list []Signature
	for i, v := range found { // in the order of the fields
		s := Signature{Domain: strings.ToLower(v.Domain), Result: Pass}
		if i < len(head.sigs) {
			s.Selector = strings.ToLower(tagList(head.sigs[i])["s"])
		}
		if v.Err != nil {
			s.Why = strings.TrimPrefix(v.Err.Error(), "dkim: ")
			switch {
			case dkim.IsTempFail(v.Err):
				s.Result = TempError
			case dkim.IsPermFail(v.Err):
				s.Result = PermError
			default:
				s.Result = Fail
			}
		}
		list = append(list, s)
	}
	return list, nil
}
