//go:build go1.24

package agent

// Serves the data connections with net/http's own server, each invocation marked in the output. Knows no control connection.

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync/atomic"
)

const (
	idHeader   = "X-Fnctl-Invocation-Id"
	loadedMark = "\x1e!\x1f" // the launcher reads these in the output
	beginMark  = "\x1e+%s\x1f"
	endMark    = "\x1e-%s\x1f"
)

// site is a listener whose connections are dialled.
type site struct {
	path        string
	connections chan net.Conn
}

func newSite(handler http.Handler, load *Load, path string) *site {
	made := &site{path, make(chan net.Conn, 16)}
	server := &http.Server{Handler: guarded(handler, true, load.single())}
	if load.single() {
		var ended atomic.Bool
		server.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed && !ended.Swap(true) {
				os.Exit(0) // one request, and the sandbox is cleaned
			}
		}
	}
	go server.Serve(made)
	return made
}

func (site *site) dial(count int) {
	for range count {
		connection, err := net.Dial("unix", site.path)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		site.connections <- dialled{connection.(*net.UnixConn)}
	}
}

func (site *site) Accept() (net.Conn, error) { return <-site.connections, nil }
func (site *site) Close() error              { return nil }
func (site *site) Addr() net.Addr            { return loopback }

var loopback = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}

// dialled is a data connection. Its peer reads as a client on loopback: a unix socket has no address, and apps ask for one.
type dialled struct{ *net.UnixConn }

func (dialled) RemoteAddr() net.Addr { return loopback }
func (dialled) LocalAddr() net.Addr  { return loopback }

// guarded answers for a handler that panics, as the protocol says, and marks what it writes where a launcher reads it.
func guarded(handler http.Handler, marked, last bool) http.Handler {
	return http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		id := request.Header.Get(idHeader)
		if marked {
			fmt.Fprintf(os.Stderr, beginMark, id)
			defer fmt.Fprintf(os.Stderr, endMark, id)
		}
		if last {
			writer.Header().Set("Connection", "close")
		}
		response := &watched{ResponseWriter: writer}
		defer func() {
			if failure := recover(); failure != nil && failure != http.ErrAbortHandler {
				fmt.Fprintf(os.Stderr, "panic: %v\n%s", failure, debug.Stack())
				if response.started {
					panic(http.ErrAbortHandler) // only the end of the connection tells the client
				}
				fail(writer, http.StatusInternalServerError, "crash", "panic", fmt.Sprint(failure))
			} else if failure != nil {
				panic(failure)
			}
		}()
		handler.ServeHTTP(response, request)
	})
}

// fail answers as the protocol says for a handler that raised (500, crash) or returned nonsense (502, bad_response).
func fail(writer http.ResponseWriter, status int, code, kind, message string) {
	for name := range writer.Header() {
		if name != "Connection" {
			writer.Header().Del(name)
		}
	}
	writer.Header().Set("X-Fnctl-Error", code)
	writer.Header().Set("Content-Type", "application/json")
	writer.WriteHeader(status)
	writer.Write(jsonLine(map[string]any{"error": map[string]any{"type": kind, "message": message}}))
}

// watched knows whether a response has begun. It can all that net/http's own writer can.
type watched struct {
	http.ResponseWriter
	started bool
}

func (watched *watched) WriteHeader(status int) {
	watched.started = watched.started || status >= 200
	watched.ResponseWriter.WriteHeader(status)
}

func (watched *watched) Write(data []byte) (int, error) {
	watched.started = true
	return watched.ResponseWriter.Write(data)
}

func (watched *watched) ReadFrom(source io.Reader) (int64, error) {
	watched.started = true
	return io.Copy(watched.ResponseWriter, source)
}

func (watched *watched) Flush() {
	watched.started = true
	watched.ResponseWriter.(http.Flusher).Flush()
}

func (watched *watched) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	watched.started = true
	return watched.ResponseWriter.(http.Hijacker).Hijack()
}

func (watched *watched) Unwrap() http.ResponseWriter { return watched.ResponseWriter }
