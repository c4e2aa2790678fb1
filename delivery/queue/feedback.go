package queue

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// feedback is by how much a delivery moves the window of its destination.
type feedback struct {
	base float64
	per  string // "", concurrency, sqrt_concurrency
}

// parseFeedback reads number or number / concurrency or number /
// sqrt_concurrency. postconf(5) default_destination_concurrency_positive_feedback
func parseFeedback(s string) (feedback, error) {
	number, per, divided := strings.Cut(s, "/")
	f := feedback{per: strings.TrimSpace(per)}
	var err error
	f.base, err = strconv.ParseFloat(strings.TrimSpace(number), 64)
	known := !divided && per == "" || f.per == "concurrency" || f.per == "sqrt_concurrency"
	if err != nil || !known || !(f.base >= 0 && f.base <= 1) {
		return feedback{}, fmt.Errorf("%q: must be a number from 0 to 1, alone or divided by concurrency or sqrt_concurrency", s)
	}
	return f, nil
}

func (f feedback) of(window float64) float64 {
	switch f.per {
	case "concurrency":
		return f.base / window
	case "sqrt_concurrency":
		return f.base / math.Sqrt(window)
	}
	return f.base
}

// Validate names the first setting whose value cannot be obeyed.
func (c *Config) Validate() error {
	for _, s := range []struct{ name, value string }{
		{"default_destination_concurrency_positive_feedback", c.PositiveFeedback},
		{"default_destination_concurrency_negative_feedback", c.NegativeFeedback},
	} {
		if _, err := parseFeedback(s.value); err != nil {
			return fmt.Errorf("setting %s: %w", s.name, err)
		}
	}
	return nil
}
