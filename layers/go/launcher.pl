#!/usr/bin/perl
# The Go runtime's agent until a function is there: waits, starts its compiled program with the host's connection, and passes on what it
# writes. What serves is that program (agent/). The protocol is ../PROTOCOL.md.
#
# In Perl, as the supervisor: every sandbox has it, it boots in milliseconds, and waits in 4 MB.

use strict;
use warnings;

use constant {
    AF_UNIX => 1, SOCK_STREAM => 1, MSG_PEEK => 2,
    MAX_LINE => 65536,    # a line that never ends goes out in pieces of this size
    STACK => 16384,       # bytes of output that are told of a program that ends before it serves
};

my $ROOT = $ENV{FNCTL_ROOT} // '/fn';
my $PLACE = '.fnctl/go';
$^F = 20;    # the program inherits descriptors up to this one
main();

sub main {
    standalone() if grep { $_ eq '--serve' } @ARGV;
    my $host = dial('agent.sock') or die "launcher: $ROOT/agent.sock: $!\n";
    my $boot = delete $ENV{FNCTL_BOOT} // '';
    report($host, qq({"op":"hello","protocol":1,"role":"agent","runtime":"go1.24","pid":$$,"boot":"$boot"}));
    await_load($host);
    my $program = "$ROOT/app/$PLACE/program";
    refuse($host, 'NotCompiled', "there is no compiled program in the bundle: a folder with Go code needs a go.mod", '') unless -x $program;
    pipe(my $output, my $writing) or die "launcher: pipe: $!\n";
    pipe(my $alive, my $living) or die "launcher: pipe: $!\n";
    my $pid = fork() // die "launcher: fork: $!\n";
    become($program, $host, $writing, $living) if $pid == 0;
    close $writing;
    close $living;
    my $log = attend($output, $alive);
    waitpid $pid, 0;
    my $status = $?;
    early_end($host, $status, $log->{tail}) unless $log->{loaded};
    kill $status & 127, $$ if $status & 127;
    exit $status >> 8;
}

# Until the host has said something: the program reads it itself, so that one connection lasts for all of the agent's life.
sub await_load {
    my ($host) = @_;
    my $ready = '';
    vec($ready, fileno($host), 1) = 1;
    1 while select(my $which = $ready, undef, undef, undef) < 1;
    recv($host, my $byte, 1, MSG_PEEK);
    exit 0 unless length($byte // '');
}

sub become {
    my ($program, $host, $writing, $living) = @_;
    open STDOUT, '>&', $writing;
    open STDERR, '>&', $writing;
    close $writing;
    ($ENV{FNCTL_CONTROL}, $ENV{FNCTL_ALIVE}) = (fileno($host), fileno($living));
    exec { $program } $program or die "launcher: $program: $!\n";
}

# A shipped image: no host, no marks, no launcher either.
sub standalone {
    my ($root) = ($ENV{FNCTL_LOAD} // '') =~ /"root"\s*:\s*"([^"]+)"/;
    my $program = ($root // '/fn/app') . "/$PLACE/program";
    exec { $program } $program, '--serve' or die "there is no compiled program in the image: $!\n";
}

# --- what the program writes ---

# Reads until the program itself has ended, whoever else may hold its output open.
sub attend {
    my ($output, $alive) = @_;
    my $log = { rest => '', running => {}, loaded => 0, tail => '' };
    my ($lives, $open) = (1, 1);
    while ($lives) {
        my $ready = '';
        vec($ready, fileno($alive), 1) = 1;
        vec($ready, fileno($output), 1) = 1 if $open;
        next if select($ready, undef, undef, undef) < 1;
        $open = take($log, $output) if $open && vec($ready, fileno($output), 1);
        $lives = 0 if vec($ready, fileno($alive), 1);
    }
    my $ready = '';
    vec($ready, fileno($output), 1) = 1;
    1 while $open && select(my $which = $ready, undef, undef, 0) > 0 && ($open = take($log, $output));
    lines($log, 1);
    return $log;
}

# The program says in its output whose it is: `\x1e+ID\x1f` where an invocation begins, `\x1e-ID\x1f` where it ends, and
# `\x1e!\x1f` once it is loaded.
sub take {
    my ($log, $output) = @_;
    sysread($output, my $bytes, 65536) or return 0;
    $log->{rest} .= $bytes;
    while ($log->{rest} =~ s/\A([^\x1e]*)\x1e([-+!])([0-9A-Za-z_-]*)\x1f//) {
        my ($before, $sign, $id) = ($1, $2, $3);
        my $after = $log->{rest};
        $log->{rest} = $before;
        lines($log, $sign eq '-');
        $log->{rest} .= $after;
        $log->{loaded} = 1 if $sign eq '!';
        $log->{running}{$id} = 1 if $sign eq '+';
        delete $log->{running}{$id} if $sign eq '-';
    }
    lines($log, length($log->{rest}) - 1 - rindex($log->{rest}, "\n") > MAX_LINE);
    return 1;
}

# Write whole lines, and what has no newline where that is asked for. Where more than one invocation runs, a line is nobody's.
sub lines {
    my ($log, $everything) = @_;
    my @running = keys %{ $log->{running} };
    my $mark = @running == 1 && length $running[0] ? "\x1e$running[0]\x1f" : '';
    $log->{rest} .= "\n" if $everything && length $log->{rest} && $log->{rest} !~ /\n\z/;
    return unless $log->{rest} =~ s/\A(.*\n)//s;
    my $text = $1;
    $log->{tail} = substr($log->{tail} . $text, -(STACK)) unless $log->{loaded};
    $text =~ s/^/$mark/mg if $mark;
    syswrite STDERR, $text;    # who prints faster than the host reads, waits
}

# --- a function that does not load ---

sub early_end {
    my ($host, $status, $tail) = @_;
    my $how = $status & 127 ? 'by signal ' . ($status & 127) : 'with code ' . ($status >> 8);
    my ($told) = $tail =~ /^(panic: .*|fatal error: .*)/m;
    refuse($host, $told ? 'Panic' : 'Exit', $told // "the program ended $how before it served", $tail) if defined $host;
}

# The place is the first line of a panic's stack in the function's own module (its files carry the module's name, by -trimpath).
sub refuse {
    my ($host, $type, $message, $stack) = @_;
    my $place = '';
    if (open my $file, '<', "$ROOT/app/$PLACE/module") {
        chomp(my $module = readline($file) // '');
        $place = qq(,"file":) . quoted($1) . qq(,"line":$2) if length $module && $stack =~ m{^\s+\Q$module\E/([^\s:]+\.go):(\d+)}m;
    }
    report($host, qq({"op":"load_failed","type":"$type","message":) . quoted($message) . $place . ',"stack":' . quoted($stack) . '}');
    exit 1;
}

# --- talk ---

sub dial {
    my ($name) = @_;
    socket(my $socket, AF_UNIX, SOCK_STREAM, 0) or return;
    connect($socket, pack 'S Z*', AF_UNIX, "$ROOT/$name") or return;
    return $socket;
}

sub report {
    my ($host, $line) = @_;
    syswrite $host, "$line\n";
}

sub quoted {
    my ($text) = @_;
    utf8::decode($text);
    $text =~ s/([\x00-\x1f"\\\x7f-\x{ffff}])/sprintf '\\u%04x', ord $1/ge;
    $text =~ s/[^\x00-\x7f]/?/g;
    return qq("$text");
}
