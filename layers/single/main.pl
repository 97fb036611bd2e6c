#!/usr/bin/perl
# What a shipped image starts whose function is ephemeral: listens on $PORT and has each call answered by a process of
# its own (@ARGV, an agent with `--serve`), one call at a time, as one instance does on the platform. Not used where
# there is a host. The function's own output passes by it.
#
#     boot a process ──> it listens ──> a call is there: relay it ──> end the process, and all that it left ──> boot ...

use strict;
use warnings;

use constant {
    AF_INET => 2, SOCK_STREAM => 1, SOL_SOCKET => 1, SO_REUSEADDR => 2, BACKLOG => 256,
    CALLS => 1000,           # connections that are open at a time; more wait in the kernel's queue
    DRAIN_MS => 9_000,       # for the call that runs as the container is stopped: Docker waits for 10 s
    LAST_WORDS_MS => 500,    # for a process whose call is answered, to end by itself
};

BEGIN {
    my $here = $0 =~ s{[^/]*\z}{}r;
    require "$here../$_.pl" for qw(json wipe command/linux command/framing command/program);
    require "$here$_.pl" for qw(process call);
}

$SIG{PIPE} = 'IGNORE';
Front->new(Json::decode($ENV{FNCTL_LOAD} // '') // die("FNCTL_LOAD holds no function\n"))->run;

package Front;

sub new {
    my ($class, $load) = @_;
    my $port = $ENV{PORT} || $load->{port};
    my $self = bless {
        load => $load, listener => listen_at($port), open => {}, waiting => [], serving => undef,
        process => Process->new($load, \@ARGV), stopping => undef,
    }, $class;
    my $signals = Linux::signals(Linux::SIGTERM, Linux::SIGINT, Linux::SIGCHLD);
    Linux::watch($signals, Linux::IN, sub { $self->on_signal($signals) });
    Linux::watch($self->{listener}, Linux::IN, sub { $self->accept });
    return $self;
}

sub listen_at {
    my ($port) = @_;
    socket(my $listener, main::AF_INET, main::SOCK_STREAM | Linux::NONBLOCK | Linux::CLOEXEC, 0) or die "socket: $!\n";
    setsockopt $listener, main::SOL_SOCKET, main::SO_REUSEADDR, 1;
    bind($listener, pack 'S n C4 x8', main::AF_INET, $port, 0, 0, 0, 0) && listen($listener, main::BACKLOG)
        or die "cannot listen on port $port: $!\n";
    return $listener;
}

sub run {
    my ($self) = @_;
    $self->{process}->clean;    # what a container that was killed has left
    $self->{process}->boot;
    while (1) {
        Linux::turn($self->patience_ms);
        my ($now, @open) = (Linux::now_ms(), values %{ $self->{open} });
        $_->expire($now) for @open;
        $self->see_to_process($now);
    }
}

# Until the next thing that nobody tells.
sub patience_ms {
    my ($self) = @_;
    my $process = $self->{process};
    return $process->patience_ms unless $process->{ready};
    my $next = $process->next_ms // $self->{stopping};
    for my $call (values %{ $self->{open} }) {
        $next = $call->{until} if defined $call->{until} && (!defined $next || $call->{until} < $next);
    }
    return -1 unless defined $next;
    my $left = int($next - Linux::now_ms()) + 1;
    return $left > 0 ? $left : 0;
}

sub see_to_process {
    my ($self, $now) = @_;
    my $process = $self->{process};
    $self->leave if defined $self->{stopping} && (!$self->{serving} || $now >= $self->{stopping});
    if ($self->{serving}) {
        $self->{serving}->process_ended if defined $process->{status};
    } elsif ($process->{used}) {
        $process->boot if $process->gone($now);
    } elsif (defined $process->{status}) {
        exit($process->{status} >> 8 || 1);    # it does not load, and has said why
    } elsif ($process->listens && (my $call = shift @{ $self->{waiting} })) {
        $self->{serving} = $call;
        $process->{used} = 1;
        $call->begin($process);
    }
}

# --- calls ---

sub accept {
    my ($self) = @_;
    while (keys %{ $self->{open} } < main::CALLS && CORE::accept(my $client, $self->{listener})) {
        my $call = Call->new($client, $self);
        $self->{open}{$call} = $call;
    }
    $self->listening(0) if keys %{ $self->{open} } >= main::CALLS;
}

sub listening {
    my ($self, $on) = @_;
    Linux::change($self->{listener}, $on ? Linux::IN : 0) if defined $self->{listener};
}

# A call's head is there.
sub queue {
    my ($self, $call) = @_;
    push @{ $self->{waiting} }, $call;
}

# Its process is no longer needed, and is to be gone at `$until`. `$app`: the connection to it, where that is open.
sub served {
    my ($self, $call, $until, $app) = @_;
    $self->{serving} = undef;
    $self->{process}->end($until, $app);
}

sub closed {
    my ($self, $call) = @_;
    delete $self->{open}{$call};
    $self->{waiting} = [grep { $_ != $call } @{ $self->{waiting} }];
    $self->listening(1) if keys %{ $self->{open} } == main::CALLS - 1;
}

# --- the end ---

sub on_signal {
    my ($self, $signals) = @_;
    while (sysread $signals, my $info, 128) {
        my $number = unpack 'L', $info;
        if ($number == Linux::SIGCHLD) { $self->{process}->reap }
        elsif (!defined $self->{stopping}) { $self->stop }
    }
}

# No further call; one that runs may end.
sub stop {
    my ($self) = @_;
    $self->{stopping} = Linux::now_ms() + main::DRAIN_MS;
    Linux::forget($self->{listener});
    close delete $self->{listener};
    my @waiting = @{ $self->{waiting} };
    $_->refuse for @waiting;
}

sub leave {
    my ($self) = @_;
    my @open = values %{ $self->{open} };
    $_->flush('client') for @open;    # what fits into a connection goes
    $self->{process}->clean;
    exit 0;
}
