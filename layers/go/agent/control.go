//go:build go1.24

package agent

// The connection to the host that the launcher opened. Knows no function.

import (
	"bufio"
	"encoding/json"
	"net"
	"os"
	"strconv"
	"syscall"
)

const maxLine = 1 << 20

type control struct {
	connection net.Conn
	lines      *bufio.Scanner
}

// openControl takes over what the launcher left open; nothing that the function starts inherits it.
func openControl() *control {
	descriptor("FNCTL_ALIVE") // open as long as this process lives, which is what the launcher waits for
	file := os.NewFile(uintptr(descriptor("FNCTL_CONTROL")), "control")
	connection, err := net.FileConn(file)
	if err != nil {
		panic(err)
	}
	file.Close()
	lines := bufio.NewScanner(connection)
	lines.Buffer(make([]byte, 0, 4096), maxLine)
	return &control{connection, lines}
}

func descriptor(name string) int {
	number, err := strconv.Atoi(os.Getenv(name))
	if err != nil {
		panic("this program is started by fnctl's launcher: " + name + " is not set")
	}
	syscall.CloseOnExec(number)
	return number
}

// receive waits for a message; false at the end.
func (control *control) receive() (*Load, bool) {
	if !control.lines.Scan() {
		return nil, false
	}
	message := &Load{}
	if err := json.Unmarshal(control.lines.Bytes(), message); err != nil {
		return nil, false
	}
	return message, true
}

func (control *control) send(message map[string]any) {
	control.connection.Write(jsonLine(message))
}
