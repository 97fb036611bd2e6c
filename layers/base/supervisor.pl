#!/usr/bin/perl
# PID 1 of a sandbox: starts an agent when the host says so, tells how it ended, cleans up after it, and ends the
# sandbox when the host is gone. It sees neither code nor requests. The protocol is ../PROTOCOL.md.
#
# Plain Perl without a single module but Config, and so without POSIX and Socket: a waiting base container is little
# more than this process, and each module would be resident in every one of them. What Perl has no operator for
# (wait4's figures, signals as a file, prctl) goes through syscall, by the tables below.

use strict;
use warnings;
use Config;

require '/opt/fnctl/json.pl';
require '/opt/fnctl/wipe.pl';

use constant {
    PROTOCOL => 1,
    MAX_LINE => 1 << 20,    # bytes of one line, as the protocol says
    AF_UNIX => 1, SOCK_STREAM => 1,
    SOL_SOCKET => 1, SCM_RIGHTS => 1,
    SIGKILL => 9, SIGTERM => 15, SIGINT => 2, SIGCHLD => 17,
    SIG_SETMASK => 2,
    WNOHANG => 1,
    EINTR => 4, ECHILD => 10,
    PR_SET_DUMPABLE => 4,
    USER => 'fn',           # who the slot's uid is in /etc/passwd
    READABLE => 0604,       # what is printed: ours to open inside, and the host's, whoever it is there, to read
};

