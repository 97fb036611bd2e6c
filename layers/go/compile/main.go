//go:build go1.24

// Compiles a function's folder: its package, with the agent around it, into .fnctl/go. Run in that folder, a copy, in a build container.
package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"text/template"
)

const (
	agentSource = "/opt/fnctl/go/agent"
	result      = ".fnctl/go"
	// Folders of the copy that the program is made from; the names cannot be those of a package that somebody keeps.
	agentFolder = "fnctl_agent"
	mainFolder  = "fnctl_main"
)

// The program's main package. `Own` is false for a main package of the user's, which is a program of its own.
var program = template.Must(template.New("main").Parse(`package main

import (
	agent "{{.Module}}/` + agentFolder + `"
{{- if .Functions}}
	function "{{.Module}}"
{{- end}}
)

func main() {
{{- if .Main}}
	agent.RunProgram()
{{- else}}
	agent.Run(map[string]any{
{{- range .Functions}}
		"{{.}}": function.{{.}},
{{- end}}
	})
{{- end}}
}
`))

type source struct {
	Module    string
	Main      bool
	Functions []string
}

func main() {
	if err := compile(); err != nil {
		if !errors.As(err, new(*exec.ExitError)) { // the compiler has said it all
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
}

func compile() error {
	read, err := readSource()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(result, 0o755); err != nil {
		return err
	}
	if read.Main {
		if err := gobuild("main", "."); err != nil {
			return err
		}
	}
	if err := writeProgram(read); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(result, "module"), []byte(read.Module+"\n"), 0o644); err != nil {
		return err
	}
	return gobuild("program", "./"+mainFolder)
}

// gobuild says what the compiler says: file, line and error.
func gobuild(name, pkg string) error {
	command := exec.Command("go", "build", "-ldflags=-s -w", "-o", filepath.Join(result, name), pkg)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	return command.Run()
}

func readSource() (source, error) {
	gomod, err := os.ReadFile("go.mod")
	if err != nil {
		return source{}, err
	}
	module := regexp.MustCompile(`(?m)^module\s+"?([^\s"]+)`).FindSubmatch(gomod)
	if module == nil {
		return source{}, fmt.Errorf("go.mod:1: it names no module")
	}
	found, err := build.ImportDir(".", 0)
	if err != nil {
		return source{}, fmt.Errorf("the folder is no Go package: %w", err)
	}
	read := source{Module: string(module[1]), Main: found.Name == "main"}
	if read.Main {
		return read, nil
	}
	read.Functions, err = exported(found.GoFiles)
	if err == nil && len(read.Functions) == 0 {
		err = fmt.Errorf("package %s exports no function: a handler is `func Handle(w http.ResponseWriter, r *http.Request)`", found.Name)
	}
	return read, err
}

// exported lists the functions that could be handlers: exported, no methods, no type parameters.
func exported(files []string) ([]string, error) {
	var names []string
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, declared := range parsed.Decls {
			function, ok := declared.(*ast.FuncDecl)
			if ok && function.Recv == nil && function.Type.TypeParams == nil && function.Name.IsExported() {
				names = append(names, function.Name.Name)
			}
		}
	}
	sort.Strings(names)
	return names, nil
}

func writeProgram(read source) error {
	for _, folder := range []string{agentFolder, mainFolder} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			return fmt.Errorf("the folder %s is the compiler's own: %w", folder, err)
		}
	}
	files, err := filepath.Glob(filepath.Join(agentSource, "*.go"))
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := copyFile(file, filepath.Join(agentFolder, filepath.Base(file))); err != nil {
			return err
		}
	}
	var text strings.Builder
	if err := program.Execute(&text, read); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(mainFolder, "main.go"), []byte(text.String()), 0o644)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Close()
}
