<?php
// A worker as the agent sees it: a forked process that loads the function and serves one connection. What it does is work.php's.
declare(strict_types=1);

namespace Fnctl;

final class Worker
{
    public bool $closed = false; // its connection came to its end, and it has nothing more to do

    private function __construct(
        public readonly int $pid,
        public readonly Lines $channel,
        public readonly LogPipe $logs,
        public readonly mixed $watch,
    ) {
    }

    /**
     * The new worker; in the new process, its work instead.
     *
     * @param ?resource $data the one connection that it is to serve; without, and without a listener, it dials one
     */
    public static function fork(Kernel $kernel, bool $marked, mixed $listener = null, mixed $data = null): self|Work
    {
        [$ours, $theirs] = Lines::pair();
        [$reading, $writing] = $kernel->pipe();
        $pid = pcntl_fork();
        if ($pid < 0) {
            fwrite(STDERR, "the agent cannot fork\n");
            exit(1);
        }
        if ($pid === 0) {
            $kernel->redirectOutput($writing);
            $kernel->allowLooking(true);
            $ours->close();
            fclose($reading);
            return new Work($kernel, $theirs, $listener, $data);
        }
        $theirs->close();
        stream_set_blocking($ours->stream, false); // a program of the worker's may hold the other end open after it
        $kernel->close($writing);
        return new self($pid, $ours, new LogPipe($reading, $marked), $kernel->watch($pid));
    }

    /** @return array{int, array<string, int>} wait's status and the resources used, its programs' among them */
    public function reap(): array
    {
        pcntl_waitpid($this->pid, $status, 0, $usage);
        $this->logs->drain();
        return [$status, $usage];
    }

    /** What it still had to say when it ended. @return list<array<string, mixed>> */
    public function lastWords(): array
    {
        for ($words = []; ($more = $this->channel->receive()) !== null;) {
            array_push($words, ...$more);
        }
        return $words;
    }

    /** The agent has no life without it: end as it did. */
    public static function follow(int $status): never
    {
        if (pcntl_wifsignaled($status)) {
            posix_kill(getmypid(), pcntl_wtermsig($status));
        }
        exit(pcntl_wexitstatus($status));
    }
}
