package server

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestProgramPages: code and constants of this program; nothing that is written,
// belongs to another file, or differs from its file.
func TestProgramPages(t *testing.T) {
	const smaps = `00400000-00f02000 r-xp 00000000 08:01 9 /usr/bin/mailserver
Size:              11272 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
00f02000-01939000 r--p 00b02000 08:01 9 /usr/bin/mailserver
Anonymous:             0 kB
01939000-01a88000 rw-p 01539000 08:01 9 /usr/bin/mailserver
Anonymous:             0 kB
01a88000-01a89000 r--p 01539000 08:01 9 /usr/bin/mailserver
Anonymous:             4 kB
01b00000-03adc000 rw-p 00000000 00:00 0
Anonymous:             0 kB
7f0000000000-7f0000001000 r-xp 00000000 08:01 7 /lib/libc.so.6
Anonymous:             0 kB
`
	got := programPages(strings.NewReader(smaps), "/usr/bin/mailserver")
	if want := []area{{0x400000, 0xf02000}, {0xf02000, 0x1939000}}; !slices.Equal(got, want) {
		t.Errorf("%x", got)
	}
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Skip(err)
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if own := programPages(f, program); len(own) == 0 {
		t.Error("this program is nowhere")
	}
	leaveProgram() // and it goes on
}
