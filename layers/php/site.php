<?php
// Which file of a web app answers a path: a static file, a script, or the front controller. Pure but for looking at the disk.
//
// The rules are those of PHP's own web server (php.net, "Built-in web server"): a file that is there is served, a script is run, a folder has an
// index.php, what comes after a script is PATH_INFO, and everything else is the front controller's. Files and folders whose names begin with
// a dot are nobody's: they hold settings and secrets.
declare(strict_types=1);

namespace Fnctl;

/** `script` is to be run with that PATH_INFO, or `file` to be sent; both absolute. */
final class Found
{
    public function __construct(
        public readonly ?string $script = null,
        public readonly string $pathInfo = '',
        public readonly ?string $file = null,
    ) {
    }
}

final class Site
{
    private const TYPES = ['html' => 'text/html; charset=UTF-8', 'htm' => 'text/html; charset=UTF-8', 'css' => 'text/css; charset=UTF-8',
        'js' => 'text/javascript; charset=UTF-8', 'mjs' => 'text/javascript; charset=UTF-8', 'json' => 'application/json',
        'map' => 'application/json', 'webmanifest' => 'application/manifest+json', 'txt' => 'text/plain; charset=UTF-8',
        'xml' => 'application/xml', 'svg' => 'image/svg+xml', 'png' => 'image/png', 'jpg' => 'image/jpeg', 'jpeg' => 'image/jpeg',
        'gif' => 'image/gif', 'webp' => 'image/webp', 'avif' => 'image/avif', 'ico' => 'image/vnd.microsoft.icon', 'woff' => 'font/woff',
        'woff2' => 'font/woff2', 'ttf' => 'font/ttf', 'pdf' => 'application/pdf', 'mp4' => 'video/mp4', 'webm' => 'video/webm',
        'mp3' => 'audio/mpeg', 'wasm' => 'application/wasm', 'csv' => 'text/csv; charset=UTF-8', 'md' => 'text/markdown; charset=UTF-8'];

    public readonly string $documentRoot;
    private readonly string $front;

    public function __construct(string $root, string $handler)
    {
        $this->front = "$root/$handler";
        $this->documentRoot = dirname($this->front);
    }

    public function find(string $path): Found
    {
        $path = rawurldecode($path);
        if (preg_match('~\0|(^|/)\.(?!well-known(/|$))~', $path)) {
            return new Found($this->front, $path);
        }
        [$there, $rest] = $this->longest($path);
        if (is_dir($there) && is_file("$there/index.php") && $rest === '') {
            return new Found("$there/index.php");
        }
        $there .= is_dir($there) && $there !== $this->documentRoot && $rest === '' ? '/index.html' : '';
        if (is_file($there) && $this->isInside($there)) {
            if (str_ends_with($there, '.php')) {
                return new Found($there, $rest);
            }
            if ($rest === '') {
                return new Found(file: $there);
            }
        }
        return $this->nearest($there, $rest, $path);
    }

    /** The front controller of the nearest folder that has one: `/admin/users/7` is admin/index.php's, where that is there. */
    private function nearest(string $there, string $rest, string $path): Found
    {
        for ($folder = $there; str_starts_with("$folder/", "{$this->documentRoot}/"); $folder = dirname($folder)) {
            if ($folder !== $this->documentRoot && is_file("$folder/index.php") && $this->isInside("$folder/index.php")) {
                return new Found("$folder/index.php", substr($there . $rest, strlen($folder)));
            }
        }
        return new Found($this->front, $path === '/' ? '' : $path);
    }

    /** @return array{string, string} the longest part of a path that is there, and what follows it */
    private function longest(string $path): array
    {
        $there = $this->documentRoot;
        $names = array_values(array_filter(explode('/', $path), static fn (string $name) => $name !== ''));
        foreach ($names as $index => $name) {
            if (!file_exists("$there/$name")) {
                return [$there, '/' . implode('/', array_slice($names, $index))];
            }
            $there .= "/$name";
        }
        return [$there, ''];
    }

    private function isInside(string $file): bool
    {
        return str_starts_with((string) realpath($file), "{$this->documentRoot}/");
    }

    public static function type(string $file): string
    {
        return self::TYPES[strtolower(pathinfo($file, PATHINFO_EXTENSION))] ?? 'application/octet-stream';
    }

    /** The port of the address that the client has: what scripts make links of. */
    private static function port(Request $request, string $host): string
    {
        if (preg_match('/:(\d+)$/', $host, $found)) {
            return $found[1];
        }
        return $request->header('x-forwarded-port') ?? ($request->header('x-forwarded-proto') === 'https' ? '443' : '80');
    }

    /** The variables of CGI (RFC 3875) and those that PHP's web servers set beside them. @return array<string, string> */
    public function variables(Request $request, Found $found, Load $load, int $length): array
    {
        $host = $request->header('host') ?? 'localhost';
        $script = substr((string) $found->script, strlen($this->documentRoot));
        $variables = [
            ...$load->environment,
            'PORT' => (string) $load->port,
            'GATEWAY_INTERFACE' => 'CGI/1.1', 'SERVER_SOFTWARE' => 'fnctl', 'SERVER_PROTOCOL' => 'HTTP/1.1', 'REDIRECT_STATUS' => '200',
            'REQUEST_METHOD' => $request->method, 'REQUEST_URI' => $request->target, 'QUERY_STRING' => $request->query(),
            'DOCUMENT_ROOT' => $this->documentRoot, 'SCRIPT_FILENAME' => (string) $found->script, 'SCRIPT_NAME' => $script,
            'DOCUMENT_URI' => $script, 'REQUEST_SCHEME' => $request->header('x-forwarded-proto') ?? 'http',
            'SERVER_NAME' => preg_replace('/:\d+$/', '', $host), 'SERVER_PORT' => self::port($request, $host), 'SERVER_ADDR' => '127.0.0.1',
            'REMOTE_ADDR' => '127.0.0.1', 'REMOTE_PORT' => '0',
        ];
        if ($found->pathInfo !== '') {
            $variables['PATH_INFO'] = $found->pathInfo;
        }
        if ($length > 0) {
            $variables['CONTENT_LENGTH'] = (string) $length;
        }
        foreach ($request->joined() as $name => $value) {
            $variable = strtoupper(strtr($name, '-', '_'));
            if ($variable === 'CONTENT_TYPE') {
                $variables['CONTENT_TYPE'] = $value;
            } elseif ($variable !== 'PROXY' && $variable !== 'CONTENT_LENGTH') { // HTTP_PROXY is not the client's to set
                $variables["HTTP_$variable"] = $value;
            }
        }
        return $variables;
    }
}
