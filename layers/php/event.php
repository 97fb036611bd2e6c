<?php
// The contract `event`: HTTP request → handler($event, $context) → HTTP response. The rules are in ../PROTOCOL.md.
declare(strict_types=1);

namespace Fnctl;

/** What a handler is told about its invocation. */
final class Context
{
    public function __construct(
        public readonly string $id,
        public readonly string $function,
        public readonly string $version,
        public readonly int $memory_mb,
        public readonly int $deadline_ms,
    ) {
    }

    public static function of(Request $request, Load $load): self
    {
        $deadline = $request->header('x-fnctl-deadline-ms') ?? (string) (now_ms() + $load->timeoutMs);
        $id = $request->invocation() ?: bin2hex(random_bytes(13)); // without a host, its own
        return new self($id, $load->function, $load->version, $load->memoryMb, (int) $deadline);
    }

    /** Until the host gives up; never below zero. */
    public function remaining_ms(): int
    {
        return max(0, $this->deadline_ms - now_ms());
    }
}

function now_ms(): int
{
    return (int) (microtime(true) * 1000);
}

final class EventContract implements Contract
{
    public function __construct(private readonly \Closure $handler, private readonly Load $load)
    {
    }

    public function answer(Request $request): Answer
    {
        return self::toAnswer(($this->handler)(self::event($request), Context::of($request, $this->load)));
    }

    /** @return array<string, mixed> */
    private static function event(Request $request): array
    {
        $headers = $request->joined();
        $params = $headers['x-fnctl-params'] ?? '';
        unset($headers['x-fnctl-params']);
        $event = [
            'method' => $request->method,
            'path' => $request->path(),
            'query' => self::pairs($request->query()),
            'params' => self::pairs($params),
            'headers' => $headers,
            ...self::body($request->body->all()),
        ];
        $json = preg_match('~^application/([^;\s]+\+)?json\s*(;|$)~i', $headers['content-type'] ?? '') === 1;
        if ($json && is_string($event['body']) && !$event['isBase64Encoded'] && json_validate($event['body'])) {
            $event['json'] = json_decode($event['body'], true);
        }
        return $event;
    }

    /** Not parse_str, which makes arrays of `a[]` and underscores of dots. @return array<string, string> */
    public static function pairs(string $query): array
    {
        $pairs = [];
        foreach ($query === '' ? [] : explode('&', $query) as $pair) {
            [$name, $value] = explode('=', $pair, 2) + ['', ''];
            $pairs[urldecode($name)] = urldecode($value);
        }
        return $pairs;
    }

    /** @return array{body: ?string, isBase64Encoded: bool} */
    private static function body(string $bytes): array
    {
        if ($bytes === '') {
            return ['body' => null, 'isBase64Encoded' => false];
        }
        $text = mb_check_encoding($bytes, 'UTF-8');
        return ['body' => $text ? $bytes : base64_encode($bytes), 'isBase64Encoded' => !$text];
    }

    /** The response that a handler's return value stands for. Throws BadResponse for what none can be made of. */
    public static function toAnswer(mixed $result): Answer
    {
        if ($result === null) {
            return new Answer(204, [], '');
        }
        if (!is_array($result) || !is_int($result['statusCode'] ?? null)) {
            [$type, $body] = self::encoded($result);
            return new Answer(200, [['Content-Type', $type]], $body);
        }
        $status = $result['statusCode'];
        if ($status < 200 || $status > 599) {
            throw new BadResponse("statusCode $status is outside 200-599");
        }
        $body = $result['body'] ?? null;
        [$type, $content] = match (true) {
            $result['isBase64Encoded'] ?? false => self::decoded($body),
            $body === null => ['', ''],
            default => self::encoded($body),
        };
        return new Answer($status, headers($result['headers'] ?? [], $type), $content);
    }

    /** PHP has one kind of string: what is not UTF-8 is bytes. @return array{string, string} */
    private static function encoded(mixed $value): array
    {
        if (is_string($value)) {
            return [mb_check_encoding($value, 'UTF-8') && !str_contains($value, "\0") ? 'text/plain; charset=utf-8' : 'application/octet-stream', $value];
        }
        return ['application/json', json($value)];
    }

    /** @return array{string, string} */
    private static function decoded(mixed $body): array
    {
        $bytes = is_string($body) ? base64_decode($body, true) : false;
        return $bytes === false ? throw new BadResponse('isBase64Encoded with a body that is not base64') : ['application/octet-stream', $bytes];
    }
}

function json(mixed $value): string
{
    try {
        return json_encode($value, JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_THROW_ON_ERROR);
    } catch (\JsonException $error) {
        throw new BadResponse("JSON cannot carry the result: {$error->getMessage()}");
    }
}

/**
 * A handler's headers, checked. The length is the body's own: a handler's differing one would break the framing.
 *
 * @return list<array{string, string}>
 */
function headers(mixed $headers, string $type): array
{
    if (!is_array($headers)) {
        throw new BadResponse('headers is not an array');
    }
    $made = [];
    foreach ($headers as $name => $values) {
        $name = (string) $name;
        foreach ((array) $values as $value) {
            if (preg_match('/^[!#$%&\'*+.^_`|~0-9A-Za-z-]+$/', $name) !== 1 || !is_scalar($value) || preg_match('/[\r\n\0]/', (string) $value)) {
                throw new BadResponse('header ' . json_encode($name) . ' cannot be sent');
            }
            if (!in_array(strtolower($name), ['content-length', 'transfer-encoding', 'connection'], true)) {
                $made[] = [$name, (string) $value];
            }
        }
    }
    $typed = array_filter($made, static fn (array $each) => strtolower($each[0]) === 'content-type');
    return $type === '' || $typed !== [] ? $made : [['Content-Type', $type], ...$made];
}
