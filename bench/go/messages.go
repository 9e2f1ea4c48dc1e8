package main

import (
	"strconv"
	"sync"
	"time"
)

func (s *setup) capacityOf() int {
	if s.channel != "native" {
		unsupported("Go is measured with its own channels")
	}
	if s.capacity == "unb" {
		unsupported("Go has no unbounded channel")
	}
	capacity, err := strconv.Atoi(s.capacity)
	if err != nil {
		broken("-capacity: cannot understand `%s`", s.capacity)
	}
	return capacity
}

func sumBelow(count int) uint64 {
	return uint64(count) * uint64(count-1) / 2
}

func sendRange(to chan<- uint64, from, until int) {
	for value := from; value < until; value++ {
		to <- uint64(value)
	}
}

func stream(s *setup) {
	capacity := s.capacityOf()
	measure(s, "msg", 2000, func(count int) time.Duration {
		ch := make(chan uint64, capacity)
		sums := make(chan uint64, s.receivers)
		start := time.Now()
		for range s.receivers {
			go func() {
				var sum uint64
				for value := range ch {
					sum += value
				}
				sums <- sum
			}()
		}
		var senders sync.WaitGroup
		for i := range s.senders {
			senders.Add(1)
			go func() {
				defer senders.Done()
				sendRange(ch, count*i/s.senders, count*(i+1)/s.senders)
			}()
		}
		senders.Wait()
		close(ch)
		var sum uint64
		for range s.receivers {
			sum += <-sums
		}
		elapsed := time.Since(start)
		if sum != sumBelow(count) {
			broken("messages were lost or repeated")
		}
		return elapsed
	})
}

func pingPong(s *setup) {
	capacity := s.capacityOf()
	measure(s, "trip", 500, func(count int) time.Duration {
		ping, pong := make(chan uint64, capacity), make(chan uint64, capacity)
		start := time.Now()
		go func() {
			for value := range ping {
				pong <- value + 1
			}
		}()
		for value := range count {
			ping <- uint64(value)
			if <-pong != uint64(value)+1 {
				broken("the answer to another message")
			}
		}
		elapsed := time.Since(start)
		close(ping)
		return elapsed
	})
}

func selectRow(s *setup) {
	capacity := s.capacityOf()
	measure(s, "msg", 2000, func(count int) time.Duration {
		var c [8]chan uint64
		start := time.Now()
		for i := range s.channels {
			c[i] = make(chan uint64, capacity)
			go sendRange(c[i], count*i/s.channels, count*(i+1)/s.channels)
		}
		var sum uint64
		switch s.channels {
		case 2:
			sum = receive2(c[0], c[1], count)
		case 8:
			sum = receive8(&c, count)
		default:
			broken("select is measured over 2 and 8")
		}
		elapsed := time.Since(start)
		if sum != sumBelow(count) {
			broken("messages were lost or repeated")
		}
		return elapsed
	})
}

func receive2(a, b <-chan uint64, count int) (sum uint64) {
	for range count {
		select {
		case value := <-a:
			sum += value
		case value := <-b:
			sum += value
		}
	}
	return sum
}

func receive8(c *[8]chan uint64, count int) (sum uint64) {
	for range count {
		var value uint64
		select {
		case value = <-c[0]:
		case value = <-c[1]:
		case value = <-c[2]:
		case value = <-c[3]:
		case value = <-c[4]:
		case value = <-c[5]:
		case value = <-c[6]:
		case value = <-c[7]:
		}
		sum += value
	}
	return sum
}

func sieve(s *setup) {
	capacity := s.capacityOf()
	start := time.Now()
	numbers := make(chan uint64, capacity)
	go func(to chan<- uint64) {
		for number := uint64(2); ; number++ {
			to <- number
		}
	}(numbers)
	var prime uint64
	for range s.count {
		prime = <-numbers
		next := make(chan uint64, capacity)
		go func(from <-chan uint64, to chan<- uint64, divisor uint64) {
			for number := range from {
				if number%divisor != 0 {
					to <- number
				}
			}
		}(numbers, next, prime)
		numbers = next
	}
	elapsed := time.Since(start)
	if prime != nthPrime(s.count) {
		broken("the sieve found another number")
	}
	metric("time", elapsed.Seconds()*1e3)
}

func nthPrime(nth int) uint64 {
	for n := uint64(2); ; n++ {
		prime := true
		for d := uint64(2); d*d <= n && prime; d++ {
			prime = n%d != 0
		}
		if prime {
			if nth--; nth <= 0 {
				return n
			}
		}
	}
}
