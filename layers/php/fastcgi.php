<?php
// One php-cgi process, and a request to it in FastCGI (fastcgi-archives.github.io, "FastCGI Specification"). Knows no HTTP.
declare(strict_types=1);

namespace Fnctl;

/**
 * A PHP of its own for pages: its whole life from request to request (superglobals, `header`, sessions, `exit`) is that of PHP behind
 * any web server, and nothing of one page meets the next. It listens on an abstract socket, so that no file tells of it.
 */
final class Cgi
{
    private const READY_S = 10;
    private const SETTINGS = [
        'memory_limit' => '-1', // the sandbox's own bound holds
        'post_max_size' => '0', 'upload_max_filesize' => '0', 'max_file_uploads' => '100', // the host bounds bodies
        'max_execution_time' => '0', // the host has deadlines
        'display_errors' => '0', 'log_errors' => '1', 'html_errors' => '0', 'expose_php' => '0',
        'variables_order' => 'EGPCS',
        'session.save_path' => '/tmp', 'session.gc_probability' => '1', // no cron job cleans here
        'cgi.fix_pathinfo' => '0', // what is a path and what is a script is decided in site.php
        'opcache.validate_timestamps' => '0', // code in a sandbox does not change
    ];

    private mixed $process;
    private string $address;

    public function __construct(Kernel $kernel)
    {
        $this->address = "unix://\0fnctl-cgi-" . getmypid();
        $listener = stream_socket_server($this->address);
        $kernel->closeOnExec();
        $command = ['/usr/bin/php-cgi8.4'];
        foreach (self::SETTINGS as $name => $value) {
            array_push($command, '-d', "$name=$value");
        }
        // The environment comes with each request; 0 is "serve any number of them".
        $environment = ['HOME' => '/tmp', 'LANG' => 'C.UTF-8', 'PHP_FCGI_MAX_REQUESTS' => '0'];
        foreach (getenv() as $name => $value) { // what is read as a process starts, and the path of its programs
            if (preg_match('/^(PATH|PHPRC|PHP_INI_SCAN_DIR|LANG|LC_.*|LD_.*|GLIBC_TUNABLES|MALLOC_.*)$/', $name) === 1) {
                $environment[$name] = $value;
            }
        }
        $this->process = proc_open($command, [$listener, STDERR, STDERR], $pipes, '/', $environment);
        fclose($listener);
    }

    /** Wait until it has served a page, so that what PHP does once is done. */
    public function rehearse(): void
    {
        $call = $this->call(['REQUEST_METHOD' => 'GET', 'SCRIPT_FILENAME' => __DIR__ . '/ready.php', 'REDIRECT_STATUS' => '200'], true);
        while ($call->read(self::READY_S) !== null) {
            continue;
        }
    }

    /** @param array<string, string> $parameters */
    public function call(array $parameters, bool $bodiless): CgiCall
    {
        $stream = @stream_socket_client($this->address);
        return $stream === false ? $this->mourn() : new CgiCall($stream, $parameters, $bodiless);
    }

    /** It has ended in the middle of a page: end as it did. */
    public function mourn(): never
    {
        $status = proc_get_status($this->process);
        for ($tries = 0; $status['running'] && $tries < 200; $tries += 1) {
            usleep(5000); // it has closed its connection, and is about to end
            $status = proc_get_status($this->process);
        }
        if ($status['signaled']) {
            posix_kill(getmypid(), $status['termsig']);
        }
        exit($status['exitcode'] ?: 1);
    }

    public function kill(): void
    {
        proc_terminate($this->process, SIGKILL);
    }

    /** Wait for the end of what was killed. */
    public function reap(): void
    {
        proc_close($this->process);
    }
}

/** One request to php-cgi: bytes of the body in, bytes of output and errors out, without waiting in either direction. */
final class CgiCall
{
    private const BEGIN = 1, END = 3, PARAMS = 4, STDIN = 5, STDOUT = 6, STDERR = 7;
    private const RESPONDER = 1;
    private const MAX_RECORD = 65528;

    private string $pending;
    private string $buffer = '';

    /**
     * @param resource $stream
     * @param array<string, string> $parameters
     */
    public function __construct(public readonly mixed $stream, array $parameters, bool $bodiless)
    {
        stream_set_blocking($stream, false);
        stream_set_read_buffer($stream, 0);
        $pairs = '';
        foreach ($parameters as $name => $value) {
            $pairs .= self::length($name) . self::length($value) . $name . $value;
        }
        $this->pending = self::record(self::BEGIN, pack('nCx5', self::RESPONDER, 0));
        foreach (str_split($pairs, self::MAX_RECORD) as $part) {
            $this->pending .= self::record(self::PARAMS, $part);
        }
        $this->pending .= self::record(self::PARAMS, '') . ($bodiless ? self::record(self::STDIN, '') : '');
    }

    /** A part of the body; an empty one is its end. */
    public function write(string $bytes): void
    {
        foreach ($bytes === '' ? [''] : str_split($bytes, self::MAX_RECORD) as $part) {
            $this->pending .= self::record(self::STDIN, $part);
        }
    }

    public function hasPending(): bool
    {
        return $this->pending !== '';
    }

    /** Send what goes out without waiting. A page that ended without reading its body is no error here. */
    public function flush(): void
    {
        $wrote = @fwrite($this->stream, $this->pending);
        $this->pending = $wrote === false ? '' : substr($this->pending, $wrote);
    }

    /**
     * What php-cgi has said, waiting for it at most so long.
     *
     * @return ?array{string, string, bool} output, errors, and whether the page has ended; null where php-cgi is gone, or silent
     */
    public function read(int $seconds): ?array
    {
        while ($this->pending !== '') {
            [$none, $write] = [null, [$this->stream]];
            stream_select($none, $write, $none, $seconds);
            $this->flush();
        }
        [$read, $none] = [[$this->stream], null];
        return stream_select($read, $none, $none, $seconds) === 1 ? $this->take() : null;
    }

    /** @return ?array{string, string, bool} as `read`, without waiting */
    public function take(): ?array
    {
        $bytes = fread($this->stream, 65536);
        if ($bytes === '' || $bytes === false) {
            return feof($this->stream) ? null : ['', '', false];
        }
        $this->buffer .= $bytes;
        [$output, $errors, $at, $ended] = ['', '', 0, false];
        while (strlen($this->buffer) - $at >= 8) {
            ['type' => $type, 'length' => $length, 'padding' => $padding] = unpack('x/Ctype/x2/nlength/Cpadding', $this->buffer, $at);
            if (strlen($this->buffer) - $at < 8 + $length + $padding) {
                break;
            }
            $content = substr($this->buffer, $at + 8, $length);
            $output .= $type === self::STDOUT ? $content : '';
            $errors .= $type === self::STDERR ? $content : '';
            $ended = $ended || $type === self::END;
            $at += 8 + $length + $padding;
        }
        $this->buffer = substr($this->buffer, $at);
        return [$output, $errors, $ended];
    }

    public function close(): void
    {
        fclose($this->stream);
    }

    private static function record(int $type, string $content): string
    {
        return pack('CCnnCx', 1, $type, 1, strlen($content), 0) . $content;
    }

    private static function length(string $text): string
    {
        return strlen($text) < 128 ? chr(strlen($text)) : pack('N', strlen($text) | 0x80000000);
    }
}
