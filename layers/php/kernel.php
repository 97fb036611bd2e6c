<?php
// The few system calls that PHP has no function for. Decides nothing.
declare(strict_types=1);

namespace Fnctl;

final class Kernel
{
    private const PIDFD_OPEN = 434; // the same number on x86_64 and arm64
    private const CLOSE_RANGE = 436;
    private const CLOSE_RANGE_CLOEXEC = 4;
    private const PR_SET_DUMPABLE = 4;

    private \FFI $libc;

    public function __construct()
    {
        $this->libc = \FFI::cdef(
            'int pipe(int *); int dup2(int, int); int close(int); long syscall(long, ...);'
            . ' int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long);'
        );
    }

    /**
     * For a process's output: a pipe as the agent's own, since PHP's STDERR remembers what it was when the agent started.
     *
     * @return array{resource, int} the end to read as a stream that does not block, and the other as a descriptor
     */
    public function pipe(): array
    {
        $ends = $this->libc->new('int[2]');
        if ($this->libc->pipe($ends) !== 0) {
            throw new \RuntimeException('no pipe can be made');
        }
        $reading = $this->stream($ends[0]);
        stream_set_blocking($reading, false);
        return [$reading, $ends[1]];
    }

    /** Make standard output and error that descriptor, which is closed. */
    public function redirectOutput(int $to): void
    {
        $this->libc->dup2($to, 1);
        $this->libc->dup2($to, 2);
        $this->libc->close($to);
    }

    public function close(int $descriptor): void
    {
        $this->libc->close($descriptor);
    }

    /** @return resource a stream that becomes readable when the process has ended */
    public function watch(int $pid)
    {
        return $this->stream($this->libc->syscall(self::PIDFD_OPEN, $pid, 0));
    }

    /** Programs that are started from now on inherit none of what is open by now, but standard input and output. */
    public function closeOnExec(): void
    {
        $this->libc->syscall(self::CLOSE_RANGE, 3, 0x7fffffff, self::CLOSE_RANGE_CLOEXEC);
    }

    /** May other processes of the same user look into this one through /proc? */
    public function allowLooking(bool $allowed): void
    {
        $this->libc->prctl(self::PR_SET_DUMPABLE, (int) $allowed, 0, 0, 0);
    }

    /** @return resource */
    private function stream(int $descriptor)
    {
        $stream = fopen("php://fd/$descriptor", 'r'); // a duplicate
        $this->libc->close($descriptor);
        stream_set_read_buffer($stream, 0); // `stream_select` shall see what the kernel has
        return $stream;
    }
}
