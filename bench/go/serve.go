package main

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

const hogWork = 100 * time.Millisecond

// serve is the echo server: a goroutine per connection. TCP_NODELAY is Go's default.
func serve(s *setup) {
	listener, err := net.Listen("tcp", s.addr)
	if err != nil {
		broken("cannot listen on %s: %v", s.addr, err)
	}
	go obeyStdin()
	fmt.Printf("addr %s\n", listener.Addr())
	for range s.hogs {
		go hog()
	}
	for {
		conn, err := listener.Accept()
		if errors.Is(err, syscall.ECONNABORTED) {
			continue
		}
		if err != nil {
			broken("cannot accept: %v", err)
		}
		go echo(conn, s.buffer)
	}
}

func echo(conn net.Conn, bufferBytes int) {
	defer conn.Close()
	buffer := make([]byte, bufferBytes)
	for {
		received, err := conn.Read(buffer)
		if err != nil {
			return
		}
		if _, err := conn.Write(buffer[:received]); err != nil {
			return
		}
	}
}

// hog computes, and leaves the same to a new goroutine.
func hog() {
	burn(hogWork)
	go hog()
}
