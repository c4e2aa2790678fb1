package uidlist

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func read(text string) (h Header, list []Entry, err error) {
	h, err = Read(strings.NewReader(text), func(e *Entry) error {
		list = append(list, *e)
		return nil
	})
	return h, list, err
}

func TestRead(t *testing.T) {
	const name = "1795257459.M480302P8604.vm,S=43,W=46"
	for _, tt := range []struct {
		name, text string
		header     Header
		list       []Entry
	}{
		{"version 3", "3 V1795257459 N8 Gf5497f1c7374016b9c21000083ecc375\n2 :" + name + "\n4 W46 Pabc G12 :b\n",
			Header{3, 1795257459, 8, "f5497f1c7374016b9c21000083ecc375"}, []Entry{{2, "", name}, {4, "W46 Pabc G12", "b"}}},
		{"lines were appended", "3 V1 N2\n1 :a\n9 :b\n", Header{3, 1, 10, ""}, []Entry{{1, "", "a"}, {9, "", "b"}}},
		{"version 1", "1 1795257459 5\n1 a.b,S=3:2,S\n3 c\n", Header{1, 1795257459, 5, ""}, []Entry{{1, "", "a.b,S=3"}, {3, "", "c"}}},
		{"UIDL with a colon", "3 V1 N2\n1 PUID1:x :a\n", Header{3, 1, 2, ""}, []Entry{{1, "PUID1:x", "a"}}},
		{"nonsense between", "3 V1 N2\n\nx\n1\n1 \n1 a\n0 :a\n-1 :b\n4294967295 :c\n2 :a/b\n2 :ok\n2 :again\n1 :back\n" + strings.Repeat("x", 9000) + "\n3 :d\n",
			Header{3, 1, 4, ""}, []Entry{{2, "", "ok"}, {3, "", "d"}}},
		{"torn end", "3 V1 N2\n1 :a\n2 :ha", Header{3, 1, 2, ""}, []Entry{{1, "", "a"}}},
		{"unknown words", "3 V7 N2 Xx\n", Header{3, 7, 2, ""}, nil},
	} {
		h, list, err := read(tt.text)
		if err != nil || h != tt.header || !reflect.DeepEqual(list, tt.list) {
			t.Errorf("%s: %+v %+v %v", tt.name, h, list, err)
		}
	}
	for _, bad := range []string{"", "\n", "2 V1 N1\n", "3 N1\n", "3 V0 N1\n", "3 V4294967296 N1\n", "1 x 5\n", "3\n", strings.Repeat("3", 10000)} {
		if h, _, err := read(bad); err == nil {
			t.Errorf("%.20q: %+v", bad, h)
		}
	}
}

func TestTail(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("3 V7 N2\n")
	if h, last, ok := Tail(bytes.NewReader(b.Bytes()), int64(b.Len())); !ok || last != 0 || h.Validity != 7 {
		t.Error(h, last, ok)
	}
	for uid := uint32(1); uid < 3000; uid++ {
		b.Write(Append(nil, &Entry{uid, "", fmt.Sprint("name", uid)}))
		if _, last, ok := Tail(bytes.NewReader(b.Bytes()), int64(b.Len())); !ok || last != uid {
			t.Fatal(uid, last, ok)
		}
	}
	b.WriteString("3000 :torn")
	if _, _, ok := Tail(bytes.NewReader(b.Bytes()), int64(b.Len())); ok {
		t.Error("a torn line is taken")
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{"3 V1795257459 N8 Gf5\n2 :a,S=43\n4 W46 Pabc :b\n", "1 5 5\n1 a:2,S\n", "3 V1 N1\n1 :a\n1 :b\n\x00 :c\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		h, list, err := read(string(in))
		Tail(bytes.NewReader(in), int64(len(in)))
		if err != nil {
			return
		}
		out := AppendHeader(nil, h)
		for i := range list {
			out = Append(out, &list[i])
		}
		h2, again, err := read(string(out))
		if err != nil || h2.Validity != h.Validity || h2.Next != h.Next || len(again) != len(list) && !bytes.Contains(out, []byte("::")) {
			t.Fatalf("%q\n%+v %+v %v", out, h, h2, err)
		}
		for i := range list {
			if strings.Contains(list[i].Name, ":") {
				continue // what follows may look like flags
			}
			if again[i].UID != list[i].UID || again[i].Name != list[i].Name {
				t.Fatalf("%+v became %+v", list[i], again[i])
			}
		}
	})
}
