package acl

import (
	"reflect"
	"testing"
)

func TestRightsOfLists(t *testing.T) {
	const file = "# who may what\nanyone l\nauthenticated lr\n-anyone r\nuser=joe lrws\nuser=\"x\" l\n\"group=two words\" k\ngroup=staff i\ngroup=old :lookup read\n-user=ann r\ngroup-override=jail l\nowner lrwstipekxa\n"
	list, err := ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		who  Who
		want string
	}{
		{"a kind replaces those before it, what is forbidden stays", Who{User: "new"}, "l"},
		{"named", Who{User: "joe"}, "lws"},
		{"groups together", Who{User: "eve", Groups: []string{"staff", "two words"}}, "ik"},
		{"a later kind forbids in place of the earlier", Who{User: "ann"}, "l"},
		{"override", Who{User: "joe", Groups: []string{"jail"}}, "l"},
		{"names of rights", Who{User: "eve", Groups: []string{"old"}}, "l"},
	} {
		want, bad := Parse(tt.want)
		if got := list.Rights(tt.who); bad != 0 || got != want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// FuzzParseFile: a file that was understood is written so that it says the same.
func FuzzParseFile(f *testing.F) {
	for _, s := range []string{"anyone lr\n", "\"user=a b\" l\n-user=joe :read insert\n", "group-override=g \n", "\"user=\\\"\" l", "x\n", "\"", "owner lrwstipekxacd\r\n#\n\n", "user= l\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > MaxFile {
			return
		}
		list, err := ParseFile(text)
		if err != nil {
			return
		}
		again, err := ParseFile(list.Format())
		if err != nil || !reflect.DeepEqual(list, again) {
			t.Errorf("%q became %q: %v", text, list.Format(), err)
		}
	})
}

// FuzzIMAPID: whatever SETACL names, the file stays one that can be read, with
// nobody in it but who was named.
func FuzzIMAPID(f *testing.F) {
	for _, s := range []string{"joe", "$staff", "!$staff", "anyone", "owner", "a b", "a\nuser=ann", "a\"b\\", "", "#x", "-x", "group=x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		id, err := IMAPID(name)
		if err != nil {
			return
		}
		list := List{}.Set(Entry{ID: id, Yes: 1, HasYes: true})
		again, err := ParseFile(list.Format())
		if err != nil || !reflect.DeepEqual(list, again) {
			t.Errorf("%q became %q: %v", name, list.Format(), err)
		}
	})
}
