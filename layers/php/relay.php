<?php
// The contract `web`: an HTTP request to a page in php-cgi and its output back, both as they come. Static files are sent from here.
declare(strict_types=1);

namespace Fnctl;

final class Relay
{
    private const SILENCE_S = 3600; // the host's deadline is shorter, and ends everything

    private readonly Site $site;

    public function __construct(private readonly Cgi $cgi, private readonly Load $load)
    {
        $this->site = new Site($load->root, $load->handler);
    }

    /** False where the connection cannot carry another request. */
    public function serve(Wire $wire, Request $request, bool $last): bool
    {
        $found = $this->site->find($request->path());
        if ($found->file !== null) {
            return $this->sendFile($found->file, $wire, $request, $last);
        }
        [$body, $length] = $this->counted($request->body);
        $call = $this->cgi->call($this->site->variables($request, $found, $this->load, $length), $length === 0);
        $page = new Page($wire, $request->method === 'HEAD', $last);
        try {
            $this->exchange($call, $body, $page);
        } finally {
            $call->close();
        }
        $request->body->drain();
        return !$page->incomplete();
    }

    /** Copy both ways until the page has ended. */
    private function exchange(CgiCall $call, Source $body, Page $page): void
    {
        while (true) {
            if (!$call->hasPending() && $body->isReady()) {
                $call->write($body->read());
            }
            // One part of the body at a time: the client is not faster than the page.
            $waiting = $call->hasPending() || $body->ended() ? [] : [$body->stream()];
            [$read, $write, $none] = [[$call->stream, ...$waiting], $call->hasPending() ? [$call->stream] : null, null];
            if (stream_select($read, $write, $none, self::SILENCE_S) === false) {
                continue;
            }
            if ($write) {
                $call->flush();
            }
            if ($waiting !== [] && in_array($waiting[0], $read, true)) {
                $call->write($body->read());
            }
            if (in_array($call->stream, $read, true)) {
                $said = $call->take() ?? $this->cgi->mourn();
                fwrite(STDERR, $said[1]);
                $page->take($said[0], $said[2]);
                if ($said[2]) {
                    return;
                }
            }
        }
    }

    /**
     * CGI tells a page how long its body is before it starts: one that comes in chunks has to be there first.
     *
     * @return array{Source, int}
     */
    private function counted(Body $body): array
    {
        if ($body->length !== null) {
            return [new Source($body, null), $body->length];
        }
        $spool = fopen('php://temp', 'w+');
        while (($bytes = $body->read()) !== '') {
            fwrite($spool, $bytes);
        }
        $length = ftell($spool);
        rewind($spool);
        return [new Source($body, $spool), $length];
    }

    private function sendFile(string $file, Wire $wire, Request $request, bool $last): bool
    {
        $request->body->drain();
        if ($request->method !== 'GET' && $request->method !== 'HEAD') {
            (new Answer(405, [['Allow', 'GET, HEAD']], ''))->send($wire, $request, $last);
            return true;
        }
        $headers = [['Content-Type', Site::type($file)], ['Content-Length', (string) filesize($file)]];
        $wire->write(head(200, 'OK', $headers, $last));
        $source = fopen($file, 'r');
        while ($request->method === 'GET' && ($bytes = (string) fread($source, 1 << 20)) !== '') {
            $wire->write($bytes);
        }
        return true;
    }
}

/** A request's body on its way to a page: from the connection, or from where it was kept. */
final class Source
{
    private bool $ended;

    /** @param ?resource $spool */
    public function __construct(private readonly Body $body, private readonly mixed $spool)
    {
        $this->ended = $spool === null ? $body->length === 0 : fstat($spool)['size'] === 0;
    }

    public function ended(): bool
    {
        return $this->ended;
    }

    /** Are there bytes that can be had without waiting? */
    public function isReady(): bool
    {
        return !$this->ended && ($this->spool !== null || $this->body->hasBuffered() || $this->body->ended());
    }

    /** @return resource what to wait for where nothing is ready; a body that was kept always is */
    public function stream(): mixed
    {
        return $this->body->stream();
    }

    /** The next bytes; empty exactly once, at the end. */
    public function read(): string
    {
        $bytes = $this->spool === null ? $this->body->read() : (string) fread($this->spool, 65536);
        $this->ended = $bytes === '';
        return $bytes;
    }
}

/** A page's output as a response: the head that CGI writes (RFC 3875, section 6) in HTTP's words, then the body. */
final class Page
{
    private string $head = '';
    private bool $started = false;
    private bool $chunked = false;
    private bool $bodiless;
    private ?int $left = null; // bytes of the body that the page announced and has not sent

    public function __construct(private readonly Wire $wire, private readonly bool $headOnly, private readonly bool $last)
    {
        $this->bodiless = $headOnly;
    }

    /** A page that announced more than it sent: only the end of the connection tells the client. */
    public function incomplete(): bool
    {
        return ($this->left ?? 0) > 0;
    }

    public function take(string $output, bool $ended): void
    {
        if (!$this->started) {
            $this->head .= $output;
            if (preg_match('/\r?\n\r?\n/', $this->head, $match, PREG_OFFSET_CAPTURE) !== 1) {
                if ($ended) {
                    $this->start("Status: 502\r\nX-Fnctl-Error: bad_response", 0);
                }
                return;
            }
            [$end, $at] = [strlen($match[0][0]), $match[0][1]];
            $output = substr($this->head, $at + $end);
            $this->start(substr($this->head, 0, $at), $ended ? strlen($output) : null);
        }
        $this->body($output, $ended);
    }

    /** @param ?int $length of the whole body, where it is known */
    private function start(string $head, ?int $length): void
    {
        $this->started = true;
        [$status, $reason, $headers, $announced] = [200, 'OK', [], null];
        foreach (preg_split('/\r?\n/', $head) as $line) {
            [$name, $value] = explode(':', $line, 2) + ['', ''];
            $value = trim($value);
            match (strtolower($name)) {
                'status' => [$status, $reason] = [(int) $value, trim(substr($value, 3)) ?: REASONS[(int) $value] ?? ''],
                'content-length' => $announced = ctype_digit($value) ? (int) $value : null,
                'connection', 'transfer-encoding', 'keep-alive', '' => null,
                default => $headers[] = [$name, $value],
            };
        }
        $this->bodiless = $this->headOnly || $status === 204 || $status === 304;
        $length = $announced ?? ($this->headOnly ? null : $length);
        if ($length !== null && $status !== 204 && $status !== 304) {
            $headers[] = ['Content-Length', (string) $length];
            $this->left = $this->bodiless ? null : $length;
        } elseif (!$this->bodiless) {
            $headers[] = ['Transfer-Encoding', 'chunked'];
            $this->chunked = true;
        }
        $this->wire->write(head($status, $reason, $headers, $this->last));
    }

    private function body(string $bytes, bool $ended): void
    {
        if ($this->bodiless) {
            return;
        }
        if ($this->chunked) {
            $chunk = $bytes === '' ? '' : dechex(strlen($bytes)) . "\r\n$bytes\r\n";
            $this->wire->write($chunk . ($ended ? "0\r\n\r\n" : ''));
            return;
        }
        $bytes = substr($bytes, 0, (int) $this->left);
        $this->left -= strlen($bytes);
        $this->wire->write($bytes);
    }
}
