package main

import (
	"slices"
	"time"
)

const fireGap = 10 * time.Microsecond

func timerCancel(s *setup) {
	measure(s, "timer", 1000, func(count int) time.Duration {
		start := time.Now()
		for index := range count {
			due := time.Hour + time.Duration(index)*time.Microsecond
			if !time.NewTimer(due).Stop() {
				broken("an hour passed")
			}
		}
		return time.Since(start)
	})
}

func timerFire(s *setup) {
	lead := 200*time.Millisecond + 2*time.Microsecond*time.Duration(s.count)
	late := make(chan time.Duration, s.count)
	start := time.Now()
	for index := range s.count {
		place := index * 7919 % s.count
		due := start.Add(lead + fireGap*time.Duration(place))
		go func() {
			time.Sleep(time.Until(due))
			late <- time.Since(due)
		}()
	}
	time.Sleep(time.Until(start.Add(lead)))
	cpu := cpuTime()
	all := make([]time.Duration, 0, s.count)
	for range s.count {
		all = append(all, <-late)
	}
	cpu = cpuTime() - cpu
	slices.Sort(all)
	metric("p50", float64(all[len(all)/2].Nanoseconds())/1e3)
	metric("p99", float64(all[len(all)*99/100].Nanoseconds())/1e3)
	metric("cpu", float64(cpu.Nanoseconds())/float64(s.count))
}
