<?php
// What a worker writes, as whole lines with the mark of the invocation that wrote them. Knows no request.
declare(strict_types=1);

namespace Fnctl;

/**
 * A worker's standard output and error are one pipe, and the agent reads it: so a line is marked whoever wrote it, `echo`,
 * `error_log`, a stream to php://stderr, or a program that the function started. Which invocation it is stands in the pipe
 * itself: `\x1e` id `\x1f` from the worker, and an empty id at the end.
 */
final class LogPipe
{
    private const MAX_LINE = 65536; // a line that never ends is written in pieces of this size
    private const SWITCH = '/\x1e([0-9A-Za-z_-]{0,64})\x1f/';

    private string $rest = '';
    private string $id = '';
    private ?string $only = null; // (single) the one invocation that this worker is there for
    public bool $single = false;

    /** @param resource $stream does not block */
    public function __construct(public readonly mixed $stream, private readonly bool $marked)
    {
    }

    /** What a worker writes to its own output before and after an invocation. */
    public static function switch(string $id): void
    {
        fwrite(STDERR, "\x1e$id\x1f");
    }

    /** Pass on what is there. False once the other end is closed. */
    public function pump(): bool
    {
        $bytes = fread($this->stream, 65536);
        if ($bytes === '' || $bytes === false) {
            return !feof($this->stream);
        }
        $parts = preg_split(self::SWITCH, $this->rest . $bytes, -1, PREG_SPLIT_DELIM_CAPTURE);
        $last = count($parts) - 1;
        foreach ($parts as $index => $part) {
            if ($index % 2 === 1) {
                $this->id = $this->switchTo($part);
            } else {
                $this->rest = $this->lines($part, whole: $index < $last);
            }
        }
        return true;
    }

    /** The worker says its invocation before any code of it runs, and what that code may say later is not believed. */
    private function switchTo(string $id): string
    {
        if (!$this->single || $id === '') {
            return $id;
        }
        return $id === ($this->only ??= $id) ? $id : '';
    }

    /** Pass on everything that was written by now. */
    public function catchUp(): void
    {
        do {
            [$read, $none] = [[$this->stream], null];
        } while (@stream_select($read, $none, $none, 0) === 1 && $this->pump());
    }

    /** The same, and what has no newline: nobody writes any more. */
    public function drain(): void
    {
        $this->catchUp();
        $this->lines($this->rest, whole: true);
        $this->rest = '';
    }

    /** Write the lines of a text; returns what is left of it without a newline, unless it is whole. */
    private function lines(string $text, bool $whole): string
    {
        $end = (int) strrpos("\n" . $text, "\n");
        $end = $whole || strlen($text) - $end > self::MAX_LINE ? strlen($text) : $end;
        if ($end === 0) {
            return $text;
        }
        $lines = substr($text, 0, str_ends_with(substr($text, 0, $end), "\n") ? $end - 1 : $end);
        $mark = $this->marked && $this->id !== '' ? "\x1e{$this->id}\x1f" : '';
        @fwrite(STDERR, $mark . str_replace("\n", "\n$mark", $lines) . "\n"); // who prints faster than the host reads, waits
        return substr($text, $end);
    }
}
