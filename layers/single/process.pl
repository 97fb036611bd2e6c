# The process that serves the next call: booted ahead, given one call, and ended with all that it has left: processes,
# and files where it can write. Not the call itself.

package Process;

use strict;
use warnings;

use constant {
    AF_INET => 2, SOCK_STREAM => 1, WNOHANG => 1,
    LOOK_MS => 10,       # how often, at least, is looked whether it listens
    CLEAN_MS => 5_000,   # past it, something forks faster than it is killed
    WRITABLE => [qw(/tmp /var/tmp /dev/shm /dev/mqueue)],
};

# `$load`: the function, as the host would send it. `$argv`: what serves it on $PORT.
sub new {
    my ($class, $load, $argv) = @_;
    return bless {
        load => $load, argv => $argv, pid => undef, port => undef, family => undef, ready => 0, used => 0,
        status => undef, until => undef, stop_at => undef, app => undef, began => 0,
    }, $class;
}

sub boot {
    my ($self) = @_;
    $self->{port} = free_port();
    my $pid = fork() // die "fork: $!\n";
    $self->become if $pid == 0;
    @$self{qw(pid ready used status until stop_at began)} = ($pid, 0, 0, undef, undef, undef, Linux::now_ms());
}

sub become {
    my ($self) = @_;
    Linux::new_session();
    Linux::mask(0);
    $SIG{PIPE} = 'DEFAULT';
    open STDIN, '<', '/dev/null';
    @ENV{qw(PORT FNCTL_PRELOAD)} = ($self->{port}, 0);    # it is for one function: nothing is loaded that others may need
    no warnings 'exec';
    exec { $self->{argv}[0] } @{ $self->{argv} };
    print STDERR "cannot start $self->{argv}[0]: $!\n";
    kill KILL => $$;
}

# One of loopback that nobody has. Nothing but this process's own children could take it meanwhile.
sub free_port {
    socket(my $socket, AF_INET, SOCK_STREAM | Linux::CLOEXEC, 0) or die "socket: $!\n";
    bind($socket, pack 'S n C4 x8', AF_INET, 0, 127, 0, 0, 1) or die "no free port: $!\n";
    return (unpack 'S n', getsockname $socket)[1];
}

# Whether it takes its call. Nobody tells when a program begins to listen.
sub listens {
    my ($self) = @_;
    return 1 if $self->{ready};
    my $found = Program::listeners($self->{port});
    return 0 unless @{ $found->{families} };
    @$self{qw(ready family)} = (1, $found->{families}[0]);
    return 1;
}

# The more seldom the longer it takes.
sub patience_ms {
    my ($self) = @_;
    my $seldom = 1 + int((Linux::now_ms() - $self->{began}) / 100);
    return $seldom < LOOK_MS ? $seldom : LOOK_MS;
}

# Its call is answered: let it end in order until `$until`. `$app`: the call's connection to it, where that is open: its
# handler is over when it ends that. `gone` follows.
sub end {
    my ($self, $until, $app) = @_;
    @$self{qw(until app)} = ($until, $app);
    return $self->stop unless defined $app;
    $self->{stop_at} = Linux::now_ms() + main::LAST_WORDS_MS;
    Linux::change($app, Linux::IN);
    Linux::redirect($app, sub { $self->stop unless sysread $app, my $rest, 65536 });
}

sub stop {
    my ($self) = @_;
    $self->{stop_at} = undef;
    if (my $app = delete $self->{app}) {
        Linux::forget($app);
        close $app;
    }
    kill TERM => $self->{pid} unless defined $self->{status};
}

# When `gone` is to be asked again, if nothing happens before.
sub next_ms {
    my ($self) = @_;
    return $self->{stop_at} // $self->{until};
}

# Whether it is, and nothing of it is left.
sub gone {
    my ($self, $now) = @_;
    $self->stop if defined $self->{stop_at} && $now >= $self->{stop_at} || defined $self->{app} && defined $self->{status};
    return 0 unless defined $self->{status} || $now >= $self->{until};
    $self->clean;
    return 1;
}

# Ended children: those of ours, and those of processes that ended before theirs did.
sub reap {
    my ($self) = @_;
    while ((my $ended = waitpid -1, WNOHANG) > 0) {
        $self->{status} = $? if defined $self->{pid} && $ended == $self->{pid};
    }
}

# Ends what descends from this process, and nobody else: a health check that the engine runs in here does not. What
# cannot be cleaned ends the container: better none than one with another call's files in it.
sub clean {
    my ($self) = @_;
    my $until = Linux::now_ms() + CLEAN_MS;
    while (my @left = descendants()) {
        kill KILL => @left;
        select undef, undef, undef, 0.001;
        $self->reap;
        die "processes of a call cannot be ended\n" if Linux::now_ms() > $until;
    }
    my %spared = spared();
    for my $folder (@{ +WRITABLE }) {
        Wipe::folder($folder, %spared);
        my @left = grep { !$spared{"$folder/$_"} && (lstat "$folder/$_")[4] == $> } Wipe::entries($folder);
        die "cannot remove what a call has left in $folder: @left\n" if @left;
    }
}

sub descendants {
    my %parent;
    for my $pid (grep { /\A\d+\z/ } Wipe::entries('/proc')) {
        open(my $file, '<', "/proc/$pid/stat") or next;
        my $line = readline($file) // next;
        $parent{$pid} = $1 if $line =~ /.*\) \S (\d+) /s;
    }
    my %ours = ($$ => 1);
    my $found = 1;
    while ($found) {
        $found = 0;
        for my $pid (grep { !$ours{$_} && $ours{ $parent{$_} } } keys %parent) { $ours{$pid} = $found = 1 }
    }
    delete $ours{$$};
    return keys %ours;
}

# Mounts below a writable folder are the user's, with what leads to them.
sub spared {
    open(my $mounts, '<', '/proc/self/mountinfo') or die "/proc/self/mountinfo: $!\n";
    my %spared;
    while (my $line = readline $mounts) {
        my $path = (split ' ', $line)[4] =~ s/\\(\d{3})/chr oct $1/ger;
        for my $folder (@{ +WRITABLE }) { $spared{"$folder/$1"} = 1 if $path =~ m{\A\Q$folder\E/([^/]+)} }
    }
    return %spared;
}

1;
