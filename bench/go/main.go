// The Go contender: the same rows, options and answers as the Rust contenders (see
// ../contenders/shared), with the standard library only.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"
)

// setup is what every row takes from the command line.
type setup struct {
	workers   int
	wanted    time.Duration
	count     int
	capacity  string
	senders   int
	receivers int
	channels  int
	channel   string
	addr      string
	buffer    int
	hogs      int
	udp       bool
}

var rows = map[string]func(*setup){
	"spawn_join":   spawnJoin,
	"yield":        yield,
	"mutex":        mutex,
	"parked":       parked,
	"skew":         skew,
	"coldstart":    func(*setup) {},
	"idle_cpu":     idleCPU,
	"timer_cancel": timerCancel,
	"timer_fire":   timerFire,
	"file_read":    fileRead,
	"chan":         stream,
	"pingpong":     pingPong,
	"select":       selectRow,
	"sieve":        sieve,
	"serve":        serve,
}

func main() {
	if len(os.Args) < 2 {
		broken("which row?")
	}
	run, ok := rows[os.Args[1]]
	if !ok {
		broken("no row is called `%s`", os.Args[1])
	}
	var s setup
	var wantedMS int
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	flags.IntVar(&s.workers, "workers", 1, "GOMAXPROCS")
	flags.IntVar(&wantedMS, "wanted-ms", 300, "how long the measured batch should last")
	flags.IntVar(&s.count, "count", 1000, "operations where the row fixes them")
	flags.StringVar(&s.capacity, "capacity", "0", "of the channels; unb has no equivalent")
	flags.IntVar(&s.senders, "senders", 1, "of chan")
	flags.IntVar(&s.receivers, "receivers", 1, "of chan")
	flags.IntVar(&s.channels, "channels", 2, "of select")
	flags.StringVar(&s.channel, "channel", "native", "only native")
	flags.StringVar(&s.addr, "addr", "127.0.0.1:0", "of serve")
	flags.IntVar(&s.buffer, "buffer", 4096, "bytes per connection of serve")
	flags.IntVar(&s.hogs, "hogs", 0, "computing goroutines of serve")
	flags.BoolVar(&s.udp, "udp", false, "serve datagrams")
	flags.Parse(os.Args[2:])
	s.wanted = time.Duration(wantedMS) * time.Millisecond
	dieWithParent()
	runtime.GOMAXPROCS(s.workers)
	run(&s)
}

// dieWithParent asks the kernel to kill this process when the runner dies.
func dieWithParent() {
	const prSetPdeathsig = 1
	syscall.RawSyscall(syscall.SYS_PRCTL, prSetPdeathsig, uintptr(syscall.SIGKILL), 0)
}

// settle frees what is left over, so that a row starts from a small heap.
func settle() {
	debug.FreeOSMemory()
}

func metric(name string, value float64) {
	fmt.Printf("metric %s %v\n", name, value)
}

func unsupported(reason string) {
	fmt.Printf("unsupported %s\n", reason)
	os.Exit(0)
}

func broken(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}

// measure runs batch in growing sizes until one lasts as long as wanted; prints its nanoseconds
// and its sleeps per operation.
func measure(s *setup, name string, size int, batch func(int) time.Duration) {
	for {
		slept := sleeps()
		elapsed := batch(size)
		slept = sleeps() - slept
		if elapsed >= s.wanted*8/10 {
			metric(name, float64(elapsed.Nanoseconds())/float64(size))
			metric("sleeps", float64(slept)/float64(size))
			return
		}
		factor := float64(s.wanted) / float64(max(elapsed, 1))
		size = int(float64(size)*min(max(factor, 1.1), 50)) + 1
	}
}
