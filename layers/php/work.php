<?php
// What a worker does: takes a function, gets ready for it, and serves requests on one connection after the other. Forks nothing.
declare(strict_types=1);

namespace Fnctl;

final class Work
{
    private ?Cgi $cgi = null;
    private Load $load;
    private ?Contract $contract = null;
    private ?string $file = null;
    private float $started = 0.0;
    private bool $loading = false;

    /**
     * @param ?resource $listener where connections come from
     * @param ?resource $data the one connection to serve; where neither is given, it is dialled
     */
    public function __construct(
        private readonly Kernel $kernel,
        private readonly Lines $agent,
        private readonly mixed $listener,
        private mixed $data,
    ) {
    }

    /** Get ready for a page before it is known whether one will come. */
    public function ahead(): void
    {
        $this->cgi = new Cgi($this->kernel);
        $this->cgi->rehearse();
        $this->agent->send(['op' => 'ready']);
    }

    /** Wait for the function. */
    public function accept(): self
    {
        while (($messages = $this->agent->receive()) === []) {
            continue;
        }
        if ($messages === null) {
            exit(0);
        }
        $this->load = new Load($messages[0]['load']);
        $this->started = microtime(true);
        $this->prepare();
        return $this;
    }

    /** The process as the function will see it. */
    private function prepare(): void
    {
        foreach (array_keys(getenv()) as $name) {
            if (str_starts_with($name, 'FNCTL_')) {
                putenv($name);
                unset($_SERVER[$name], $_ENV[$name]);
            }
        }
        $own = $this->load->isFc() ? fc_environment($this->load) : [];
        foreach ([...$own, ...$this->load->environment, 'PORT' => (string) $this->load->port] as $name => $value) {
            putenv("$name=$value");
            $_SERVER[$name] = $_ENV[$name] = $value;
        }
        chdir($this->load->root);
        $this->loading = true;
        register_shutdown_function($this->tellEarlyEnd(...));
    }

    /** The file that the agent's main program has to run; null for a page, which runs elsewhere, and anew for each request. */
    public function fileToRun(): ?string
    {
        if ($this->load->isWeb()) {
            Program::checkPage($this->load->root, $this->load->handler);
            $this->cgi ??= new Cgi($this->kernel);
            return null;
        }
        $this->cgi?->kill(); // was made ahead for nothing
        if ($this->load->contract === 'fc-http') {
            ship_psr7();
        }
        [$this->file, $function] = Program::split($this->load->root, $this->load->handler);
        $GLOBALS['argv'] = $_SERVER['argv'] = [$this->file];
        $GLOBALS['argc'] = $_SERVER['argc'] = 1;
        foreach (['SCRIPT_FILENAME', 'SCRIPT_NAME', 'PHP_SELF', 'PATH_TRANSLATED'] as $name) {
            $_SERVER[$name] = $this->file;
        }
        return $this->file;
    }

    /** The function's file has run. */
    public function loaded(): void
    {
        if (!$this->load->isWeb()) {
            $function = substr($this->load->handler, strrpos($this->load->handler, '.') + 1);
            $this->contract = $this->load->contractFor(Program::callable($function, (string) $this->file, $this->load->root));
            $this->initialize();
            $this->cgi?->reap();
            $this->cgi = null;
        }
        $this->loading = false;
        if ($this->listener === null) {
            $this->data ??= Lines::dial('data');
        }
        $ms = round((microtime(true) - $this->started) * 1000, 1);
        $this->agent->send(['op' => 'loaded', 'ms' => $ms, 'kind' => $this->load->isWeb() ? 'web' : 'event', 'fork' => $this->load->single]);
    }

    /** Once before the first invocation (FC's documentation, "Initializer"). */
    private function initialize(): void
    {
        if ($this->load->initializer === null) {
            return;
        }
        [$file, $function] = Program::split($this->load->root, $this->load->initializer);
        require_once $file;
        $GLOBALS['fcLogger'] = new FcLogger('');
        Program::callable($function, $file, $this->load->root)(fc_context($this->load, ''));
    }

    public function failed(\Throwable $error): never
    {
        $this->loading = false;
        fwrite(STDERR, Program::trace($error) . "\n");
        $page = $this->load->isWeb() ? "{$this->load->root}/{$this->load->handler}" : null;
        $this->agent->send(Program::failure($error, $this->load->root, $page));
        exit(1);
    }

    /** `exit` at the top of the file, or an error that PHP lets nobody catch. */
    private function tellEarlyEnd(): void
    {
        if (!$this->loading) {
            return;
        }
        $error = error_get_last();
        $fatal = $error !== null && ($error['type'] & (E_ERROR | E_PARSE | E_CORE_ERROR | E_COMPILE_ERROR | E_USER_ERROR)) !== 0;
        $message = $fatal ? $error['message'] : "{$this->load->handler} ended the process before it was loaded";
        $places = $fatal ? [[$error['file'], $error['line']]] : [];
        $this->agent->send(Program::report($fatal ? 'FatalError' : 'Exit', $message, $places, $this->load->root, $message));
        exit(1);
    }

    /** Serve until nobody asks any more. */
    public function serve(): never
    {
        do {
            $stream = $this->listener === null ? $this->data : @stream_socket_accept($this->listener, -1);
            if ($stream !== false) {
                $this->kernel->closeOnExec();
                $this->serveConnection(new Wire($stream));
            }
        } while ($this->listener !== null);
        $this->cgi?->kill();
        $this->cgi?->reap();
        $this->agent->send(['op' => 'closed']);
        if (!$this->load->single && !in_array(pcntl_signal_get_handler(SIGTERM), [SIG_DFL, SIG_IGN], true)) {
            posix_kill(getmypid(), SIGTERM); // the function's own handler
            pcntl_signal_dispatch();
        }
        exit(0); // and what was given to register_shutdown_function
    }

    private function serveConnection(Wire $wire): void
    {
        $last = $this->load->single || $this->listener !== null;
        $relay = $this->cgi === null ? null : new Relay($this->cgi, $this->load);
        try {
            while (($request = $wire->request()) !== null) {
                LogPipe::switch($request->invocation());
                $whole = $relay === null ? $this->invoke($wire, $request, $last) : $relay->serve($wire, $request, $last);
                LogPipe::switch('');
                if ($last || !$whole) {
                    break;
                }
            }
        } catch (ConnectionLost) {
            LogPipe::switch('');
        }
        fclose($wire->stream);
    }

    private function invoke(Wire $wire, Request $request, bool $last): bool
    {
        try {
            $answer = $this->contract->answer($request);
        } catch (ConnectionLost $lost) {
            throw $lost;
        } catch (BadResponse $error) {
            fwrite(STDERR, "bad response: {$error->getMessage()}\n");
            $answer = Answer::failure(502, 'bad_response', 'BadResponse', $error->getMessage());
        } catch (\Throwable $error) {
            fwrite(STDERR, Program::trace($error) . "\n");
            $answer = Answer::failure(500, 'crash', $error::class, $error->getMessage());
        }
        while (ob_get_level() > 0) {
            ob_end_flush();
        }
        $request->body->drain();
        $this->finishLines();
        $answer->send($wire, $request, $last);
        return true;
    }

    /** What the handler wrote is out before its answer is. A host keeps lines and answers together by their marks, without waiting. */
    private function finishLines(): void
    {
        LogPipe::switch('');
        if ($this->listener !== null) {
            $this->agent->send(['op' => 'wrote']);
            $this->agent->receive();
        }
    }
}
