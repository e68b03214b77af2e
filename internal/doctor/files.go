package doctor

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// maxFile is how much is read of a file, in bytes: more than any that the checks look at has.
const maxFile = 16 << 20

// root is the directory below which the files of the machine are.
type root string

func (r root) path(name string) string { return filepath.Join(string(r), name) }

// read returns the beginning of a file. What is no regular file, such as a named pipe, would never
// end, and is an error.
func (r root) read(name string) (string, error) { return r.readSome(name, maxFile) }

func (r root) readSome(name string, most int64) (string, error) {
	f, err := os.OpenFile(r.path(name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", cmp.Or(err, fmt.Errorf("%s: not a regular file", r.path(name)))
	}
	return beginning(f, most)
}

// readBounded returns the beginning of a file that the user has named, which may be a pipe.
func readBounded(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return beginning(f, maxFile)
}

func beginning(r io.Reader, most int64) (string, error) {
	text, err := io.ReadAll(io.LimitReader(r, most))
	return string(text), err
}

// numbers returns the numbers that a file of the kernel has; none if it cannot be read.
func (r root) numbers(name string) (all []int64) {
	text, err := r.read(name)
	if err != nil {
		return nil
	}
	for field := range strings.FieldsSeq(text) {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return nil
		}
		all = append(all, n)
	}
	return all
}

// program is a process of this machine.
type program struct {
	pid  string
	name string // of its executable, at most 15 characters
	// The beginning of its command line, of those that are judged by it. That of others is not
	// read: the system may not answer for a process that waits for a disk.
	command string
}

const (
	maxPrograms = 50_000 // processes that are looked at
	maxCommand  = 4 << 10
)

// programs returns the processes of this machine.
func (r root) programs() (all []program) {
	dir, err := os.Open(r.path("proc"))
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(maxPrograms)
	for _, pid := range names {
		if _, err := strconv.Atoi(pid); err != nil {
			continue
		}
		name, err := r.read("proc/" + pid + "/comm")
		if err != nil {
			continue // it has ended
		}
		p := program{pid: pid, name: strings.TrimSpace(name)}
		if p.name == "nginx" || strings.HasPrefix(p.name, "node") {
			command, _ := r.readSome("proc/"+pid+"/cmdline", maxCommand)
			p.command = strings.TrimSpace(strings.ReplaceAll(command, "\x00", " "))
		}
		all = append(all, p)
	}
	return all
}

// ours reports whether a process is one of pushgate.
func (p program) ours() bool {
	switch p.name {
	case "edge", "publisher", "pushgate", "pushgate-edge", "pushgate-publis":
		return true
	}
	return false
}

// environ returns the variables that a process was started with; none if this user may not know.
func (r root) environ(pid string) []string {
	text, _ := r.read("proc/" + pid + "/environ")
	return strings.Split(strings.TrimRight(text, "\x00"), "\x00")
}

// listeners returns the ids of the sockets that listen on TCP ports, by port. It reports false if
// the machine does not say.
func (r root) listeners() (sockets map[int][]string, ok bool) {
	sockets = map[int][]string{}
	for _, name := range []string{"proc/net/tcp", "proc/net/tcp6"} {
		text, err := r.read(name)
		if err != nil {
			continue
		}
		ok = true
		for line := range strings.Lines(text) {
			fields := strings.Fields(line)
			if len(fields) < 10 || fields[3] != "0A" { // LISTEN
				continue
			}
			_, hex, _ := strings.Cut(fields[1], ":")
			if port, err := strconv.ParseInt(hex, 16, 32); err == nil {
				sockets[int(port)] = append(sockets[int(port)], fields[9])
			}
		}
	}
	return sockets, ok
}

// owners returns which of the programs has each of the sockets open, by the socket's id. Those of
// other users are missing, unless root asks.
func (r root) owners(programs []program, wanted map[string]bool) map[string]program {
	owners := map[string]program{}
	for _, p := range programs {
		dir := r.path("proc/" + p.pid + "/fd")
		entries, err := os.Open(dir)
		if err != nil {
			continue
		}
		names, _ := entries.Readdirnames(-1)
		entries.Close()
		for _, name := range names {
			target, err := os.Readlink(filepath.Join(dir, name))
			id, socket := strings.CutPrefix(target, "socket:[")
			if id = strings.TrimSuffix(id, "]"); err == nil && socket && wanted[id] {
				owners[id] = p
			}
		}
		if len(owners) == len(wanted) {
			break
		}
	}
	return owners
}
