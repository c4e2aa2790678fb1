package policy_test

import (
	"context"
	"strings"
	"testing"

	"mailserver/policy"
)

// BenchmarkRcpt is one verdict of a session that goes on, with the class of
// the recipient, rows cached, the file asked for changes each time.
func BenchmarkRcpt(b *testing.B) {
	for name, num := range map[string]int{"accepted": 40, "refused": 50, "accepted, with steps": 40, "refused, with steps": 50} {
		b.Run(name, func(b *testing.B) {
			v := newEnv(b)
			v.access("senders", "example.org", "REJECT")
			v.class("z-common", "z-helo, z-unlist, z-sender, check_sender_access senders")
			fixed, err := v.deps.Config(ctx)
			if err != nil {
				b.Fatal(err)
			}
			v.deps.Config = func(context.Context) (*policy.Config, error) { return fixed, nil }
			if strings.HasSuffix(name, "steps") {
				fixed.TraceSteps = "refused"
			}
			v.e = policy.New(v.deps)
			s := v.open(stranger, "mx.example.net", "a@example.net")
			s.KeepSteps = true
			to := here("u@here.example", num)
			b.ReportAllocs()
			for b.Loop() {
				s.Rcpt(ctx, to)
			}
		})
	}
}
