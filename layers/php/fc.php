<?php
// The contracts of Alibaba Cloud Function Compute for PHP: event handlers, PSR-7 HTTP handlers, initializers, `$context`.
//
// From its documentation (help.aliyun.com, Function Compute 2.0, "PHP runtime": event-handlers, http-handlers, context, log): the event is
// the raw payload; an HTTP handler gets a PSR-7 server request with the attributes path, requestURI and clientIP, and returns a PSR-7
// response, made with the class RingCentral\Psr7\Response that the platform ships; `$context` is an array; `$GLOBALS['fcLogger']` logs.
declare(strict_types=1);

namespace Fnctl;

final class FcEventContract implements Contract
{
    public function __construct(private readonly \Closure $handler, private readonly Load $load)
    {
    }

    public function answer(Request $request): Answer
    {
        $id = $request->invocation() ?: bin2hex(random_bytes(13));
        $GLOBALS['fcLogger'] = new FcLogger($id);
        return self::toAnswer(($this->handler)($request->body->all(), fc_context($this->load, $id)));
    }

    /** Nothing is an empty 200; `statusCode` makes a response, as HTTP triggers take it; the rest is the body. */
    private static function toAnswer(mixed $result): Answer
    {
        return $result === null ? new Answer(200, [], '') : EventContract::toAnswer($result);
    }
}

/**
 * Function Compute 3.0 behind an HTTP trigger: the event is the request, as JSON (help.aliyun.com, Function Compute 3.0, "HTTP triggers":
 * request and response struct).
 */
final class Fc3HttpContract implements Contract
{
    public function __construct(private readonly \Closure $handler, private readonly Load $load)
    {
    }

    public function answer(Request $request): Answer
    {
        $id = $request->invocation() ?: bin2hex(random_bytes(13));
        $GLOBALS['fcLogger'] = new FcLogger($id);
        $event = json_encode($this->event($request, $id), JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_INVALID_UTF8_SUBSTITUTE);
        $result = ($this->handler)($event, fc_context($this->load, $id));
        if (is_array($result) && is_int($result['statusCode'] ?? null)) {
            return EventContract::toAnswer($result);
        }
        $body = $result === null ? '' : (is_string($result) ? $result : json($result));
        return new Answer(200, [['Content-Type', 'application/json']], $body);
    }

    /** @return array<string, mixed> */
    private function event(Request $request, string $id): array
    {
        $body = $request->body->all();
        $text = mb_check_encoding($body, 'UTF-8');
        $headers = array_filter($request->joined(), static fn (string $name) => !str_starts_with($name, 'x-fnctl-'), ARRAY_FILTER_USE_KEY);
        return [
            'version' => 'v1',
            'rawPath' => $request->path(),
            'body' => $text ? $body : base64_encode($body),
            'isBase64Encoded' => !$text,
            'headers' => (object) $headers,
            'queryParameters' => (object) EventContract::pairs($request->query()),
            'requestContext' => [
                'accountId' => (string) getenv('FC_ACCOUNT_ID'),
                'domainName' => $request->header('host') ?? '',
                'domainPrefix' => explode('.', $request->header('host') ?? '')[0],
                'http' => [
                    'method' => $request->method, 'path' => $request->path(), 'protocol' => 'HTTP/1.1',
                    'sourceIp' => fc_client($request), 'userAgent' => $request->header('user-agent') ?? '',
                ],
                'requestId' => $id,
                'time' => gmdate('Y-m-d\TH:i:s\Z'),
                'timeEpoch' => (string) now_ms(),
            ],
        ];
    }
}

function fc_client(Request $request): string
{
    return trim(explode(',', $request->header('x-forwarded-for') ?? '127.0.0.1')[0]);
}

/** What FC's runtimes set (its documentation, "Environment variables"). @return array<string, string> */
function fc_environment(Load $load): array
{
    return [
        'FC_FUNCTION_NAME' => $load->function,
        'FC_FUNCTION_HANDLER' => $load->handler,
        'FC_FUNCTION_MEMORY_SIZE' => (string) $load->memoryMb,
        'FC_FUNC_CODE_PATH' => $load->root,
        'FC_QUALIFIER' => 'LATEST',
    ];
}

final class FcHttpContract implements Contract
{
    public function __construct(private readonly \Closure $handler, private readonly Load $load)
    {
    }

