<?php
// HTTP/1.1 on one connection, as a server: heads in, bodies as they come, answers out. Knows no function.
declare(strict_types=1);

namespace Fnctl;

const ID_HEADER = 'x-fnctl-invocation-id';
const REASONS = [200 => 'OK', 201 => 'Created', 202 => 'Accepted', 204 => 'No Content', 301 => 'Moved Permanently', 302 => 'Found',
    303 => 'See Other', 304 => 'Not Modified', 307 => 'Temporary Redirect', 308 => 'Permanent Redirect', 400 => 'Bad Request',
    401 => 'Unauthorized', 403 => 'Forbidden', 404 => 'Not Found', 405 => 'Method Not Allowed', 409 => 'Conflict', 410 => 'Gone',
    422 => 'Unprocessable Content', 429 => 'Too Many Requests', 500 => 'Internal Server Error',
    502 => 'Bad Gateway', 503 => 'Service Unavailable'];

/** The other side is gone, or says what is not HTTP: nobody is there to be told. */
final class ConnectionLost extends \Exception
{
}

final class Request
{
    /** @param list<array{string, string}> $headers with names in lower case */
    public function __construct(
        public readonly string $method,
        public readonly string $target,
        public readonly array $headers,
        public readonly Body $body,
    ) {
    }

    /** All values of a header, joined as RFC 9110 says; null where there is none. */
    public function header(string $name): ?string
    {
        $values = array_column(array_filter($this->headers, static fn (array $each) => $each[0] === $name), 1);
        return $values === [] ? null : implode($name === 'cookie' ? '; ' : ', ', $values);
    }

    /** @return array<string, string> every header once */
    public function joined(): array
    {
        $joined = [];
        foreach ($this->headers as [$name, $value]) {
            $joined[$name] = isset($joined[$name]) ? $joined[$name] . ($name === 'cookie' ? '; ' : ', ') . $value : $value;
        }
        return $joined;
    }

    public function path(): string
    {
        return explode('?', $this->target, 2)[0];
    }

    public function query(): string
    {
        return explode('?', $this->target, 2)[1] ?? '';
    }

    public function invocation(): string
    {
        return $this->header(ID_HEADER) ?? '';
    }
}

/** The bytes of a connection, buffered. */
final class Wire
{
    private const MAX_HEAD = 1 << 20; // the host bounds heads far below this

    private string $buffer = '';

    /** @param resource $stream */
    public function __construct(public readonly mixed $stream)
    {
    }

    /** The next request; null where the other side has none any more. */
    public function request(): ?Request
    {
        while (($end = strpos($this->buffer, "\r\n\r\n")) === false) {
            if (strlen($this->buffer) > self::MAX_HEAD || !$this->fill()) {
                return null;
            }
        }
        $lines = explode("\r\n", substr($this->buffer, 0, $end));
        $this->buffer = substr($this->buffer, $end + 4);
        [$method, $target] = explode(' ', array_shift($lines), 3) + ['', '/'];
        $headers = [];
        foreach ($lines as $line) {
            [$name, $value] = explode(':', $line, 2) + ['', ''];
            $headers[] = [strtolower($name), trim($value)];
        }
        return new Request($method, $target, $headers, $this->body(array_column($headers, 1, 0)));
    }

    /** @param array<string, string> $headers */
    private function body(array $headers): Body
    {
        $chunked = isset($headers['transfer-encoding']);
        $length = (int) ($headers['content-length'] ?? 0);
        if (strtolower($headers['expect'] ?? '') === '100-continue') {
            $this->write("HTTP/1.1 100 Continue\r\n\r\n");
        }
        return new Body($this, $chunked ? null : $length);
    }

    /** One line without its end. */
    public function line(): string
    {
        while (($end = strpos($this->buffer, "\r\n")) === false) {
            $this->fill() || throw new ConnectionLost();
        }
        $line = substr($this->buffer, 0, $end);
        $this->buffer = substr($this->buffer, $end + 2);
        return $line;
    }

