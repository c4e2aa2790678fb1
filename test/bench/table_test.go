package main

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	rate := metric{name: "messages/s", times: 4}
	cpu := metric{name: "CPU, ms", digits: 2, less: true, bound: 0.5}
	tests := []struct {
		name        string
		m           metric
		peer, after []float64
		want        string
	}{
		{"met", rate, []float64{100, 90, 300}, []float64{410, 400, 50}, "| r | messages/s | 100 | 400 | 4.00 | ≥ 4× | met |"},
		{"missed", rate, []float64{100}, []float64{399}, "| r | messages/s | 100 | 399 | 3.99 | ≥ 4× | missed |"},
		{"no peer", rate, nil, []float64{399}, "| r | messages/s |  | 399 |  | ≥ 4× |  |"},
		{"bound", cpu, []float64{2}, []float64{0.4, 0.6}, "| r | CPU, ms | 2.00 | 0.50 | 4.00 | ≤ 0.5 | met |"},
		{"above the bound", cpu, nil, []float64{0.51}, "| r | CPU, ms |  | 0.51 |  | ≤ 0.5 | missed |"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tab := newTable([]*subject{{name: "peer"}, {name: "after"}})
			r := row{name: "r", metrics: []metric{tt.m}}
			for _, v := range tt.peer {
				tab.add(r, &subject{name: "peer"}, figures{tt.m.name: v})
			}
			for _, v := range tt.after {
				tab.add(r, &subject{name: "after"}, figures{tt.m.name: v})
			}
			var out strings.Builder
			tab.print(&out)
			if got := strings.Split(out.String(), "\n")[2]; got != tt.want {
				t.Errorf("%s\nwant %s", got, tt.want)
			}
		})
	}
}