    public function answer(Request $request): Answer
    {
        $id = $request->invocation() ?: bin2hex(random_bytes(13));
        $GLOBALS['fcLogger'] = new FcLogger($id);
        $response = ($this->handler)(self::psr7($request), fc_context($this->load, $id));
        if (!$response instanceof \Psr\Http\Message\ResponseInterface) {
            throw new BadResponse('an FC HTTP handler returns a RingCentral\Psr7\Response, not ' . get_debug_type($response));
        }
        $headers = headers($response->getHeaders(), '');
        return new Answer($response->getStatusCode(), $headers, (string) $response->getBody());
    }

    private static function psr7(Request $request): \Psr\Http\Message\ServerRequestInterface
    {
        parse_str($request->query(), $queries);
        parse_str(strtr($request->header('cookie') ?? '', ['; ' => '&', ';' => '&']), $cookies);
        $uri = 'http://' . ($request->header('host') ?? 'localhost') . $request->target;
        $made = new \GuzzleHttp\Psr7\ServerRequest($request->method, $uri, self::visible($request), $request->body->all());
        return $made
            ->withQueryParams($queries)
            ->withCookieParams($cookies)
            ->withAttribute('path', $request->path())
            ->withAttribute('requestURI', $request->target)
            ->withAttribute('clientIP', fc_client($request))
            ->withAttribute('queries', $queries);
    }

    /** @return array<string, list<string>> */
    private static function visible(Request $request): array
    {
        $headers = [];
        foreach ($request->headers as [$name, $value]) {
            if (!str_starts_with($name, 'x-fnctl-')) {
                $headers[$name][] = $value;
            }
        }
        return $headers;
    }
}

/**
 * What FC tells a handler, in its own words. There is no account here: what stands for one comes from the variables that FC's own
 * runtimes set, or is empty.
 *
 * @return array<string, mixed>
 */
function fc_context(Load $load, string $id): array
{
    $given = static fn (string $name) => (string) getenv($name);
    $credentials = [
        'accessKeyId' => $given('ALIBABA_CLOUD_ACCESS_KEY_ID'),
        'accessKeySecret' => $given('ALIBABA_CLOUD_ACCESS_KEY_SECRET'),
        'securityToken' => $given('ALIBABA_CLOUD_SECURITY_TOKEN'),
    ];
    $function = [
        'name' => $load->function,
        'handler' => $load->handler,
        'memory' => $load->memoryMb,
        'timeout' => (int) ceil($load->timeoutMs / 1000),
        'initializer' => $load->initializer ?? '',
        'initializationTimeout' => (int) ceil($load->timeoutMs / 1000),
    ];
    $service = ['name' => $given('FC_SERVICE_NAME'), 'logProject' => '', 'logStore' => '', 'qualifier' => 'LATEST', 'versionId' => $load->version];
    return [
        'requestId' => $id,
        'credentials' => $credentials,
        'function' => $function,
        'service' => $service,
        'region' => $given('FC_REGION'),
        'accountId' => $given('FC_ACCOUNT_ID'),
        'tracing' => ['openTracingSpanContext' => '', 'jaegerEndpoint' => '', 'openTracingSpanBaggages' => []],
    ];
}

/** `$GLOBALS['fcLogger']`: a line with time, request and level. */
final class FcLogger
{
    private const LEVELS = ['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency'];

    public function __construct(private readonly string $id)
    {
    }

    /** @param array{string} $arguments */
    public function __call(string $level, array $arguments): void
    {
        if (!in_array($level, self::LEVELS, true)) {
            throw new \BadMethodCallException("fcLogger has no method $level");
        }
        $time = gmdate('Y-m-d\TH:i:s\Z');
        fwrite(STDOUT, "$time {$this->id} [" . strtoupper($level) . '] ' . implode(' ', array_map(strval(...), $arguments)) . "\n");
    }
}

/** FC's PSR-7 classes, where the function brings none of its own: the distribution's library, under both of its names. */
function ship_psr7(): void
{
    require_once '/usr/share/php/GuzzleHttp/Psr7/autoload.php';
    spl_autoload_register(static function (string $class): void {
        $theirs = 'RingCentral\\Psr7\\';
        if (str_starts_with($class, $theirs) && class_exists($ours = 'GuzzleHttp\\Psr7\\' . substr($class, strlen($theirs)))) {
            class_alias($ours, $class);
        }
    });
}