my %NUMBERS = (
    x86_64  => { wait4 => 61,  prctl => 157, setsid => 112, sigprocmask => 14,  signalfd => 289, dup3 => 292, sendmsg => 46 },
    aarch64 => { wait4 => 260, prctl => 167, setsid => 157, sigprocmask => 135, signalfd => 74,  dup3 => 24,  sendmsg => 211 },
);
my ($machine) = $Config{archname} =~ /^(x86_64|aarch64)/;
my $SYS = $NUMBERS{ $machine // '' } or die "supervisor: no system call numbers for $Config{archname}\n";

# The folders that a function can write to. One that is not there is skipped.
my @WRITABLE = split /:/, $ENV{FNCTL_WIPE} // '/tmp:/var/tmp:/dev/shm:/dev/mqueue';
my $ROOT = $ENV{FNCTL_ROOT} // '/fn';

# Everything below ends in kill(-1): anywhere but as the first process of its own namespace that would be a disaster.
die "supervisor: must be PID 1 of a sandbox, but is $$\n" unless $$ == 1;
main();

sub main {
    # No function may look into or write to this process through /proc.
    syscall($SYS->{prctl}, PR_SET_DUMPABLE, 0, 0, 0, 0);
    $SIG{PIPE} = 'IGNORE';
    my $signals = signal_file();
    my $host = dial('supervisor.sock') or die "supervisor: $ROOT/supervisor.sock: $!\n";
    my $state = { host => $host, agent => 0, buffer => '' };
    report($host, qq({"op":"hello","protocol":@{[PROTOCOL]},"role":"supervisor","pid":$$}));
    while (1) {
        my $ready = '';
        vec($ready, fileno($_), 1) = 1 for $host, $signals;
        next if select($ready, undef, undef, undef) < 0;
        on_signal($state, $signals) if vec($ready, fileno($signals), 1);
        on_host($state) if vec($ready, fileno($host), 1);
    }
}

# --- events ---

sub on_signal {
    my ($state, $signals) = @_;
    sysread($signals, my $info, 128) or return;
    my ($number, undef, undef, $sender) = unpack 'L l l L', $info;    # struct signalfd_siginfo
    # From outside of the sandbox a sender has no pid here; from inside, nobody has a say.
    leave(0) if $number != SIGCHLD && $sender == 0;
    while (my $end = reap(WNOHANG)) {
        agent_ended($state, $end) if $end->{pid} == $state->{agent};
    }
}

sub on_host {
    my ($state) = @_;
    my $got = sysread($state->{host}, $state->{buffer}, 65536, length $state->{buffer});
    return if !defined $got && $! == EINTR;
    leave(0) unless $got;
    while ($state->{buffer} =~ s/\A([^\n]*)\n//) {
        on_message($state, Json::decode($1) // breach('a line that is not a JSON object'));
    }
    breach('a line that is too long') if length $state->{buffer} > MAX_LINE;
}

sub on_message {
    my ($state, $message) = @_;
    my $op = $message->{op} // '';
    if ($op eq 'boot') {
        breach('boot while an agent runs') if $state->{agent};
        boot($state, $message->{argv}, $message->{env});
    } elsif ($op eq 'kill') {
        # the agent's own end, if there is one, goes the way of every end: SIGCHLD, clean, `exited`
        kill SIGKILL, -1;
    } else {
        breach("an unknown op '$op'");
    }
}

sub agent_ended {
    my ($state, $end) = @_;
    $state->{agent} = 0;
    clean($state);
    report($state->{host}, sprintf '{"op":"exited","code":%d,"signal":%d,"cpu_ms":%.1f,"peak_kb":%d}',
        $end->{status} >> 8, $end->{status} & 127, $end->{cpu_ms}, $end->{peak_kb});
}

# --- the agent ---

# Starts an agent with its stdout and stderr on a pipe of its own, which the host reads. Perl closes every other
# descriptor on exec by itself ($^F). The other pipe tells a failed exec from one that went well: it closes without a word.
sub boot {
    my ($state, $argv, $env) = @_;
    breach('boot without argv') unless ref $argv eq 'ARRAY' && @$argv && ref($env // {}) eq 'HASH';
    my $log = log_pipe() or return fail($state, "cannot reach the log: $!");
    pipe(my $told, my $teller) or return fail($state, "no pipe: $!");
    my $pid = fork();
    return fail($state, "cannot fork: $!") unless defined $pid;
    become($argv, $env // {}, $log, $teller) if $pid == 0;
    close $teller;
    $state->{agent} = $pid;
    if (defined(my $why = readline $told)) {
        fail($state, $why);
    } else {
        report($state->{host}, qq({"op":"started","pid":$pid}));
    }
}

# The writing end of a pipe whose reading end the host has. A pipe and no connection: whoever has it as its output can
# open /dev/stdout.
sub log_pipe {
    my $host = dial('log.sock') or return;
    pipe(my $reading, my $writing) or return;
    chmod READABLE, $reading;
    my ($byte, $rights) = ("\n", pack 'Q i3 x4', 20, SOL_SOCKET, SCM_RIGHTS, fileno $reading);    # struct cmsghdr
    my $part = pack 'P Q', $byte, 1;                                                              # struct iovec
    my $message = pack 'Q2 P Q P Q2', 0, 0, $part, 1, $rights, length $rights, 0;                 # struct msghdr
    return syscall($SYS->{sendmsg}, fileno $host, $message, 0) == 1 ? $writing : undef;
}

sub become {
    my ($argv, $env, $log, $teller) = @_;
    syscall($SYS->{setsid});
    signal_mask(0);
    $SIG{PIPE} = 'DEFAULT';
    open STDIN, '<', '/dev/null';
    syscall($SYS->{dup3}, fileno($log), $_, 0) for 1, 2;
    %ENV = (
        HOME => '/tmp', PATH => '/usr/local/bin:/usr/bin:/bin', LANG => 'C.UTF-8',
        USER => USER, LOGNAME => USER, HOSTNAME => own_name(),
        %$env,
        FNCTL_SUPERVISED => 1,
    );
    $ENV{FNCTL_ROOT} = $ROOT if $ROOT ne '/fn';
    $ENV{FNCTL_WIPE} = join ':', @WRITABLE;
    no warnings 'exec';
    exec { $argv->[0] } @$argv;
    syswrite $teller, "cannot start $argv->[0]: $!";
    kill SIGKILL, $$;    # not exit: END blocks and buffers belong to PID 1
}

# --- cleaning ---

# Ends every process but this one and empties what a function can write to. As PID 1 everything else here descends
# from this process: one SIGKILL to all reaches them at the same instant (a process with a kill pending cannot fork),
# and when there is no child left to wait for, there is nobody left.
sub clean {
    my ($state) = @_;
    kill SIGKILL, -1;
    1 while reap(0);
    for my $folder (@WRITABLE) {
        Wipe::folder($folder);
        next unless my $left = () = Wipe::entries($folder);
        fail($state, "could not empty $folder: $left entries stay");
        leave(1);    # better no sandbox than one with another invocation's files in it
    }
}

# --- the system ---

# One ended child with its figures, or nothing: none ended yet (WNOHANG), or there are no children.
sub reap {
    my ($flags) = @_;
    my $status = pack 'i', 0;
    my $usage = "\0" x 144;    # struct rusage
    my $pid;
    do { $pid = syscall($SYS->{wait4}, -1, $status, $flags, $usage) } while $pid < 0 && $! == EINTR;
    return if $pid <= 0;
    my ($user_s, $user_us, $system_s, $system_us, $peak_kb) = unpack 'q5', $usage;
    return {
        pid => $pid,
        status => unpack('i', $status),
        cpu_ms => ($user_s + $system_s) * 1000 + ($user_us + $system_us) / 1000,
        peak_kb => $peak_kb,
    };
}

# Signals as a file to select on: a handler that comes between the look and the wait would be lost.
sub signal_file {
    my $set = 0;
    $set |= 1 << $_ - 1 for SIGCHLD, SIGTERM, SIGINT;
    signal_mask($set);
    my $number = syscall($SYS->{signalfd}, -1, pack('Q', $set), 8, 0);
    die "supervisor: signalfd: $!\n" if $number < 0;
    open(my $file, '<&=', $number) or die "supervisor: signalfd: $!\n";
    return $file;
}

sub signal_mask {
    my ($set) = @_;
    syscall($SYS->{sigprocmask}, SIG_SETMASK, pack('Q', $set), 0, 8);
}

sub own_name {
    open(my $file, '<', '/proc/sys/kernel/hostname') or return '';
    chomp(my $name = readline($file) // '');
    return $name;
}

sub dial {
    my ($name) = @_;
    socket(my $socket, AF_UNIX, SOCK_STREAM, 0) or return;
    connect($socket, pack 'S Z*', AF_UNIX, "$ROOT/$name") or return;
    return $socket;
}

# --- talk ---

sub report {
    my ($host, $line) = @_;
    $line .= "\n";
    while (length $line) {
        my $wrote = syswrite $host, $line;
        next if !defined $wrote && $! == EINTR;
        leave(0) unless defined $wrote;
        substr($line, 0, $wrote) = '';
    }
}

sub fail {
    my ($state, $message) = @_;
    report($state->{host}, '{"op":"error","message":' . Json::quoted($message) . '}');
}

# When PID 1 leaves, the kernel ends everything else in the sandbox.
sub leave { my ($code) = @_; exit $code }
sub breach { die "supervisor: the host sent $_[0]\n" }
