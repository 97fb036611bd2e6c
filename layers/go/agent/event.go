//go:build go1.24

package agent

// The contract `event`: HTTP request → func(context, event) (result, error) → HTTP response. The rules are in ../../PROTOCOL.md.

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

var (
	contextType = reflect.TypeFor[context.Context]()
	errorType   = reflect.TypeFor[error]()
)

// eventHandler takes any of func([ctx context.Context,] [event T]) ([R,] [error]); T is filled as encoding/json does. The context carries
// the deadline, and under the keys "id", "function", "version" and "memory_mb" what the protocol promises.
func eventHandler(function any, load *Load) (http.Handler, error) {
	call, err := newCall(reflect.ValueOf(function))
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		ctx, cancel := invocation(request, load)
		defer cancel()
		result, err := call.invoke(ctx, toEvent(request))
		if err != nil {
			fmt.Fprintf(os.Stderr, "%T: %v\n", err, err)
			fail(writer, http.StatusInternalServerError, "crash", fmt.Sprintf("%T", err), err.Error())
			return
		}
		if err := answer(writer, result); err != nil {
			fmt.Fprintf(os.Stderr, "bad response: %v\n", err)
			fail(writer, http.StatusBadGateway, "bad_response", "BadResponse", err.Error())
		}
	}), nil
}

type call struct {
	function              reflect.Value
	takesContext          bool
	event                 reflect.Type // nil: takes none
	returnsValue, canFail bool
}

func newCall(function reflect.Value) (*call, error) {
	kind := function.Type()
	made := &call{function: function}
	inputs := make([]reflect.Type, 0, 2)
	for index := range kind.NumIn() {
		inputs = append(inputs, kind.In(index))
	}
	if len(inputs) > 0 && inputs[0] == contextType {
		made.takesContext, inputs = true, inputs[1:]
	}
	if len(inputs) == 1 {
		made.event = inputs[0]
	}
	outputs := kind.NumOut()
	if outputs > 0 && kind.Out(outputs-1) == errorType {
		made.canFail, outputs = true, outputs-1
	}
	made.returnsValue = outputs == 1
	if len(inputs) > 1 || outputs > 1 || kind.IsVariadic() {
		return nil, fmt.Errorf("%v is no handler: func([context.Context,] [event]) ([result,] [error]) or an http handler is", kind)
	}
	return made, nil
}

func (call *call) invoke(ctx context.Context, event map[string]any) (any, error) {
	var arguments []reflect.Value
	if call.takesContext {
		arguments = append(arguments, reflect.ValueOf(ctx))
	}
	if call.event != nil {
		value := reflect.New(call.event)
		if err := json.Unmarshal(jsonLine(event), value.Interface()); err != nil {
			return nil, err
		}
		arguments = append(arguments, value.Elem())
	}
	results := call.function.Call(arguments)
	if call.canFail {
		if err, _ := results[len(results)-1].Interface().(error); err != nil {
			return nil, err
		}
	}
	if !call.returnsValue {
		return nil, nil
	}
	return results[0].Interface(), nil
}

func invocation(request *http.Request, load *Load) (context.Context, context.CancelFunc) {
	deadline := time.Now().Add(time.Duration(load.TimeoutMs) * time.Millisecond)
	if ms, err := strconv.ParseInt(request.Header.Get("X-Fnctl-Deadline-Ms"), 10, 64); err == nil {
		deadline = time.UnixMilli(ms)
	}
	ctx := request.Context()
	told := map[string]any{
		"id": request.Header.Get(idHeader), "function": load.Function, "version": load.Version, "memory_mb": load.MemoryMb,
	}
	for key, value := range told {
		ctx = context.WithValue(ctx, key, value) //nolint:staticcheck // a type of ours could not be named by functions
	}
	return context.WithDeadline(ctx, deadline)
}

