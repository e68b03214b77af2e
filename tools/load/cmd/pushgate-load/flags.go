package main

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"pushgate/tools/load"
)

// flags returns the flag set that fills in a.
func (a *arguments) flags() *flag.FlagSet {
	f := flag.NewFlagSet("load", flag.ContinueOnError)
	f.Func("sub", "`URL` where to subscribe, such as http://127.0.0.1:8010; several with commas are taken in turns", list(&a.Sub, text))
	f.Func("pub", "`URL` where to publish, such as http://127.0.0.1:9010; likewise", list(&a.Pub, text))
	f.StringVar(&a.key, "key", "", "the portal's signature `key`; PUSHGATE_KEYS if not given, which others on this machine cannot see")
	f.StringVar(&a.ClientID, "client-id", "", "`id` of the portal, where several share the server")
	f.BoolVar(&a.Sign, "sign", false, "sign posts too, for a publisher that does not take them from here without")
	f.StringVar((*string)(&a.Peer), "peer", string(load.Pushgate), "`kind` of server: pushgate, node (the original), nchan, whose URLs have {channel} in them, centrifugo, or pushpin, with {channel} where to subscribe")
	f.StringVar((*string)(&a.Form), "form", string(load.Text), "`form` of messages for subscribers: text, protobuf, jsonrpc, json or sse")
	f.StringVar((*string)(&a.Transport), "transport", "", "ws or poll: `how` messages travel to subscribers (default ws, or what the scenario is about)")
	f.StringVar(&a.Label, "label", "", "`name` of the server in reports (default the peer)")

	f.StringVar(&a.Variant, "variant", "", "`name` of this kind of run in reports (default scenario, size and rate)")

	f.IntVar(&a.Connections, "connections", 0, "`number` of subscribers")
	f.Func("rate", "`posts` per second, over all channels; \"max\" is flat out, each publisher one at a time", rate(&a.Rate))
	f.DurationVar(&a.Duration, "duration", 0, "`time` to post, or to hold idle connections")
	f.IntVar(&a.Size, "size", 0, "`bytes` of a message (default 256; slow: 10240)")
	f.IntVar(&a.Publishers, "publishers", 0, "`number` of connections that post")
	f.IntVar(&a.Concurrency, "concurrency", 0, "`handshakes` under way at a time (default 256; return: 2000)")
	f.IntVar(&a.Missed, "missed", 0, "`messages` that each sleeper misses (return)")
	f.IntVar(&a.Slow, "slow", 0, "`subscribers` that do not read (slow)")
	f.Func("volume", "`megabytes` of messages that are sent past slow readers (slow)", func(s string) error {
		n, err := strconv.ParseInt(s, 10, 32)
		a.Volume = n * 1e6
		return err
	})
	f.DurationVar(&a.Settle, "settle", 0, "`rest` before memory is read (default 2s)")
	f.DurationVar(&a.Patience, "patience", 0, "how long nothing may arrive before what is missing is `lost` (default 10s)")
	f.BoolVar(&a.quick, "quick", false, "a tenth of the sizes, to see whether it works")

	f.Func("sources", "`addresses` of this machine to connect from, with commas; 127.0.0.1 and those after it are taken by themselves where ports run out", list(&a.Sources, netip.ParseAddr))
	f.Func("pids", "process `ids` of the server, with commas, for memory and CPU; children count too", list(&a.PIDs, strconv.Atoi))
	f.Func("store-pids", "process `ids` of its Redis, likewise", list(&a.StorePIDs, strconv.Atoi))
	f.Func("metrics", "`URLs` of /metrics of its processes, with commas, where they are on another machine", list(&a.Metrics, text))
	f.StringVar(&a.json, "json", "", "`file` to append the report to, one line")
	f.StringVar(&a.html, "html", "", "`file` to write a page with plots to; with --json, of all runs in that file")
	f.StringVar(&a.goals, "goals", "", "`file` of lines to compare (compare)")
	f.BoolVar(&a.quiet, "quiet", false, "no progress")
	f.Usage = func() { usage(f) }
	return f
}

// usage prints what the program does, its scenarios and its flags.
func usage(f *flag.FlagSet) {
	w := f.Output()
	fmt.Fprint(w, `usage: pushgate load SCENARIO --sub URL --pub URL [flags]

Puts a push server under load and checks every message: the exit code is 1 if any was lost, doubled or out of order. Of posts that the server
refuses nothing is promised: they are counted, and are no fault unless all of them are.

`)
	for _, s := range load.Scenarios() {
		fmt.Fprintf(w, "  %-8s %s\n           (%s)\n", s.Name, s.Summary, s.Defaults)
	}
	fmt.Fprint(w, `  page     no load: write the page --html of the runs in --json
  compare  no load: print the medians of the runs in --json, by server, for the lines of --goals

Channels are new in each run. One process has as many connections as it may have descriptors (ulimit -n); several can run at the same time.

  PUSHGATE_KEYS=… pushgate load fanout --sub http://127.0.0.1:8010 --pub http://127.0.0.1:9010 --pids $EDGE,$PUBLISHER
  pushgate load unicast --rate max --peer nchan --sub http://127.0.0.1:8080/sub/{channel} --pub http://127.0.0.1:8080/pub/{channel}
  pushgate load return --peer centrifugo --sub http://127.0.0.1:8000 --pub http://127.0.0.1:8000/api/publish?api_key=KEY

`)
	f.PrintDefaults()
}

// list returns a flag that reads several values with commas between them.
func list[T any](to *[]T, read func(string) (T, error)) func(string) error {
	return func(s string) error {
		for part := range strings.SplitSeq(s, ",") {
			v, err := read(strings.TrimSpace(part))
			if err != nil {
				return err
			}
			*to = append(*to, v)
		}
		return nil
	}
}

func text(s string) (string, error) { return s, nil }

// rate returns a flag that reads a rate.
func rate(to *float64) func(string) error {
	return func(s string) error {
		if s == "max" {
			*to = load.FlatOut
			return nil
		}
		n, err := strconv.ParseFloat(s, 64)
		if err == nil && n <= 0 {
			err = errors.New("must be above zero, or max")
		}
		*to = n
		return err
	}
}
