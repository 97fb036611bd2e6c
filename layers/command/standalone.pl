# A shipped image under plain `docker run`: the command with its own listen on $PORT, and no relay. As PID 1 it passes
# signals on and reaps, which no program expects to have to do.

package Standalone;

use strict;
use warnings;

sub serve {
    my $load = Json::decode($ENV{FNCTL_LOAD} // '') // die "FNCTL_LOAD holds no function\n";
    my $port = $ENV{PORT} || $load->{port};
    my %environment = (%{ $load->{env} }, %ENV, PORT => $port);
    chdir $load->{root};
    my ($pid, $why) = Program::start([Program::words($load->{command}, $port)], \%environment);
    die "$why->[0]: $why->[1]\n" unless defined $pid;
    my $asked = 0;
    for my $signal (qw(TERM INT HUP)) {
        $SIG{$signal} = sub { $asked = 1; kill $signal => -$pid };
    }
    my $ended;
    do { $ended = waitpid -1, 0 } until $ended == $pid || $ended < 0 && $! != Linux::EINTR;
    exit $? >> 8 unless $? & 127;
    exit($asked ? 0 : 128 + ($? & 127));    # one that a signal of ours ended has ended as it was asked to
}

1;
