<?php
// The PHP agent's main program: boots, and runs a function's file where its variables are global. The protocol is ../PROTOCOL.md.
declare(strict_types=1);

namespace Fnctl;

foreach (['kernel', 'lines', 'logs', 'wire', 'program', 'contract', 'event', 'fc', 'fastcgi', 'site', 'relay', 'worker', 'work', 'clean', 'loop', 'standalone'] as $__fnctl_part) {
    require __DIR__ . "/$__fnctl_part.php";
}
unset($__fnctl_part);

// Both return in a worker only, once it knows its function; everywhere else they end the process.
$__fnctl_work = in_array('--serve', $argv, true) ? Standalone::start() : AgentLoop::start();
try {
    // Here and nowhere deeper: what a file declares at its top level is global in PHP, and handlers rely on it.
    if (($__fnctl_file = $__fnctl_work->fileToRun()) !== null) {
        require $__fnctl_file;
    }
    $__fnctl_work->loaded();
} catch (\Throwable $__fnctl_error) {
    $__fnctl_work->failed($__fnctl_error);
}
$__fnctl_work->serve();
