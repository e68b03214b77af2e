package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"pushgate/internal/config"
	"pushgate/tools/load"
)

// loadArgs is what the command line of load says beside what to do.
type loadArgs struct {
	load.Options
	key        string
	quick      bool
	quiet      bool
	json, html string
	goals      string
}

// runLoad puts a server under load, and fails if it was not correct.
func runLoad(ctx context.Context, w world, args []string) error {
	var a loadArgs
	flags := a.flags()
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		a.Scenario, args = args[0], args[1:]
	}
	if err := parse(flags, w, args); err != nil {
		return err
	}
	switch {
	case a.Scenario == "" && flags.NArg() == 1:
		a.Scenario = flags.Arg(0)
	case a.Scenario == "" || flags.NArg() > 0:
		flags.Usage()
		return usageError{errors.New("one scenario, please")}
	}
	switch a.Scenario {
	case "page":
		return loadPage(w, a)
	case "compare":
		return loadCompare(w, a)
	}
	if err := a.sign(w); err != nil {
		return err
	}
	if a.quick {
		a.Quicken()
	}
	progress := w.stderr
	if a.quiet {
		progress = nil
	}
	report, err := load.Run(ctx, a.Options, progress)
	if err != nil {
		return err
	}
	report.Write(w.stdout)
	if err := a.save(report); err != nil {
		return err
	}
	return report.Correct()
}

// flags makes the flag set that fills in a.
func (a *loadArgs) flags() *flag.FlagSet {
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
	f.Usage = func() { loadUsage(f) }
	return f
}

func loadUsage(f *flag.FlagSet) {
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

// sign finds the key.
func (a *loadArgs) sign(w world) error {
	if !a.Peer.Signs() {
		return nil
	}
	environ := w.environ
	if a.key != "" {
		environ = append(environ[:len(environ):len(environ)], config.Prefix+"KEYS="+a.key, config.Prefix+"PORTALS=")
	}
	settings, err := config.LoadEdge(environ)
	if err != nil {
		return err
	}
	portals, err := settings.Portals()
	if err != nil {
		return err
	}
	if portals.Personal() == nil {
		return errors.New("there is no personal portal: say --key, and ?clientId=… in the URLs")
	}
	a.Signer = portals.Personal().Signer
	return nil
}

// save writes the files that were asked for.
func (a *loadArgs) save(report *load.Report) error {
	if a.json != "" {
		line, err := json.Marshal(report)
		if err != nil {
			return err
		}
		file, err := os.OpenFile(a.json, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		_, err = file.Write(append(line, '\n'))
		if err := errors.Join(err, file.Close()); err != nil {
			return err
		}
		if a.html == "" {
			return nil
		}
		return a.page()
	}
	return a.write([]*load.Report{report})
}

// page writes the page of all runs of the JSON file.
func (a *loadArgs) page() error {
	reports, err := readFile(a.json, load.ReadReports)
	if err != nil {
		return err
	}
	return a.write(reports)
}

// readFile reads a whole file.
func readFile[T any](name string, read func(io.Reader) (T, error)) (t T, err error) {
	file, err := os.Open(name)
	if err != nil {
		return t, err
	}
	defer file.Close()
	if t, err = read(file); err != nil {
		return t, fmt.Errorf("%s: %w", name, err)
	}
	return t, nil
}

func (a *loadArgs) write(reports []*load.Report) error {
	if a.html == "" {
		return nil
	}
	file, err := os.Create(a.html)
	if err != nil {
		return err
	}
	return errors.Join(load.WritePage(file, reports), file.Close())
}

func loadPage(w world, a loadArgs) error {
	if a.json == "" || a.html == "" {
		return errors.New("page needs --json, to read, and --html, to write")
	}
	if err := a.page(); err != nil {
		return err
	}
	_, err := io.WriteString(w.stdout, a.html+"\n")
	return err
}

func loadCompare(w world, a loadArgs) error {
	if a.json == "" || a.goals == "" {
		return errors.New("compare needs --json, the runs, and --goals, the lines")
	}
	reports, err := readFile(a.json, load.ReadReports)
	if err != nil {
		return err
	}
	goals, err := readFile(a.goals, load.ReadGoals)
	if err != nil {
		return err
	}
	load.Compare(w.stdout, goals, reports)
	return nil
}

// list gives a flag that reads several values with commas between them.
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

// rate gives a flag that reads a rate.
func rate(to *float64) func(string) error {
	return func(s string) error {
		if s == "max" {
			*to = load.FlatOut
			return nil
		}
		n, err := strconv.ParseFloat(s, 64)
		if err == nil && n <= 0 {
			err = errors.New("above zero, or max")
		}
		*to = n
		return err
	}
}
