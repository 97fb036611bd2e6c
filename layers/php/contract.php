<?php
// What a function's code was written for, as a thing that answers requests. Which contracts there are, and which applies.
declare(strict_types=1);

namespace Fnctl;

/** What a handler returned is no response. */
final class BadResponse extends \Exception
{
}

/** Calls a handler for a request. Whatever the handler throws, it throws. */
interface Contract
{
    public function answer(Request $request): Answer;
}

/** What `load` says, with the words of this agent. */
final class Load
{
    public readonly string $function;
    public readonly string $version;
    public readonly string $handler;
    public readonly string $root;
    public readonly string $contract;
    public readonly ?string $initializer;
    /** @var array<string, string> */
    public readonly array $environment;
    public readonly int $timeoutMs;
    public readonly int $memoryMb;
    public readonly int $port;
    public readonly int $concurrency;
    public readonly bool $single;

    /** @param array<string, mixed> $message */
    public function __construct(array $message)
    {
        $this->function = $message['function'];
        $this->version = $message['version'];
        $this->handler = $message['handler'];
        $this->root = $message['root'];
        $this->contract = $message['contract'] ?? (Program::isPage($this->handler) ? 'web' : 'event');
        $this->initializer = $message['initializer'] ?? null;
        $this->environment = array_map(strval(...), $message['env'] ?? []);
        $this->timeoutMs = $message['timeout_ms'];
        $this->memoryMb = $message['memory_mb'];
        $this->port = $message['port'];
        $this->concurrency = $message['concurrency'] ?? 1;
        $this->single = ($message['model'] ?? 'resident') === 'ephemeral';
    }

    public function isFc(): bool
    {
        return str_starts_with($this->contract, 'fc');
    }

    public function isWeb(): bool
    {
        return $this->contract === 'web';
    }

    /** The contract around the handler, whose file has run. */
    public function contractFor(callable $handler): Contract
    {
        return match ($this->contract) {
            'event' => new EventContract($handler(...), $this),
            'fc-event' => new FcEventContract($handler(...), $this),
            'fc-http' => new FcHttpContract($handler(...), $this),
            'fc3-http' => new Fc3HttpContract($handler(...), $this),
            default => throw new NoSuchHandler("the PHP agent does not know the contract {$this->contract}"),
        };
    }
}
