<?php
// Finds the file and the function that a handler names, and tells what went wrong with loading them. Runs nothing.
declare(strict_types=1);

namespace Fnctl;

/** A handler that names nothing that can be called. */
final class NoSuchHandler extends \Exception
{
}

final class Program
{
    private const SHOWN = 20; // names in a message

    /** Is the handler a page (a file that answers requests), and not `module.function`? */
    public static function isPage(string $handler): bool
    {
        return str_ends_with(strtolower($handler), '.php');
    }

    /** @return array{string, string} the file and the function of `module.function` */
    public static function split(string $root, string $handler): array
    {
        $dot = strrpos($handler, '.');
        if ($dot === false || $dot === 0 || $dot === strlen($handler) - 1) {
            throw new NoSuchHandler("handler `$handler` is neither a PHP file nor module.function");
        }
        $module = substr($handler, 0, $dot);
        $file = "$root/$module.php";
        if (!is_file($file)) {
            throw new NoSuchHandler("there is no $module.php in the function's folder (" . self::files($root) . ')');
        }
        return [$file, substr($handler, $dot + 1)];
    }

    /** The function of that name (or `Class::method`), once its file has run. */
    public static function callable(string $function, string $file, string $root): callable
    {
        if (is_callable($function)) {
            return $function;
        }
        $own = array_filter(
            get_defined_functions()['user'],
            static fn (string $name) => str_starts_with((string) (new \ReflectionFunction($name))->getFileName(), "$root/")
        );
        $there = $own === [] ? 'it defines none' : 'functions: ' . implode(', ', array_slice($own, 0, self::SHOWN));
        $name = substr($file, strlen($root) + 1);
        throw new NoSuchHandler("$name has no function $function; $there");
    }

    /** A page, found and parsed, so that a mistake in it is told before the first request. */
    public static function checkPage(string $root, string $handler): void
    {
        if (!is_file("$root/$handler")) {
            throw new NoSuchHandler("there is no $handler in the function's folder (" . self::files($root) . ')');
        }
        token_get_all((string) file_get_contents("$root/$handler"), TOKEN_PARSE);
    }

    private static function files(string $root): string
    {
        $names = array_filter(scandir($root), static fn (string $name) => $name[0] !== '.');
        return 'files: ' . (implode(', ', array_slice($names, 0, self::SHOWN)) ?: 'none');
    }

    /**
     * What `load_failed` says of an exception: a place in the function's own code, where one is on the stack.
     *
     * @return array<string, mixed>
     */
    public static function failure(\Throwable $error, string $root, ?string $checked): array
    {
        $places = [[$error->getFile(), $error->getLine()]];
        if ($checked !== null && $error instanceof \ParseError) {
            $places = [[$checked, $error->getLine()]];
        }
        foreach ($error->getTrace() as $frame) {
            $places[] = [$frame['file'] ?? '', $frame['line'] ?? 0];
        }
        $kind = new \ReflectionClass($error);
        return self::report($kind->getShortName(), $error->getMessage(), $places, $root, self::trace($error));
    }

    /**
     * @param list<array{string, int}> $places
     * @return array<string, mixed>
     */
    public static function report(string $type, string $message, array $places, string $root, string $stack): array
    {
        $own = array_filter($places, static fn (array $place) => str_starts_with($place[0], "$root/"));
        $written = array_filter($own, static fn (array $place) => !str_starts_with($place[0], "$root/vendor/"));
        $place = (array_values($written) ?: array_values($own))[0] ?? null;
        $where = $place === null ? [] : ['file' => substr($place[0], strlen($root) + 1), 'line' => $place[1]];
        return ['op' => 'load_failed', 'type' => $type, 'message' => substr($message, 0, 65536), ...$where, 'stack' => substr($stack, 0, 65536)];
    }

    /** An exception as PHP itself would print it, without the agent's own frames. */
    public static function trace(\Throwable $error): string
    {
        if (str_starts_with($error->getFile(), __DIR__ . '/')) {
            return (new \ReflectionClass($error))->getShortName() . ': ' . $error->getMessage();
        }
        $own = static fn (string $line) => !str_starts_with($line, '#') || !str_contains($line, __DIR__ . '/');
        return 'PHP Fatal error:  Uncaught ' . implode("\n", array_filter(explode("\n", (string) $error), $own));
    }
}
