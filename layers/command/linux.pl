# What Perl has no operator for: waiting for many files at once (epoll), signals as a file, a monotonic clock. Not what
# is done with them.

package Linux;

use strict;
use warnings;
use Config;

use constant {
    IN => 1, OUT => 4,                          # epoll's
    ADD => 1, DEL => 2, MOD => 3,
    CLOEXEC => 0x80000, NONBLOCK => 0x800,      # SOCK_*, EPOLL_*, O_*: the same on both machines
    CLOCK_MONOTONIC => 1, SIG_SETMASK => 2, SIGINT => 2, SIGTERM => 15, SIGCHLD => 17,
    PR_SET_CHILD_SUBREAPER => 36,
    EINTR => 4, EAGAIN => 11, EPIPE => 32, ECONNRESET => 104, ECONNREFUSED => 111, EINPROGRESS => 115,
    BATCH => 64,                                # events fetched at a time
};

my %NUMBERS = (
    x86_64 => {
        setsid => 112, prctl => 157, sigprocmask => 14, signalfd => 289, clock_gettime => 228,
        epoll_create => 291, epoll_ctl => 233, epoll_wait => 281, event => 'L q',
    },
    aarch64 => {
        setsid => 157, prctl => 167, sigprocmask => 135, signalfd => 74, clock_gettime => 113,
        epoll_create => 20, epoll_ctl => 21, epoll_wait => 22, event => 'L x4 q',
    },
);
my ($machine) = $Config{archname} =~ /^(x86_64|aarch64)/;
my $SYS = $NUMBERS{ $machine // '' } or die "no system call numbers for $Config{archname}\n";
my $EVENT_BYTES = length pack $SYS->{event}, 0, 0;

my $poll;
my @watched;    # by file number: what to call with the events

# Call `$then->($events)` whenever the file is ready for what `$mask` says.
sub watch {
    my ($file, $mask, $then) = @_;
    $poll //= syscall($SYS->{epoll_create}, CLOEXEC);
    $watched[fileno $file] = $then;
    control(ADD, $file, $mask);
}

sub change { my ($file, $mask) = @_; control(MOD, $file, $mask) }

# From now on, call this one.
sub redirect { my ($file, $then) = @_; $watched[fileno $file] = $then }

# To be called before the file is closed.
sub forget {
    my ($file) = @_;
    undef $watched[fileno $file];
    control(DEL, $file, 0);
}

sub control {
    my ($operation, $file, $mask) = @_;
    my $number = fileno $file;
    my $event = pack $SYS->{event}, $mask, $number;
    syscall($SYS->{epoll_ctl}, $poll, $operation, $number, $event) == 0 or die "epoll: $!\n";
}

# Wait for at most so many ms (-1: for ever) and call who is concerned. An event of a file that was closed meanwhile
# may reach its number's next owner, who finds nothing to read.
my $events = "\0" x ($EVENT_BYTES * BATCH);

sub turn {
    my ($timeout_ms) = @_;
    my $count = syscall($SYS->{epoll_wait}, $poll, $events, BATCH, $timeout_ms, 0, 8);
    for my $index (0 .. $count - 1) {
        my ($mask, $number) = unpack $SYS->{event}, substr $events, $index * $EVENT_BYTES, $EVENT_BYTES;
        my $then = $watched[$number] or next;
        $then->($mask);
    }
}

sub now_ms {
    my $time = pack 'q2', 0, 0;
    syscall($SYS->{clock_gettime}, CLOCK_MONOTONIC, $time);
    my ($seconds, $nanoseconds) = unpack 'q2', $time;
    return $seconds * 1000 + $nanoseconds / 1_000_000;
}

# Signals as a file to watch: a handler that comes between the look and the wait would be lost. Each is read as 128
# bytes that begin with its number.
sub signals {
    my (@numbers) = @_;
    my $set = 0;
    $set |= 1 << $_ - 1 for @numbers;
    mask($set);
    my $number = syscall($SYS->{signalfd}, -1, pack('Q', $set), 8, CLOEXEC | NONBLOCK);
    open(my $file, '<&=', $number) or die "signalfd: $!\n";
    return $file;
}

sub child_ends { return signals(SIGCHLD) }

sub mask {
    my ($set) = @_;
    syscall($SYS->{sigprocmask}, SIG_SETMASK, pack('Q', $set), 0, 8);
}

sub new_session { syscall($SYS->{setsid}) }

# Whatever this process started, at whatever remove, becomes its child when its own parent ends.
sub adopt { syscall($SYS->{prctl}, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

1;
