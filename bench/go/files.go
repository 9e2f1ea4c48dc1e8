package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	readers  = 64
	pageSize = 4096
	pages    = 16 << 10
)

// fileRead reads pages of a cached file at random places, in some goroutines.
func fileRead(s *setup) {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("gorin-bench-%d", os.Getpid()))
	content := make([]byte, pages*pageSize)
	for number := range pages {
		binary.LittleEndian.PutUint64(content[number*pageSize:], uint64(number))
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		broken("%v", err)
	}
	content = nil
	settle()
	file, err := os.Open(path)
	os.Remove(path)
	if err != nil {
		broken("%v", err)
	}
	measure(s, "read", readers*100, func(count int) time.Duration {
		each := (count + readers - 1) / readers
		start := time.Now()
		var group sync.WaitGroup
		for seed := range readers {
			group.Add(1)
			go func() {
				defer group.Done()
				readPages(file, each, uint64(seed))
			}()
		}
		group.Wait()
		return time.Duration(float64(time.Since(start)) * float64(count) / float64(each*readers))
	})
}

func readPages(file *os.File, count int, seed uint64) {
	random := 0x9E3779B97F4A7C15 * (seed + 1)
	buffer := make([]byte, pageSize)
	for range count {
		random ^= random << 13
		random ^= random >> 7
		random ^= random << 17
		number := random % pages
		n, err := file.ReadAt(buffer, int64(number*pageSize))
		if err != nil || n != pageSize {
			broken("page %d: %d bytes, %v", number, n, err)
		}
		if found := binary.LittleEndian.Uint64(buffer); found != number {
			broken("page %d came instead of %d", found, number)
		}
	}
}
