<?php
// A shipped image under plain `docker run`: the same function on a port of its own, without a host.
declare(strict_types=1);

namespace Fnctl;

final class Standalone
{
    /** Serve the function that FNCTL_LOAD describes on $PORT. Returns in workers only: each takes connections from the same port. */
    public static function start(): Work
    {
        $load = json_decode((string) getenv('FNCTL_LOAD'), true, 512, JSON_THROW_ON_ERROR);
        $port = (int) (getenv('PORT') ?: $load['port'] ?? 8080);
        // The container's own variables win.
        $load = [...$load, 'port' => $port, 'env' => array_diff_key($load['env'] ?? [], getenv()), 'model' => 'resident'];
        // As PID 1 there is no default action for a signal.
        pcntl_async_signals(true);
        foreach ([SIGTERM, SIGINT] as $signal) {
            pcntl_signal($signal, static fn () => exit(0));
        }
        $address = $load['address'] ?? '0.0.0.0';
        $listener = stream_socket_server("tcp://$address:$port", $code, $message, STREAM_SERVER_BIND | STREAM_SERVER_LISTEN,
            stream_context_create(['socket' => ['backlog' => 256, 'tcp_nodelay' => true]]));
        if ($listener === false) {
            fwrite(STDERR, "cannot listen on port $port: $message\n");
            exit(1);
        }
        return self::run(new Kernel(), $listener, $load);
    }

    /**
     * @param resource $listener
     * @param array<string, mixed> $load
     */
    private static function run(Kernel $kernel, mixed $listener, array $load): Work
    {
        $workers = [];
        for ($n = 0; $n < max(1, (int) ($load['concurrency'] ?? 1)); $n += 1) {
            $made = Worker::fork($kernel, marked: false, listener: $listener);
            if ($made instanceof Work) {
                return $made->accept();
            }
            $made->channel->send(['load' => $load]);
            $workers[] = $made;
            if ($n === 0) {
                self::awaitLoaded($made); // a function that does not load is told once
            }
        }
        while (true) {
            self::attend($workers);
        }
    }

    /** @param list<Worker> $workers */
    private static function attend(array $workers): void
    {
        $read = [];
        foreach ($workers as $worker) {
            array_push($read, $worker->channel->stream, $worker->logs->stream, $worker->watch);
        }
        $none = null;
        if (@stream_select($read, $none, $none, null) === false) {
            return; // a signal
        }
        foreach ($workers as $worker) {
            $worker->logs->catchUp();
            if (in_array($worker->watch, $read, true)) {
                Worker::follow($worker->reap()[0]);
            }
            if (in_array($worker->channel->stream, $read, true)) {
                self::hear($worker, $worker->channel->receive() ?? []);
            }
        }
    }

    /**
     * A worker that asks has written all lines of an invocation, and answers its client once they are out.
     *
     * @param list<array<string, mixed>> $messages
     */
    private static function hear(Worker $worker, array $messages): void
    {
        foreach ($messages as $message) {
            if ($message['op'] === 'wrote') {
                $worker->logs->catchUp();
                $worker->channel->send(['op' => 'told']);
            }
        }
    }

    private static function awaitLoaded(Worker $worker): void
    {
        do {
            [$read, $none] = [[$worker->channel->stream, $worker->logs->stream], null];
            @stream_select($read, $none, $none, null);
            $worker->logs->catchUp();
        } while (!in_array($worker->channel->stream, $read, true));
        $messages = $worker->channel->receive() ?? [];
        if (($messages[0]['op'] ?? '') !== 'loaded') {
            Worker::follow($worker->reap()[0]);
        }
        self::hear($worker, $messages); // it may serve already
    }
}
