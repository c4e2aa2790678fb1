package route

import (
	"context"
	"testing"

	"mailserver/internal/address"
)

// TestDoubleBounceSender: the name is the setting's, not one of ours.
func TestDoubleBounceSender(t *testing.T) {
	r, _ := newRouter(t, "INSERT OR REPLACE INTO Setting VALUES ('double_bounce_sender', 'Nobody-Home'), ('myhostname', 'mx.test'), ('mydestination', 'mx.test');\n")
	for name, want := range map[string]Kind{"nobody-home@mx.test": Discard, "double-bounce@mx.test": Failure} {
		to, err := address.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		list, err := r.Expand(context.Background(), to)
		if err != nil || len(list) != 1 || list[0].Kind != want {
			t.Errorf("%s: %+v, %v", name, list, err)
		}
	}
}
