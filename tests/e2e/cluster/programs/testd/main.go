// SPDX-License-Identifier: Apache-2.0

// testd is what the test pods run: a server, a client, a load that counts what fails, and an admission webhook.
//
//	testd serve [-port 8080] [-delay 0s]         answers with a line of JSON; /status/503 and /bytes/1000 do what they say
//	testd get URL                                prints status and body; fails unless the status is 2xx
//	testd load [-rate 200] [-seconds 10] [-connections 8] URL    prints one JSON document, fails if a request failed
//	testd webhook -cert FILE -key FILE [-port 8443]              labels pods with mutated=yes
//
// Every server closes its listener at once on TERM, finishes what it has begun, and leaves: the worst that a mesh must expect.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

func serve(server *http.Server, start func() error) error {
	ended := make(chan error, 1)
	go func() {
		term, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		<-term.Done()
		ended <- server.Shutdown(context.Background())
	}()
	if err := start(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-ended
}

func runServe(args []string) error {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	port := flags.Int("port", 8080, "port to listen on")
	delay := flags.Duration("delay", 0, "pause before each answer")
	flags.Parse(args)
	host, _ := os.Hostname()
	answer := func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(*delay)
		if number, ok := strings.CutPrefix(r.URL.Path, "/status/"); ok {
			if status, err := strconv.Atoi(number); err == nil && status >= 200 && status < 600 {
				w.WriteHeader(status)
				return
			}
		}
		if number, ok := strings.CutPrefix(r.URL.Path, "/bytes/"); ok {
			size, _ := strconv.Atoi(number)
			w.Write([]byte(strings.Repeat("x", min(size, 64<<20))))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"pod": host, "port": *port, "node": os.Getenv("NODE"), "method": r.Method,
			"path": r.URL.RequestURI(), "host": r.Host, "version": r.Proto, "from": r.RemoteAddr, "headers": r.Header})
	}
	server := &http.Server{Addr: fmt.Sprintf(":%d", *port), Handler: http.HandlerFunc(answer)}
	return serve(server, server.ListenAndServe)
}

func runGet(args []string) error {
	flags := flag.NewFlagSet("get", flag.ExitOnError)
	timeout := flags.Duration("timeout", 5*time.Second, "for the whole exchange")
	flags.Parse(args)
	client := http.Client{Timeout: *timeout}
	response, err := client.Get(flags.Arg(0))
	if err != nil {
		return err
	}
	body, err := io.ReadAll(response.Body)
	fmt.Printf("%d %s", response.StatusCode, body)
	if err == nil && response.StatusCode/100 != 2 {
		err = errors.New(response.Status)
	}
	return err
}

// A connection of the load: one request at a time, never sent twice. Go's own client would try again unasked.
type connection struct {
	target *url.URL
	conn   net.Conn
	reader *bufio.Reader
}

func (c *connection) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// closedMeanwhile tells whether the server has ended the connection while it was idle.
func (c *connection) closedMeanwhile() bool {
	c.conn.SetReadDeadline(time.Now().Add(time.Microsecond))
	_, err := c.reader.Peek(1)
	c.conn.SetReadDeadline(time.Time{})
	var timeout net.Error
	return err == nil || !errors.As(err, &timeout) || !timeout.Timeout()
}

func (c *connection) request() error {
	if c.conn != nil && c.closedMeanwhile() {
		c.close()
	}
	deadline := time.Now().Add(10 * time.Second)
	if c.conn == nil {
		address := c.target.Host
		if c.target.Port() == "" {
			address += ":80"
		}
		conn, err := (&net.Dialer{Deadline: deadline}).Dial("tcp", address)
		if err != nil {
			return err
		}
		c.conn, c.reader = conn, bufio.NewReader(conn)
	}
	c.conn.SetDeadline(deadline)
	err := c.exchange()
	if err != nil {
		c.close()
	}
	return err
}

func (c *connection) exchange() error {
	if _, err := fmt.Fprintf(c.conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", c.target.RequestURI(), c.target.Host); err != nil {
		return err
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return err
	}
	if _, err = io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.Close {
		c.close()
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d %s", response.StatusCode, response.Header.Get("l5d-proxy-error"))
	}
	return nil
}

