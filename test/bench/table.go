package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// figures are what one run of a row on one server has shown, by metric.
type figures map[string]float64

// metric is a figure of a row, and what is wanted of it.
type metric struct {
	name string
	// digits is how many stand after the point.
	digits int
	// less: a smaller figure is better.
	less bool
	// times is how many times better than the peer it is to be; 0: no matter.
	times float64
	// atMost (less) or at least, whatever the peer does; 0: no matter.
	bound float64
}

// row is a piece of work that every server does.
type row struct {
	name    string
	metrics []metric
	run     func(*bench, *subject) (figures, error)
}

// bench is what rows need beside a server.
type bench struct {
	scale float64 // of the usual number of messages
	dir   string
	// found is what the first server has answered to a search, by row and command.
	found map[string]string
}

// count is n, scaled, and at least 20.
func (b *bench) count(n int) int { return max(20, int(float64(n)*b.scale)) }

// table collects the figures of all runs.
type table struct {
	servers []string
	rows    []row
	seen    map[string][]float64 // by row, server, metric
}

func newTable(all []*subject) *table {
	t := &table{seen: make(map[string][]float64)}
	for _, s := range all {
		t.servers = append(t.servers, s.name)
	}
	return t
}

func key(r, server, metric string) string { return r + "\x00" + server + "\x00" + metric }

func (t *table) add(r row, s *subject, f figures) {
	if !slices.ContainsFunc(t.rows, func(have row) bool { return have.name == r.name }) {
		t.rows = append(t.rows, r)
	}
	for name, v := range f {
		k := key(r.name, s.name, name)
		t.seen[k] = append(t.seen[k], v)
	}
}

// median is the middle of a sorted list, or the mean of the two in the middle.
func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(list))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// print writes the medians in a Markdown table.
func (t *table) print(w io.Writer) {
	fmt.Fprintf(w, "| work | figure | %s | times the peer | target | |\n|---|---|%s---|---|---|\n",
		strings.Join(t.servers, " | "), strings.Repeat("---|", len(t.servers)))
	for _, r := range t.rows {
		for _, m := range r.metrics {
			fmt.Fprintln(w, t.line(r, m))
		}
	}
}

func (t *table) line(r row, m metric) string {
	cells := []string{r.name, m.name}
	at := make(map[string]float64)
	for _, s := range t.servers {
		list := t.seen[key(r.name, s, m.name)]
		if len(list) == 0 {
			cells = append(cells, "")
			continue
		}
		at[s] = median(list)
		cells = append(cells, fmt.Sprintf("%.*f", m.digits, at[s]))
	}
	ratio := at["after"] / at["peer"]
	if m.less {
		ratio = at["peer"] / at["after"]
	}
	if at["peer"] == 0 || at["after"] == 0 {
		ratio = 0
	}
	times := ""
	if ratio > 0 {
		times = fmt.Sprintf("%.2f", ratio)
	}
	return "| " + strings.Join(append(cells, times, m.target(), m.verdict(at["after"], ratio)), " | ") + " |"
}

func (m metric) target() string {
	var list []string
	if m.times > 0 {
		list = append(list, fmt.Sprintf("≥ %g×", m.times))
	}
	switch {
	case m.bound > 0 && m.less:
		list = append(list, fmt.Sprintf("≤ %g", m.bound))
	case m.bound > 0:
		list = append(list, fmt.Sprintf("≥ %g", m.bound))
	}
	return strings.Join(list, ", ")
}

// verdict says whether the targets that could be judged are met.
func (m metric) verdict(after, ratio float64) string {
	judged, met := false, true
	if m.times > 0 && ratio > 0 {
		judged, met = true, ratio >= m.times
	}
	if m.bound > 0 && after > 0 {
		judged, met = true, met && (m.less && after <= m.bound || !m.less && after >= m.bound)
	}
	switch {
	case !judged:
		return ""
	case met:
		return "met"
	}
	return "missed"
}
