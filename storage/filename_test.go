package storage

import (
	"strings"
	"testing"
	"time"
)

func TestParseInfo(t *testing.T) {
	known := keywordBit(0) | keywordBit(1)
	for _, c := range []struct {
		info  string
		flags FlagSet
		odd   bool
	}{
		{":2,", 0, false},
		{":2,S", Seen, false},
		{":2,DFRST", systemFlags, false},
		{":2,TS", Seen | Deleted, true},
		{":2,PS", Seen, true},
		{":2,Sab", Seen | known, false},
		{":2,Sac", Seen | keywordBit(0), true},
		{"", 0, true},
		{":1,x", 0, true},
		{":2,S,extra", Seen, true},
	} {
		flags, odd := parseInfo(c.info, known)
		if flags != c.flags || odd != c.odd {
			t.Errorf("%q: got %x %v, want %x %v", c.info, flags, odd, c.flags, c.odd)
		}
	}
}

func TestChangeInfoKeepsWhatIsNotOurs(t *testing.T) {
	for _, c := range []struct{ info, want string }{
		{":2,PT", ":2,FSP"}, {":2,T,extra", ":2,FS,extra"}, {":2,", ":2,FS"}, {"", ":2,FS"}, {":2,az", ":2,FSz"}, {":1,abc", ":2,FS"},
	} {
		want(t, c.info, changeInfo(c.info, Seen|Flagged, keywordBit(0)), c.want)
	}
}

func TestNameFields(t *testing.T) {
	for _, c := range []struct {
		base          string
		size, virtual int64
		sec, usec     int64
		ok            bool
	}{
		{"1700000000.M123456P7Q1.host,S=12,W=14", 12, 14, 1700000000, 123456, true},
		{"1700000000.V801I5M99.host", -1, -1, 1700000000, 99, true},
		{"1700000000.7_1.host,S=12", 12, -1, 1700000000, 0, true},
		{"x,S=,W=+5", -1, -1, 0, 0, false},
		{"x,S=99999999999999999999,W=-1", -1, -1, 0, 0, false},
	} {
		size, virtual := nameSizes(c.base)
		sec, usec, ok := nameTime(c.base)
		if size != c.size || virtual != c.virtual || ok != c.ok || ok && (sec != c.sec || usec != c.usec) {
			t.Errorf("%s: got %d %d %d %d %v", c.base, size, virtual, sec, usec, ok)
		}
	}
}

func TestNamesDiffer(t *testing.T) {
	g := newNamer(func() time.Time { return time.Unix(1, 0) })
	a, b := g.next(), g.next()
	if a == b || strings.ContainsAny(a, "/:") {
		t.Error(a, b)
	}
}

func FuzzFileName(f *testing.F) {
	for _, s := range []string{"1700000000.M1P2Q3.host,S=12,W=14:2,FSab", "x", ":", "a:1,b", ":2,", "1.M.h,S=:2,Sz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, file string) {
		base, info := splitName(file)
		if base+info != file {
			t.Errorf("%q: %q %q", file, base, info)
		}
		nameSizes(base)
		nameTime(base)
		known := keywordBit(0) | keywordBit(25)
		flags, odd := parseInfo(info, known)
		if flags&^(systemFlags|known) != 0 {
			t.Errorf("%q has flags %x", info, flags)
		}
		if !odd && string(appendInfo(nil, flags)) != info {
			t.Errorf("%q is not odd", info)
		}
		again, _ := parseInfo(changeInfo(info, Seen, known), known)
		if again != Seen {
			t.Errorf("%q became %q", info, changeInfo(info, Seen, known))
		}
	})
}

func TestKeywordFile(t *testing.T) {
	got := parseKeywordFile("0 $Forwarded\n1 NonJunk\n\n26 no\n-1 no\nx no\n3\n4 a(b\n25 z\n")
	if len(got) != 3 || got[0] != "$Forwarded" || got[1] != "NonJunk" || got[25] != "z" {
		t.Error(got)
	}
	var k keywords
	for num, name := range got {
		k.set(num, name)
	}
	want(t, "written", k.formatFile(), "0 $Forwarded\n1 NonJunk\n25 z\n")
}

func FuzzKeywordFile(f *testing.F) {
	f.Add("0 $Forwarded\n1 NonJunk\n")
	f.Add("25 x\n26 y\n0 \n")
	f.Fuzz(func(t *testing.T, text string) {
		for num, name := range parseKeywordFile(text) {
			if num < 0 || num >= numLetters || !validKeyword(name) {
				t.Errorf("%d %q", num, name)
			}
		}
	})
}
