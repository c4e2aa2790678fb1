package imap

import (
	"context"
	"errors"
	"io"
	"math"

	"github.com/emersion/go-imap/v2"

	"mailserver/internal/message"
	"mailserver/storage"
)

// maxScored bounds the messages that are read to tell how relevant they are;
// older ones are the least relevant.
const maxScored = 5000

// scored is a message with how often it has each string.
type scored struct {
	counts []int
	size   int
}

// relevancy tells of messages, 1 to 100 each, how well the strings of FUZZY fit,
// RFC 6203 §4: by Okapi BM25, the best 100.
func (s *session) relevancy(ctx context.Context, a *searchArgs, uids []uint32) ([]int, error) {
	var keys []message.Key
	for i, k := range a.texts {
		if a.fuzzy[i] && len(k.Needle()) > 0 {
			keys = append(keys, k)
		}
	}
	scores := make([]int, len(uids))
	for i := range scores {
		scores[i] = 1
	}
	if len(keys) == 0 {
		return scores, nil
	}
	first := max(0, len(uids)-maxScored)
	list, err := s.count(ctx, keys, uids[first:])
	if err == nil {
		spreadScores(scores[first:], bm25(list, len(keys), int(s.box.view.Len())))
	}
	return scores, err
}

func (s *session) count(ctx context.Context, keys []message.Key, uids []uint32) ([]scored, error) {
	texts, counter := message.NewTexts(), message.NewCounter(keys)
	list := make([]scored, len(uids))
	for i, uid := range uids {
		body, err := s.box.view.Open(ctx, imap.UID(uid))
		if errors.Is(err, storage.ErrExpunged) {
			list[i].counts = make([]int, len(keys))
			continue
		}
		if err != nil {
			return nil, err
		}
		counter.Reset()
		f, _ := body.File()
		err = texts.Read(io.NewSectionReader(f, 0, 1<<62), counter)
		body.Close()
		if err != nil {
			return nil, err
		}
		list[i] = scored{append([]int(nil), counter.Counts...), counter.Size}
	}
	return list, nil
}

// bm25 scores messages of a mailbox with all of them.
func bm25(list []scored, keys, all int) []float64 {
	const k1, b = 1.2, 0.75
	mean := 1.0
	have := make([]float64, keys)
	for _, m := range list {
		mean += float64(m.size) / float64(len(list))
		for k, n := range m.counts {
			if n > 0 {
				have[k]++
			}
		}
	}
	out := make([]float64, len(list))
	for i, m := range list {
		for k, n := range m.counts {
			weight := math.Log(1 + (max(float64(all)-have[k], 0)+0.5)/(have[k]+0.5))
			often := float64(n)
			out[i] += weight * often * (k1 + 1) / (often + k1*(1-b+b*float64(m.size)/mean))
		}
	}
	return out
}

// spreadScores makes 1 to 100 of scores, as Dovecot does.
func spreadScores(out []int, scores []float64) {
	least, most := math.Inf(1), math.Inf(-1)
	for _, x := range scores {
		least, most = min(least, x), max(most, x)
	}
	if most <= least {
		return
	}
	for i, x := range scores {
		out[i] = max(1, int((x-least)/(most-least)*100))
	}
}

func (s *session) tellRelevancy(scores []int) {
	s.enc.Raw(" RELEVANCY (")
	for i, n := range scores {
		if i > 0 {
			s.enc.Raw(" ")
		}
		s.enc.Number(uint64(n))
	}
	s.enc.Raw(")")
}
