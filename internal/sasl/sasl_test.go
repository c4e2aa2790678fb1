package sasl

import (
	"errors"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
)

var errNo = errors.New("no")

// exchange feeds responses to a server until it ends; a nil response is none.
func exchange(s sasl.Server, responses ...[]byte) (challenges []string, done bool, err error) {
	for _, r := range responses {
		var c []byte
		c, done, err = s.Next(r)
		if done || err != nil {
			return challenges, done, err
		}
		challenges = append(challenges, string(c))
	}
	return challenges, done, err
}

func record(got *Credentials) Verify {
	return func(c Credentials) error { *got = c; return nil }
}

func TestPlain(t *testing.T) {
	long := strings.Repeat("x", MaxPassword+1)
	for _, tt := range []struct {
		name, message string
		want          Credentials
		err           error
	}{
		{"user and password", "\x00ann@box.example\x00pw", Credentials{"", "ann@box.example", "pw"}, nil},
		{"authzid", "bob\x00ann\x00p w", Credentials{"bob", "ann", "p w"}, nil},
		{"one NUL", "ann\x00pw", Credentials{}, ErrSyntax},
		{"three NULs", "\x00ann\x00p\x00w", Credentials{}, ErrSyntax},
		{"no user", "\x00\x00pw", Credentials{}, ErrSyntax},
		{"no password", "\x00ann\x00", Credentials{}, ErrSyntax},
		{"nothing", "", Credentials{}, ErrSyntax},
		{"long password", "\x00ann\x00" + long, Credentials{}, ErrSyntax},
		{"long name", "\x00" + long + "\x00pw", Credentials{}, ErrSyntax},
	} {
		for _, initial := range []bool{true, false} {
			var got Credentials
			in := [][]byte{nil, []byte(tt.message)}
			if initial {
				in = in[1:]
			}
			ch, done, err := exchange(NewPlain(record(&got)), in...)
			if err != tt.err || done != (tt.err == nil) || got != tt.want {
				t.Errorf("%s, initial %v: %+v, %v, %v", tt.name, initial, got, done, err)
			}
			if !initial && (len(ch) != 1 || ch[0] != "") {
				t.Errorf("%s: challenges %q", tt.name, ch)
			}
		}
	}
}

func TestLogin(t *testing.T) {
	var got Credentials
	ch, done, err := exchange(NewLogin(record(&got)), nil, []byte("ann"), []byte("pw"))
	if err != nil || !done || got != (Credentials{"", "ann", "pw"}) || strings.Join(ch, "|") != "Username:|Password:" {
		t.Errorf("asked: %q, %+v, %v, %v", ch, got, done, err)
	}
	ch, done, err = exchange(NewLogin(record(&got)), []byte("bob"), []byte("pw2"))
	if err != nil || !done || got != (Credentials{"", "bob", "pw2"}) || strings.Join(ch, "|") != "Password:" {
		t.Errorf("initial response: %q, %+v, %v, %v", ch, got, done, err)
	}
	for name, in := range map[string][][]byte{
		"empty user":     {nil, {}},
		"empty initial":  {{}},
		"empty password": {nil, []byte("ann"), {}},
		"NUL in user":    {nil, []byte("a\x00b")},
		"NUL in pw":      {nil, []byte("ann"), []byte("a\x00b")},
		"long user":      {nil, []byte(strings.Repeat("x", MaxName+1))},
	} {
		if _, done, err := exchange(NewLogin(record(&got)), in...); err != ErrSyntax || done {
			t.Errorf("%s: %v, %v", name, done, err)
		}
	}
}

func TestRefusalEndsTheExchange(t *testing.T) {
	refuse := func(Credentials) error { return errNo }
	for name, s := range map[string]sasl.Server{"PLAIN": NewPlain(refuse), "LOGIN": NewLogin(refuse)} {
		in := [][]byte{[]byte("\x00ann\x00pw")}
		if name == "LOGIN" {
			in = [][]byte{[]byte("ann"), []byte("pw")}
		}
		if _, done, err := exchange(s, in...); err != errNo || done {
			t.Errorf("%s: %v, %v", name, done, err)
		}
		if _, _, err := s.Next([]byte("\x00ann\x00pw")); err != sasl.ErrUnexpectedClientResponse {
			t.Errorf("%s goes on after its end: %v", name, err)
		}
	}
}

// FuzzNext holds that whatever is sent, credentials that reach Verify are
// bounded, whole and without NUL, and at most one pair does.
func FuzzNext(f *testing.F) {
	f.Add(true, []byte("\x00ann\x00pw"), []byte("x"))
	f.Add(false, []byte("ann"), []byte("pw"))
	f.Add(false, []byte{}, []byte{})
	f.Add(true, []byte("a\x00\x00\x00"), []byte("\x00"))
	f.Fuzz(func(t *testing.T, isPlain bool, first, second []byte) {
		calls := 0
		verify := func(c Credentials) error {
			calls++
			if c.User == "" || c.Password == "" || len(c.User) > MaxName || len(c.Password) > MaxPassword ||
				strings.Contains(c.Authzid+c.User+c.Password, "\x00") {
				t.Errorf("unchecked credentials %+q", c)
			}
			return nil
		}
		s := NewLogin(verify)
		if isPlain {
			s = NewPlain(verify)
		}
		s.Next(first)
		s.Next(second)
		s.Next(second)
		if calls > 1 {
			t.Errorf("%d verifications of one exchange", calls)
		}
	})
}
