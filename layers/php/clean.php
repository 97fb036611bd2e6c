<?php
// Leaves nothing of an ephemeral invocation: ends every other process, and empties the folders that a function can write to.
declare(strict_types=1);

namespace Fnctl;

final class Clean
{
    private const KILL_S = 2.0; // for killed processes to be gone; more means that the sandbox is broken

    /** Only where PID 1 is a supervisor: it kills all there is. Ends the process where something cannot be removed. */
    public static function sandbox(string $folders): void
    {
        $deadline = microtime(true) + self::KILL_S;
        // All at one instant: a process with a kill pending cannot fork. Orphans are PID 1's to reap.
        while (posix_kill(-1, SIGKILL)) {
            while (pcntl_waitpid(-1, $status, WNOHANG) > 0) {
                continue;
            }
            if (microtime(true) > $deadline) {
                exit(1);
            }
            usleep(200);
        }
        foreach (explode(':', $folders) as $folder) {
            if (is_dir($folder) && !self::wipe($folder)) {
                fwrite(STDERR, "could not empty $folder\n");
                exit(1);
            }
        }
        clearstatcache();
    }

    /**
     * True where nothing is left. Follows no links and does not recurse: folders inside folders are moved up to the top first, so
     * that neither depth nor the length of a path is bounded. Nobody else runs by now.
     */
    private static function wipe(string $top): bool
    {
        $serial = 0;
        do {
            $progress = false;
            foreach (self::entries($top) as $name) {
                $path = "$top/$name";
                if (!is_dir($path) || is_link($path)) {
                    $progress = @unlink($path) || $progress;
                    continue;
                }
                @chmod($path, 0700);
                foreach (self::entries($path) as $inner) {
                    $serial = self::lift("$path/$inner", $top, $serial);
                }
                $progress = @rmdir($path) || $progress;
            }
        } while ($progress);
        return self::entries($top) === [];
    }

    private static function lift(string $path, string $top, int $serial): int
    {
        if (!is_dir($path) || is_link($path)) {
            @unlink($path);
            return $serial;
        }
        @chmod($path, 0700); // moving a folder rewrites its `..`
        do {
            $serial += 1;
        } while (file_exists("$top/.wipe-$serial") || is_link("$top/.wipe-$serial"));
        @rename($path, "$top/.wipe-$serial");
        return $serial;
    }

    /** @return list<string> */
    private static function entries(string $folder): array
    {
        clearstatcache();
        return array_values(array_diff(@scandir($folder) ?: [], ['.', '..']));
    }
}
