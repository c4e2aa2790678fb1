package courier

import (
	"reflect"
	"strings"
	"testing"
)

func TestReadSizes(t *testing.T) {
	list, err := ReadSizes(strings.NewReader("/3 4 1155653122\n1155653122.M1P2.host,S=100:2,S 104 1:1155653122:0\nb 5 2:0\nc 7\nx\n../d 1 1:1:0\n"))
	var got []string
	for _, m := range list {
		got = append(got, m.Name+" "+m.UIDL())
	}
	want := []string{"1155653122.M1P2.host,S=100 UID1-1155653122", "b UID2", "c c"}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	if m := (Message{Name: `a+b"c`}); m.UIDL() != "a+2Bb+22c" {
		t.Error(m.UIDL())
	}
}

func TestReadKeywords(t *testing.T) {
	names, files, err := ReadKeywords(strings.NewReader("$Forwarded\nNonJunk\n\n1.a:0 1\n2.b:2,S:1\n3.c:9\n4\n"))
	if err != nil || !reflect.DeepEqual(names, []string{"$Forwarded", "NonJunk"}) || !reflect.DeepEqual(files, map[string]uint32{"1.a": 3, "2.b": 2}) {
		t.Error(names, files, err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("/3 4 1\na 1 1:1:0\nb 2\n")
	f.Add("a\nb\n\nx:0 1\ny:2,S:1\n")
	f.Add("INBOX\nINBOX.Sent\n")
	f.Fuzz(func(t *testing.T, in string) {
		list, _ := ReadSizes(strings.NewReader(in))
		for _, m := range list {
			if u := m.UIDL(); u == "" || strings.ContainsAny(u, " \r\n") || strings.Contains(m.Name, "/") {
				t.Errorf("%+v: %q", m, u)
			}
		}
		names, files, _ := ReadKeywords(strings.NewReader(in))
		for name, bits := range files {
			if name == "" || bits>>len(names) != 0 {
				t.Errorf("%q: %b of %q", name, bits, names)
			}
		}
		ReadSubscriptions(strings.NewReader(in))
	})
}
