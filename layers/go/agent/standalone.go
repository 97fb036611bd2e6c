//go:build go1.24

package agent

// A shipped image under plain `docker run`: the same function on a port of its own, without a host.

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

// Where a main package of the user's listens then, since $PORT is the relay's: the first of these that is not $PORT.
const inner, otherInner = 3000, 3001

// standalone serves the function that FNCTL_LOAD describes on $PORT. It does not return.
func standalone(loader func(*Load) (served, error)) {
	load := &Load{}
	if err := json.Unmarshal([]byte(os.Getenv("FNCTL_LOAD")), load); err != nil {
		stop(fmt.Errorf("FNCTL_LOAD: %w", err))
	}
	for name := range load.Env {
		if given, set := os.LookupEnv(name); set { // the container's own variables win
			load.Env[name] = given
		}
	}
	port, err := strconv.Atoi(os.Getenv("PORT"))
	if err != nil {
		port = 8080
	}
	load.Port = port
	if _, err := os.Stat(load.Root + "/.fnctl/go/main"); err == nil {
		if load.Port = inner; port == inner {
			load.Port = otherInner
		}
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-signals
		os.Exit(0)
	}()
	prepare(load)
	ready, err := loader(load)
	if err != nil {
		stop(err)
	}
	stop(http.ListenAndServe(fmt.Sprintf("%s:%d", load.address(), port), guarded(ready.handler, false, false)))
}

func (load *Load) address() string {
	if load.Address == "" {
		return "0.0.0.0"
	}
	return load.Address
}

func stop(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
