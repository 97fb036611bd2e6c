//go:build go1.24

// Package agent is the Go agent: it is compiled into each function's program, and speaks ../../PROTOCOL.md on the connection that the
// launcher hands over. Standard library only.
package agent

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"sort"
	"strings"
	"syscall"
	"time"
)

// Load is what the host says of the function.
type Load struct {
	Op        string            `json:"op"`
	N         int               `json:"n"` // of `dial`
	Function  string            `json:"function"`
	Version   string            `json:"version"`
	Handler   string            `json:"handler"`
	Root      string            `json:"root"`
	Model     string            `json:"model"`
	Contract  string            `json:"contract"`
	Env       map[string]string `json:"env"`
	TimeoutMs int64             `json:"timeout_ms"`
	MemoryMb  int               `json:"memory_mb"`
	Port      int               `json:"port"`
	Address   string            `json:"address"` // where to listen without a host; empty: at every one
}

func (load *Load) single() bool { return load.Model == "ephemeral" }

// served is a function that is ready: what answers its requests, and which kind it is.
type served struct {
	handler http.Handler
	kind    string
}

// Run serves one of these functions: the one that the handler's last part names.
func Run(functions map[string]any) {
	run(func(load *Load) (served, error) { return choose(functions, load) })
}

// RunProgram serves the user's own main package, which lies compiled beside this program.
func RunProgram() {
	run(startProgram)
}

func run(load func(*Load) (served, error)) {
	if slices.Contains(os.Args[1:], "--serve") {
		standalone(load)
	}
	hosted(load)
}

func choose(functions map[string]any, load *Load) (served, error) {
	name := load.Handler[strings.LastIndex(load.Handler, ".")+1:]
	function, found := functions[name]
	if !found {
		names := make([]string, 0, len(functions))
		for each := range functions {
			names = append(names, each)
		}
		sort.Strings(names)
		return served{}, fmt.Errorf("the package exports no function %s; functions: %s", name, strings.Join(names, ", "))
	}
	if web, ok := function.(func(http.ResponseWriter, *http.Request)); ok && load.Contract != "event" {
		return served{http.HandlerFunc(web), "web"}, nil
	}
	if load.Contract == "web" {
		return served{}, fmt.Errorf("%s is a %T: the contract web takes func(http.ResponseWriter, *http.Request)", name, function)
	}
	handler, err := eventHandler(function, load)
	return served{handler, "event"}, err
}

// hosted serves under a host until it hangs up. It does not return.
func hosted(loader func(*Load) (served, error)) {
	control, root := openControl(), os.Getenv("FNCTL_ROOT")
	if root == "" {
		root = "/fn"
	}
	load, ok := control.receive()
	if !ok {
		os.Exit(0)
	}
	started := time.Now()
	prepare(load)
	ready, err := loader(load)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		control.send(map[string]any{"op": "load_failed", "type": "NoSuchHandler", "message": err.Error(), "stack": ""})
		fmt.Fprint(os.Stderr, loadedMark)
		os.Exit(1)
	}
	site := newSite(ready.handler, load, root+"/data.sock")
	fmt.Fprint(os.Stderr, loadedMark)
	ms := float64(time.Since(started).Microseconds()/100) / 10
	control.send(map[string]any{"op": "loaded", "ms": ms, "kind": ready.kind, "fork": false})
	site.dial(1)
	for {
		message, ok := control.receive()
		if !ok {
			os.Exit(0)
		}
		if message.Op == "sleep" {
			debug.FreeOSMemory()
		}
		if message.Op == "stop" { // as to any Go program: its own handler ends it, or the signal does
			syscall.Kill(syscall.Getpid(), syscall.SIGTERM)
		}
		if message.Op == "dial" && !load.single() {
			site.dial(message.N)
		}
	}
}

// prepare makes the process what the function will see.
func prepare(load *Load) {
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "FNCTL_") {
			os.Unsetenv(name)
		}
	}
	for name, value := range load.Env {
		os.Setenv(name, value)
	}
	os.Setenv("PORT", fmt.Sprint(load.Port))
	if err := os.Chdir(load.Root); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

func jsonLine(value any) []byte {
	line, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return append(line, '\n')
}
