<?php
// A connection of JSON lines: to the host, and between the agent and its workers. Knows no function.
declare(strict_types=1);

namespace Fnctl;

final class Lines
{
    private string $rest = '';

    /** @param resource $stream */
    public function __construct(public readonly mixed $stream)
    {
    }

    /** Dial one of the host's sockets. */
    public static function dial(string $name): mixed
    {
        $root = getenv('FNCTL_ROOT') ?: '/fn';
        $stream = @stream_socket_client("unix://$root/$name.sock", $code, $message, 10);
        if ($stream === false) {
            fwrite(STDERR, "cannot reach $name.sock: $message\n");
            exit(1);
        }
        stream_set_read_buffer($stream, 0); // `stream_select` shall see what the kernel has
        return $stream;
    }

    /** @return array{self, self} two ends that talk to one another */
    public static function pair(): array
    {
        [$one, $other] = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
        stream_set_read_buffer($one, 0);
        stream_set_read_buffer($other, 0);
        return [new self($one), new self($other)];
    }

    /** Waits for bytes, and yields the messages that are whole. @return ?list<array<string, mixed>> null at the end */
    public function receive(): ?array
    {
        $bytes = fread($this->stream, 65536);
        if ($bytes === '' || $bytes === false) {
            return null;
        }
        $lines = explode("\n", $this->rest . $bytes);
        $this->rest = array_pop($lines);
        return array_map(static fn (string $line) => json_decode($line, true, 512, JSON_THROW_ON_ERROR), $lines);
    }

    /** @param array<string, mixed> $message */
    public function send(array $message): void
    {
        $flags = JSON_UNESCAPED_SLASHES | JSON_INVALID_UTF8_SUBSTITUTE | JSON_PRESERVE_ZERO_FRACTION;
        @fwrite($this->stream, json_encode($message, $flags) . "\n");
    }

    public function close(): void
    {
        fclose($this->stream);
    }
}