    /** At least one byte and at most so many. */
    public function some(int $most): string
    {
        if ($this->buffer === '' && !$this->fill()) {
            throw new ConnectionLost();
        }
        $bytes = substr($this->buffer, 0, $most);
        $this->buffer = substr($this->buffer, strlen($bytes));
        return $bytes;
    }

    public function hasBuffered(): bool
    {
        return $this->buffer !== '';
    }

    public function write(string $bytes): void
    {
        for ($at = 0; $at < strlen($bytes); $at += $wrote) {
            $wrote = @fwrite($this->stream, $at === 0 ? $bytes : substr($bytes, $at));
            if ($wrote === false || $wrote === 0) {
                throw new ConnectionLost();
            }
        }
    }

    private function fill(): bool
    {
        $bytes = @fread($this->stream, 65536);
        if ($bytes === '' || $bytes === false) {
            return false;
        }
        $this->buffer .= $bytes;
        return true;
    }
}

/** A request's body: read as it comes, or all at once. */
final class Body
{
    private int $left;
    private bool $ended;

    /** @param ?int $length null: it comes in chunks */
    public function __construct(private readonly Wire $wire, public readonly ?int $length)
    {
        $this->left = $length ?? 0;
        $this->ended = $length === 0;
    }

    public function ended(): bool
    {
        return $this->ended;
    }

    public function hasBuffered(): bool
    {
        return $this->wire->hasBuffered();
    }

    /** @return resource what its bytes come from */
    public function stream(): mixed
    {
        return $this->wire->stream;
    }

    /** The next bytes; empty at the end. */
    public function read(): string
    {
        if (!$this->ended && $this->left === 0) {
            $this->left = (int) hexdec(explode(';', $this->wire->line())[0]);
            $this->ended = $this->left === 0;
            while ($this->ended && $this->wire->line() !== '') {
                continue; // trailers
            }
        }
        if ($this->ended) {
            return '';
        }
        $bytes = $this->wire->some(min($this->left, 65536));
        $this->left -= strlen($bytes);
        if ($this->left === 0) {
            if ($this->length === null) {
                $this->wire->line();
            } else {
                $this->ended = true;
            }
        }
        return $bytes;
    }

    public function all(): string
    {
        for ($all = ''; ($bytes = $this->read()) !== '';) {
            $all .= $bytes;
        }
        return $all;
    }

    /** Read what nobody wanted, so that the next request begins where it does. */
    public function drain(): void
    {
        while ($this->read() !== '') {
            continue;
        }
    }
}

/** A whole answer. */
final class Answer
{
    /** @param list<array{string, string}> $headers */
    public function __construct(public readonly int $status, public readonly array $headers, public readonly string $body)
    {
    }

    /** What the protocol says for a handler that raised (500, crash) or returned nonsense (502, bad_response). */
    public static function failure(int $status, string $code, string $type, string $message): self
    {
        $body = json_encode(['error' => ['type' => $type, 'message' => $message]], JSON_INVALID_UTF8_SUBSTITUTE);
        return new self($status, [['X-Fnctl-Error', $code], ['Content-Type', 'application/json']], $body);
    }

    public function send(Wire $wire, Request $request, bool $last): void
    {
        $bodiless = $this->status === 204 || $this->status === 304;
        $headers = $this->headers;
        if (!$bodiless) {
            $headers[] = ['Content-Length', (string) strlen($this->body)];
        }
        $body = $bodiless || $request->method === 'HEAD' ? '' : $this->body;
        $wire->write(head($this->status, REASONS[$this->status] ?? '', $headers, $last) . $body);
    }
}

/** @param list<array{string, string}> $headers */
function head(int $status, string $reason, array $headers, bool $last): string
{
    $lines = "HTTP/1.1 $status $reason\r\n";
    foreach ($headers as [$name, $value]) {
        $lines .= "$name: $value\r\n";
    }
    return $lines . ($last ? "Connection: close\r\n\r\n" : "\r\n");
}
