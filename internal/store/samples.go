package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"pushgate/internal/proto"
)

// The keys of samples. One hash tag keeps them on one node of a cluster.
const (
	sampledKey   = "pg:fleet:{fleet}:sampled" // when each process was last sampled
	schemaPrefix = "pg:fleet:{fleet}:schema:"
	samplePrefix = "pg:fleet:{fleet}:samples:" // with "hour:" or "day:", and the process
)

const (
	schemaLife   = 25 * time.Hour
	stampLen     = 13 // digits of the time in ms before a sample
	samplesBatch = 8  // processes whose samples are read in one round trip
)

// PutSample implements the Log of package history.
func (s *Store) PutSample(ctx context.Context, process, schema string, sample []byte) (now time.Time, known bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	reply, err := run(ctx, s.rdb, putSampleScript, sampledKey, process, sample, schemaPrefix+schema, samplePrefix).Slice()
	if err != nil {
		return time.Time{}, false, fmt.Errorf("write a sample: %w", err)
	}
	if len(reply) != 2 {
		return time.Time{}, false, fmt.Errorf("write a sample: %w", errReply)
	}
	text, _ := reply[0].(string)
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("write a sample: %w", errReply)
	}
	return time.UnixMilli(ms), reply[1] == int64(1), nil
}

// PutSchema implements the Log of package history.
func (s *Store) PutSchema(ctx context.Context, name, schema string) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	if err := s.rdb.Set(ctx, schemaPrefix+name, schema, schemaLife).Err(); err != nil {
		return fmt.Errorf("write the schema of samples: %w", err)
	}
	return nil
}

// Schema implements the Log of package history.
func (s *Store) Schema(ctx context.Context, name string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	schema, err := s.rdb.Get(ctx, schemaPrefix+name).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return "", fmt.Errorf("read the schema of samples: %w", err)
	}
	return schema, nil
}

// Sampled implements the Log of package history.
func (s *Store) Sampled(ctx context.Context, day bool) (processes []string, now time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	since := time.Hour
	if day {
		since = 24 * time.Hour
	}
	reply, err := run(ctx, s.rdb, sampledScript, sampledKey, since.Milliseconds()).StringSlice()
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("read which processes have samples: %w", err)
	}
	if len(reply) == 0 {
		return nil, time.Time{}, fmt.Errorf("read which processes have samples: %w", errReply)
	}
	ms, err := strconv.ParseInt(reply[0], 10, 64)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("read which processes have samples: %w", errReply)
	}
	slices.Sort(reply[1:])
	return reply[1:], time.UnixMilli(ms), nil
}

// Samples implements the Log of package history. With day, the newest sample of the last hour
// follows those of the day.
func (s *Store) Samples(ctx context.Context, day bool, processes []string, f func(process string, samples []proto.Sample)) error {
	for batch := range slices.Chunk(processes, samplesBatch) {
		pipe := s.rdb.Pipeline()
		var lists []*redis.StringSliceCmd
		for _, process := range batch {
			if day {
				lists = append(lists, pipe.LRange(ctx, samplePrefix+"day:"+process, 0, -1), pipe.LRange(ctx, samplePrefix+"hour:"+process, -1, -1))
				continue
			}
			lists = append(lists, pipe.LRange(ctx, samplePrefix+"hour:"+process, 0, -1))
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return fmt.Errorf("read samples: %w", err)
		}
		each := len(lists) / len(batch)
		for i, process := range batch {
			var samples []proto.Sample
			for _, list := range lists[i*each : (i+1)*each] {
				samples = appendSamples(samples, list.Val())
			}
			f(process, samples)
		}
	}
	return nil
}

// appendSamples appends decoded entries. What is not an entry is left out.
func appendSamples(samples []proto.Sample, entries []string) []proto.Sample {
	for _, entry := range entries {
		if len(entry) < stampLen {
			continue
		}
		if at, err := strconv.ParseInt(entry[:stampLen], 10, 64); err == nil {
			samples = append(samples, proto.Sample{At: at, Text: entry[stampLen:]})
		}
	}
	return samples
}
