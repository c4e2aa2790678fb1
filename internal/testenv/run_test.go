package testenv

import "testing"

func TestCompare(t *testing.T) {
	tests := []struct {
		name, got, want string
		ok              bool
	}{
		{"exact", "a\r\nb\r\n", "a\nb\n", true},
		{"pattern", "Date: 1\nb", "~ ^Date: \\d$\nb", true},
		{"skip", "x\ny\nb\n", "...\nb\n", true},
		{"skip the rest", "a\nb\nc\n", "a\n...\n", true},
		{"more follows", "a\nb\n", "a\n", false},
		{"missing", "a\n", "a\nb\n", false},
		{"different", "a\n", "b\n", false},
		{"skipped and not found", "a\nb\n", "...\nc\n", false},
	}
	for _, tt := range tests {
		if err := compare(tt.got, tt.want); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if holds("a 1\nb 2\n", "^a\n2$") != nil || holds("a\nb\n", "b\na") == nil {
		t.Error("the order of log lines does not count")
	}
}