func toEvent(request *http.Request) map[string]any {
	body, _ := io.ReadAll(request.Body)
	headers := map[string]string{"host": request.Host}
	for name, values := range request.Header {
		if name != "X-Fnctl-Params" {
			headers[strings.ToLower(name)] = strings.Join(values, ", ")
		}
	}
	path, query, _ := strings.Cut(request.RequestURI, "?")
	event := map[string]any{
		"method": request.Method, "path": path, "query": pairs(query),
		"params": pairs(request.Header.Get("X-Fnctl-Params")), "headers": headers,
		"body": nil, "isBase64Encoded": false,
	}
	if len(body) > 0 && utf8.Valid(body) {
		event["body"] = string(body)
		kind, _, _ := mime.ParseMediaType(headers["content-type"])
		if (kind == "application/json" || strings.HasSuffix(kind, "+json")) && json.Valid(body) {
			event["json"] = json.RawMessage(body)
		}
	} else if len(body) > 0 {
		event["body"], event["isBase64Encoded"] = base64.StdEncoding.EncodeToString(body), true
	}
	return event
}

func pairs(query string) map[string]string {
	made := map[string]string{}
	values, _ := url.ParseQuery(query)
	for name, each := range values {
		made[name] = each[len(each)-1]
	}
	return made
}

// answer writes what a result stands for, or says why none can be made of it.
func answer(writer http.ResponseWriter, result any) error {
	if result == nil {
		writer.WriteHeader(http.StatusNoContent)
		return nil
	}
	kind, body, err := encoded(result)
	if err != nil {
		return err
	}
	var response struct {
		StatusCode      *int            `json:"statusCode"`
		Headers         map[string]any  `json:"headers"`
		Body            json.RawMessage `json:"body"`
		IsBase64Encoded bool            `json:"isBase64Encoded"`
	}
	if kind == "application/json" && json.Unmarshal(body, &response) == nil && response.StatusCode != nil {
		if *response.StatusCode < 200 || *response.StatusCode > 599 {
			return fmt.Errorf("statusCode %d is outside 200-599", *response.StatusCode)
		}
		if kind, body, err = content(response.Body, response.IsBase64Encoded); err != nil {
			return err
		}
		if err := setHeaders(writer.Header(), response.Headers); err != nil {
			return err
		}
	} else {
		ok := http.StatusOK
		response.StatusCode = &ok
	}
	if kind != "" && writer.Header().Get("Content-Type") == "" {
		writer.Header().Set("Content-Type", kind)
	}
	writer.WriteHeader(*response.StatusCode)
	writer.Write(body)
	return nil
}

func encoded(value any) (string, []byte, error) {
	switch value := value.(type) {
	case string:
		return "text/plain; charset=utf-8", []byte(value), nil
	case []byte:
		return "application/octet-stream", value, nil
	}
	text, err := json.Marshal(value)
	if err != nil {
		return "", nil, fmt.Errorf("JSON cannot carry the result: %w", err)
	}
	return "application/json", text, nil
}

func content(body json.RawMessage, isBase64 bool) (string, []byte, error) {
	var text string
	if json.Unmarshal(body, &text) != nil || string(body) == "null" || len(body) == 0 {
		if isBase64 {
			return "", nil, fmt.Errorf("isBase64Encoded with a body that is not a string")
		}
		if len(body) == 0 || string(body) == "null" {
			return "", nil, nil
		}
		return "application/json", body, nil
	}
	if !isBase64 {
		return "text/plain; charset=utf-8", []byte(text), nil
	}
	decoded, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", nil, fmt.Errorf("the body is not base64: %w", err)
	}
	return "application/octet-stream", decoded, nil
}

func setHeaders(header http.Header, given map[string]any) error {
	for name, value := range given {
		values, many := value.([]any)
		if !many {
			values = []any{value}
		}
		for _, each := range values {
			text := fmt.Sprint(each)
			if strings.ContainsAny(name+text, "\r\n\x00") || name == "" {
				return fmt.Errorf("header %q cannot be sent", name)
			}
			switch http.CanonicalHeaderKey(name) {
			case "Content-Length", "Transfer-Encoding", "Connection": // the framing is the server's
			default:
				header.Add(name, text)
			}
		}
	}
	return nil
}
