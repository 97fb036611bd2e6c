<?php
// The agent itself: talks to the host, keeps the workers, passes on what they write. Runs nothing of the user's.
declare(strict_types=1);

namespace Fnctl;

final class AgentLoop
{
    /** @var list<Worker> */
    private array $workers = [];
    /** @var ?array<string, mixed> */
    private ?array $load = null;
    /** @var ?array<string, mixed> (ephemeral) what is said once the next worker is ready */
    private ?array $done = null;
    private bool $loaded = false;
    private bool $stopping = false;
    private readonly Lines $host;
    private readonly string $runtime;
    private readonly string $writable;

    private function __construct(private readonly Kernel $kernel)
    {
        $this->host = new Lines(Lines::dial('agent'));
        $this->runtime = 'php' . PHP_MAJOR_VERSION . '.' . PHP_MINOR_VERSION;
        $this->writable = (string) getenv('FNCTL_WIPE');
    }

    /** Returns in workers only. */
    public static function start(): Work
    {
        $agent = new self(new Kernel());
        $agent->kernel->allowLooking(false);
        // Booted for a function that is known, its worker is made when it is told.
        $work = getenv('FNCTL_PRELOAD') === '0' ? null : $agent->startWorker(ahead: true);
        if ($work !== null) {
            return $work->accept();
        }
        $agent->host->send(['op' => 'hello', 'protocol' => 1, 'role' => 'agent', 'runtime' => $agent->runtime, 'pid' => getmypid(), 'boot' => (string) getenv('FNCTL_BOOT')]);
        return $agent->run();
    }

    private function run(): Work
    {
        while (true) {
            $read = [$this->host->stream];
            foreach ($this->workers as $worker) {
                array_push($read, $worker->channel->stream, $worker->logs->stream, $worker->watch);
            }
            $none = null;
            if (stream_select($read, $none, $none, null) === false) {
                continue;
            }
            $work = $this->turn($read);
            if ($work !== null) {
                return $work->accept();
            }
        }
    }

    /** @param list<resource> $ready */
    private function turn(array $ready): ?Work
    {
        foreach ($this->workers as $worker) {
            if (in_array($worker->logs->stream, $ready, true)) {
                $worker->logs->pump();
            }
            if (in_array($worker->watch, $ready, true)) {
                $work = $this->ended($worker);
            } elseif (in_array($worker->channel->stream, $ready, true)) {
                $work = $this->heard($worker, $worker->channel->receive() ?? []);
            }
            if (isset($work)) {
                return $work;
            }
        }
        if (!in_array($this->host->stream, $ready, true)) {
            return null;
        }
        $messages = $this->host->receive();
        if ($messages === null) {
            exit(0); // and the supervisor ends the workers
        }
        foreach ($messages as $message) {
            if (($work = $this->told($message)) !== null) {
                return $work;
            }
        }
        return null;
    }

    /** @param array<string, mixed> $message of the host's */
    private function told(array $message): ?Work
    {
        if ($message['op'] === 'stop') { // workers end with their connections, which the host closes
            $this->stopping = true;
            $this->leaveIfAlone();
        }
        $count = match ($message['op']) {
            'load' => 1,
            'dial' => $this->isEphemeral() ? 0 : $message['n'], // ephemeral: one connection at a time
            default => 0,
        };
        if ($message['op'] === 'load') {
            $this->load = $message;
            if ($this->workers !== []) { // the one that was made ahead
                $this->workers[0]->logs->single = $this->isEphemeral();
                $this->workers[0]->channel->send(['load' => $message]);
                return null;
            }
        }
        for ($n = 0; $n < $count; $n += 1) {
            if (($work = $this->startWorker()) !== null) {
                return $work;
            }
        }
        return null;
    }

    private function isEphemeral(): bool
    {
        return ($this->load['model'] ?? '') === 'ephemeral';
    }

    /** One worker more, with the function where it is known. In the new process, its work; in the agent null. */
    private function startWorker(bool $ahead = false): ?Work
    {
        // Dialled here and not by the worker: by this process the host knows it (SO_PEERCRED) from what a worker dials.
        $data = $this->isEphemeral() ? Lines::dial('data') : null;
        $made = Worker::fork($this->kernel, marked: true, data: $data);
        if ($made instanceof Work) {
            $this->forget();
            if ($ahead) {
                $made->ahead();
            }
            return $made;
        }
        if ($data !== null) {
            fclose($data);
        }
        $made->logs->single = $this->isEphemeral();
        $this->workers[] = $made;
        if ($ahead) {
            [$read, $none] = [[$made->channel->stream], null];
            stream_select($read, $none, $none, null);
            $made->channel->receive();
        }
        if ($this->load !== null) {
            $made->channel->send(['load' => $this->load]);
        }
        return null;
    }

    /** In a worker: what is the agent's own is closed. */
    private function forget(): void
    {
        $this->host->close();
        foreach ($this->workers as $worker) {
            $worker->channel->close();
            fclose($worker->logs->stream);
            fclose($worker->watch);
        }
        $this->workers = [];
    }

    /** @param list<array<string, mixed>> $messages of a worker's */
    private function heard(Worker $worker, array $messages): null
    {
        foreach ($messages as $message) {
            if ($message['op'] === 'closed') {
                $worker->closed = true;
            } elseif ($message['op'] === 'load_failed' && !$this->loaded) {
                $this->host->send($message);
            } elseif ($message['op'] === 'loaded') {
                $this->ready($message);
            }
        }
        return null;
    }

    /** @param array<string, mixed> $message */
    private function ready(array $message): void
    {
        if (!$this->loaded) {
            $this->loaded = true;
            $this->host->send($message);
        } elseif ($this->done !== null) {
            $this->host->send($this->done);
            $this->done = null;
        }
    }

    private function ended(Worker $worker): ?Work
    {
        $this->heard($worker, $worker->lastWords());
        [$status, $usage] = $worker->reap();
        $this->workers = array_values(array_filter($this->workers, static fn (Worker $each) => $each !== $worker));
        if ($this->isEphemeral() && $this->loaded && $this->done === null) {
            return $this->next($status, $usage);
        }
        $this->leaveIfAlone();
        return $worker->closed ? null : Worker::follow($status);
    }

    /** The host needs the function no more, and the last worker has ended. */
    private function leaveIfAlone(): void
    {
        if ($this->stopping && $this->workers === []) {
            exit(0);
        }
    }

    /**
     * An ephemeral invocation is over: nothing of it may be left, and a new worker gets ready for the next.
     *
     * @param array<string, int> $usage
     */
    private function next(int $status, array $usage): ?Work
    {
        Clean::sandbox($this->writable);
        $micros = ($usage['ru_utime.tv_sec'] + $usage['ru_stime.tv_sec']) * 1e6 + $usage['ru_utime.tv_usec'] + $usage['ru_stime.tv_usec'];
        $signaled = pcntl_wifsignaled($status);
        $this->done = [
            'op' => 'done',
            'cpu_ms' => round($micros / 1000, 1),
            'peak_kb' => $usage['ru_maxrss'],
            'code' => $signaled ? 0 : pcntl_wexitstatus($status),
            'signal' => $signaled ? pcntl_wtermsig($status) : 0,
        ];
        return $this->startWorker();
    }
}
