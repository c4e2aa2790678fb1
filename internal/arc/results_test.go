package arc

import "testing"

func TestPassed(t *testing.T) {
	for text, want := range map[string]bool{
		"mx.example; spf=fail smtp.mailfrom=x.example; dmarc=pass (p=reject) header.from=a.example": true,
		"mx.example; DMARC=Pass header.from=A.example.":                                             true,
		"mx.example; dmarc=fail header.from=a.example":                                              false,
		"mx.example; dmarc=pass header.from=b.example":                                              false,
		"mx.example (; dmarc=pass header.from=a.example); spf=none":                                 false,
		"mx.example; spf=pass reason=\"; dmarc=pass header.from=a.example\"":                        false,
		"mx.example; spf=pass (nested (;) dmarc=pass header.from=a.example":                         false,
		"dmarc=pass header.from=a.example":                                                          false,
		"mx.example; dmarc=pass":                                                                    false,
		"mx.example; dmarc=passed header.from=a.example":                                            false,
		"": false,
	} {
		if got := (&Set{Results: text}).Passed("dmarc", "header.from", "a.example"); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
