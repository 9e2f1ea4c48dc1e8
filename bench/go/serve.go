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
	if s.udp {
		serveUDP(s)
	}
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

// serveUDP sends each datagram of one socket back, for ever.
func serveUDP(s *setup) {
	addr, err := net.ResolveUDPAddr("udp", s.addr)
	if err != nil {
		broken("%v", err)
	}
	socket, err := net.ListenUDP("udp", addr)
	if err != nil {
		broken("cannot bind %s: %v", s.addr, err)
	}
	go obeyStdin()
	fmt.Printf("addr %s\n", socket.LocalAddr())
	buffer := make([]byte, s.buffer)
	for {
		// The forms that allocate nothing.
		received, peer, err := socket.ReadFromUDPAddrPort(buffer)
		if err != nil {
			broken("cannot receive: %v", err)
		}
		_, err = socket.WriteToUDPAddrPort(buffer[:received], peer)
		if err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
			broken("cannot send: %v", err)
		}
	}
}

// hog computes, and leaves the same to a new goroutine.
func hog() {
	burn(hogWork)
	go hog()
}
