package main

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	wave      = 1000
	yielders  = 64
	skewWork  = 20 * time.Microsecond
	idleSleep = 300 * time.Millisecond
	lockers   = 16
	lockRun   = 8
	lockHold  = 64
)

// spawnJoin starts empty goroutines in waves and joins each wave. Go has no join handle: a
// WaitGroup is what its users take.
func spawnJoin(s *setup) {
	measure(s, "task", wave, func(count int) time.Duration {
		start := time.Now()
		for done := 0; done < count; {
			n := min(wave, count-done)
			var group sync.WaitGroup
			group.Add(n)
			for range n {
				go group.Done()
			}
			group.Wait()
			done += n
		}
		return time.Since(start)
	})
}

func yield(s *setup) {
	measure(s, "yield", yielders*50, func(count int) time.Duration {
		each := (count + yielders - 1) / yielders
		start := time.Now()
		var group sync.WaitGroup
		for range yielders {
			group.Add(1)
			go func() {
				defer group.Done()
				for range each {
					runtime.Gosched()
				}
			}()
		}
		group.Wait()
		return time.Duration(float64(time.Since(start)) * float64(count) / float64(each*yielders))
	})
}

// mutex lets goroutines lock, add one and unlock, and let others run now and then.
func mutex(s *setup) {
	measure(s, "lock", lockers*lockHold, func(count int) time.Duration {
		each := (count + lockers - 1) / lockers
		var lock sync.Mutex
		sum := 0
		start := time.Now()
		var group sync.WaitGroup
		for range lockers {
			group.Add(1)
			go func() {
				defer group.Done()
				for n := 1; n <= each; n++ {
					lock.Lock()
					sum++
					if n%lockHold == 0 {
						runtime.Gosched()
					}
					lock.Unlock()
					if n%lockRun == 0 {
						runtime.Gosched()
					}
				}
			}()
		}
		group.Wait()
		elapsed := time.Since(start)
		if sum != each*lockers {
			panic("an addition was lost")
		}
		return time.Duration(float64(elapsed) * float64(count) / float64(sum))
	})
}

// milestone counts goroutines that get somewhere and notes when the last of them did.
type milestone struct {
	passed atomic.Int64
	last   atomic.Int64
}

func (m *milestone) pass(total int, start time.Time) {
	if m.passed.Add(1) == int64(total) {
		m.last.Store(int64(time.Since(start)))
	}
}

func (m *milestone) wait() time.Duration {
	for m.last.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	return time.Duration(m.last.Load())
}

func parked(s *setup) {
	settle()
	gate := make(chan struct{})
	var arrived, left milestone
	resident := residentBytes()
	start := time.Now()
	for range s.count {
		go func() {
			arrived.pass(s.count, start)
			<-gate
			left.pass(s.count, start)
		}()
	}
	created := arrived.wait()
	bytes := residentBytes() - resident
	opened := time.Since(start)
	close(gate)
	woken := left.wait() - opened
	metric("mem", float64(bytes)/float64(s.count))
	metric("create", float64(created.Nanoseconds())/float64(s.count))
	metric("wake", float64(woken.Nanoseconds())/float64(s.count))
}

func burn(d time.Duration) {
	for start := time.Now(); time.Since(start) < d; {
	}
}

func skew(s *setup) {
	var elapsed time.Duration
	var main sync.WaitGroup
	main.Add(1)
	go func() {
		defer main.Done()
		start := time.Now()
		var group sync.WaitGroup
		group.Add(s.count)
		for range s.count {
			go func() {
				burn(skewWork)
				group.Done()
			}()
		}
		group.Wait()
		elapsed = time.Since(start)
	}()
	main.Wait()
	ideal := skewWork * time.Duration(s.count) / time.Duration(s.workers)
	metric("ideal", 100*ideal.Seconds()/elapsed.Seconds())
}

func idleCPU(s *setup) {
	gate := make(chan struct{})
	for range s.count {
		go func() { <-gate }()
	}
	time.Sleep(idleSleep)
	before := cpuTime()
	time.Sleep(s.wanted)
	used := cpuTime() - before
	close(gate)
	metric("cpu", float64(used.Microseconds())/s.wanted.Seconds())
}
