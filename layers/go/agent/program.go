//go:build go1.24

package agent

// A main package of the user's, as it is: started on a port of loopback, and its requests handed on. Knows no handler.

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	between  = 5 * time.Millisecond // looks at a port that nobody tells us about
	patience = 60 * time.Second     // the host's own deadline for a load is shorter
)

// startProgram is ready once the program accepts connections on $PORT. Where it ends, this one ends in the same way.
func startProgram(load *Load) (served, error) {
	command := exec.Command(filepath.Join(load.Root, ".fnctl/go/main"))
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	if err := command.Start(); err != nil {
		return served{}, err
	}
	go func() {
		command.Wait()
		os.Exit(endOf(command.ProcessState))
	}()
	address := fmt.Sprintf("127.0.0.1:%d", load.Port)
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(between) {
		if connection, err := net.Dial("tcp", address); err == nil {
			connection.Close()
			return served{relay(address), "web"}, nil
		}
	}
	return served{}, fmt.Errorf("%s does not listen on port %d, which PORT names", load.Handler, load.Port)
}

func endOf(state *os.ProcessState) int {
	if code := state.ExitCode(); code >= 0 {
		return code
	}
	return 1
}

// relay hands requests on as they are: host, path, forwarding headers and all.
func relay(address string) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(request *httputil.ProxyRequest) {
			request.SetURL(&url.URL{Scheme: "http", Host: address})
			request.Out.Host = request.In.Host
			for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
				request.Out.Header[name] = request.In.Header[name]
			}
		},
		FlushInterval: -1, // as it comes
		Transport:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 1024},
		ErrorHandler:  func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
}