type failure struct {
	At    string `json:"at"`
	Error string `json:"error"`
}

func runLoad(args []string) error {
	flags := flag.NewFlagSet("load", flag.ExitOnError)
	rate := flags.Float64("rate", 200, "requests per second, all connections together")
	seconds := flags.Float64("seconds", 10, "how long; 0 = until TERM")
	connections := flags.Int("connections", 8, "connections side by side")
	flags.Parse(args)
	target, err := url.Parse(flags.Arg(0))
	if err != nil || target.Host == "" {
		return fmt.Errorf("not a URL: %q", flags.Arg(0))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if *seconds > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(*seconds*float64(time.Second)))
		defer cancel()
	}
	var lock sync.Mutex
	var took []float64
	var failed int
	reasons, first, last := map[string]int{}, []failure{}, failure{}
	ticks := make(chan struct{})
	var running sync.WaitGroup
	for range *connections {
		running.Add(1)
		go func() {
			defer running.Done()
			c := connection{target: target}
			defer c.close()
			for range ticks {
				began := time.Now()
				err := c.request()
				lock.Lock()
				took = append(took, time.Since(began).Seconds()*1000)
				if err != nil {
					failed++
					reasons[err.Error()]++
					last = failure{began.UTC().Format("15:04:05.000"), err.Error()}
					if len(first) < 20 {
						first = append(first, last)
					}
				}
				lock.Unlock()
			}
		}()
	}
	began := time.Now()
	for sent := 0; ctx.Err() == nil; sent++ {
		due := began.Add(time.Duration(float64(sent) / *rate * float64(time.Second)))
		select {
		case <-time.After(time.Until(due)):
		case <-ctx.Done():
			continue
		}
		select {
		case ticks <- struct{}{}:
		case <-ctx.Done():
		}
	}
	close(ticks)
	running.Wait()
	slices.Sort(took)
	at := func(share float64) float64 {
		if len(took) == 0 {
			return 0
		}
		return took[int(share*float64(len(took)-1))]
	}
	json.NewEncoder(os.Stdout).Encode(map[string]any{"requests": len(took), "failed": failed, "reasons": reasons, "first": first, "last": last,
		"seconds": time.Since(began).Seconds(), "p50_ms": at(0.5), "p95_ms": at(0.95), "p99_ms": at(0.99), "max_ms": at(1)})
	if failed > 0 || len(took) == 0 {
		return fmt.Errorf("%d of %d requests failed", failed, len(took))
	}
	return nil
}

func runWebhook(args []string) error {
	flags := flag.NewFlagSet("webhook", flag.ExitOnError)
	port := flags.Int("port", 8443, "port to listen on")
	certificate, key := flags.String("cert", "", "PEM file"), flags.String("key", "", "PEM file")
	flags.Parse(args)
	review := func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			APIVersion string
			Kind       string
			Request    struct {
				UID    string
				Object struct {
					Metadata struct{ Labels map[string]string }
				}
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		patch := `[{"op":"add","path":"/metadata/labels/mutated","value":"yes"}]`
		if len(in.Request.Object.Metadata.Labels) == 0 {
			patch = `[{"op":"add","path":"/metadata/labels","value":{"mutated":"yes"}}]`
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"apiVersion": in.APIVersion, "kind": in.Kind, "response": map[string]any{
			"uid": in.Request.UID, "allowed": true, "patchType": "JSONPatch", "patch": []byte(patch)}})
	}
	server := &http.Server{Addr: fmt.Sprintf(":%d", *port), Handler: http.HandlerFunc(review)}
	return serve(server, func() error { return server.ListenAndServeTLS(*certificate, *key) })
}

func main() {
	verbs := map[string]func([]string) error{"serve": runServe, "get": runGet, "load": runLoad, "webhook": runWebhook}
	if len(os.Args) < 2 || verbs[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: testd serve|get|load|webhook ...")
		os.Exit(64)
	}
	if err := verbs[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "testd:", err)
		os.Exit(1)
	}
}
